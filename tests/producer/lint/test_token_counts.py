"""Tokens: counts equal transformers' own, estimates are near, and the note says what is cut."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common.job import BUILTIN_MODELS, SDXL
from producer.lint.clip_tokenizer import FOLDERS
from producer.lint.token_counts import (
    READ,
    ClipTokens,
    EstimatedTokens,
    note_on_length,
    token_counter,
)

#: What the test's vocabulary is trained on, so that it has merges of every kind.
TEXT = (
    "The quick brown fox doesn't jump over the lazy dog; it's asleep beneath a cherry tree, and "
    "they're photographing the photograph of the photographer's cinematic, detailed, professional "
    "portrait: a wolf in Yosemite National Park, chilly nature documentary film photography!!! "
    "worst quality, low quality, blurry, jpeg artifacts, watermark, 8k, 35mm, f/1.8, 1999, 2024... "
    "naïve café, Ärger über Straßen, волк и волки, снег, 狼と雪, 🐺🔥 ☃ — “quoted” words…"
)

TEXTS = [
    "",
    " \t\n ",
    "A wolf in Yosemite National Park, chilly nature documentary film photography",
    "don't can't it's we're I've I'm she'll he'd 'tis rock'n'roll DON'T photographers'",
    "wow!!! what?! a!b ! !! ... --- ,,, (x) [y] {z} #1 $5 100% a_b __init__ ~*^",
    "8k 35mm f/1.8 1999 2024-11-23 3.14 ½ x² ①",
    "café cafe\u0301 Ärger ÜBER Straße İstanbul ﬁ ŒUVRE ǅ",
    "волк бежит по СНЕГУ",
    "狼在雪地里奔跑，远处是山。 オオカミ 늑대 ذئب भेड़िया",
    "🐺🔥☃️ 👩‍🚀 🏳️‍🌈 a🐺b",
    "tabs\tand\nlines\r\nand\u00a0hard\u2003spaces\u3000here\u200bjoined\u0085x\x1cy",
    "control \x00 \x07 \u202e \ufeff \ue000",
    "<|startoftext|> a <|endoftext|>wolf<|ENDOFTEXT|>",
    "supercalifragilisticexpialidocious" * 3,
    TEXT,
    TEXT.upper(),
]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with SDXL's two tokenizers as the hub has them, vocabulary and merges in plain
    files, but with a vocabulary of some hundred tokens."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        end_of_word_suffix="</w>",
        initial_alphabet=alphabet,
        special_tokens=["!", *(f"{letter}</w>" for letter in alphabet)],
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT.replace(" ", "\n")] * 3, trainer)
    model = tmp_path_factory.mktemp("trained")
    _write(model / "tokenizer", tokenizer, pad_token="<|endoftext|>")
    _write(model / "tokenizer_2", tokenizer, pad_token="!")
    return model


def _write(folder: Path, tokenizer: Any, pad_token: str) -> None:
    """With the tokenizer_config.json of SDXL's repository, but for the numbers."""
    folder.mkdir()
    tokenizer.model.save(str(folder))
    vocabulary = json.loads((folder / "vocab.json").read_bytes())
    marks = {"<|startoftext|>": len(vocabulary), "<|endoftext|>": len(vocabulary) + 1}
    (folder / "vocab.json").write_text(json.dumps(vocabulary | marks))
    plain = {"lstrip": False, "rstrip": False, "single_word": False, "special": True}
    added = {
        str((vocabulary | marks)[token]): plain | {"content": token, "normalized": token in marks}
        for token in dict.fromkeys([pad_token, *marks])
    }
    config = {
        "added_tokens_decoder": added,
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": pad_token,
        "model_max_length": 77,
        "tokenizer_class": "CLIPTokenizer",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


@pytest.fixture(scope="session")
def tiny_base(session_cache: Path) -> Path:
    """The tiny SDXL, whose tokenizers are one tokenizer.json each."""
    from worker.assets.tiny_model import cached

    return cached(session_cache) / "base"


@pytest.fixture(params=["plain files", "tokenizer.json"])
def model(request: pytest.FixtureRequest) -> Path:
    name = {"plain files": "trained", "tokenizer.json": "tiny_base"}[request.param]
    folder: Path = request.getfixturevalue(name)
    return folder


@pytest.fixture(autouse=True)
def hub_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache of the hub, whatever this machine has."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def theirs(transformers: Any) -> Callable[[Path, str], int]:
    """The most tokens that transformers makes of a text, without marks, for either encoder."""

    def count(model: Path, text: str) -> int:
        made = [transformers.CLIPTokenizer.from_pretrained(model / name) for name in FOLDERS]
        return max(len(each(text, add_special_tokens=False)["input_ids"]) for each in made)

    return count


@pytest.mark.parametrize("text", TEXTS)
def test_an_exact_count_is_transformers_own(
    model: Path, text: str, theirs: Callable[[Path, str], int]
) -> None:
    counter = token_counter(model)
    assert counter.exact
    assert len(counter.starts(text)) == theirs(model, text)


def test_the_trained_vocabulary_has_merges_that_matter(trained: Path) -> None:
    """Else the equality above would say little: words here are one token, letters many."""
    counter = token_counter(trained)
    assert len(counter.starts("photography quality wolf")) < 10
    assert len(counter.starts("zzz qqq xxx")) == 9


def test_the_second_encoders_padding_is_a_token_of_its_own(trained: Path) -> None:
    """SDXL pads its second encoder with `!`, so exclamation marks fill that one sooner."""
    assert len(token_counter(trained).starts("!!!")) == 3


def test_the_hubs_cache_serves_where_a_model_has_no_tokenizers(
    trained: Path, hub_cache: Path, tmp_path: Path, theirs: Callable[[Path, str], int]
) -> None:
    """Given SDXL's pinned revision there; another revision is another model."""
    repo, _, revision = BUILTIN_MODELS[SDXL].partition("@")
    snapshots = hub_cache / f"models--{repo.replace('/', '--')}" / "snapshots"
    shutil.copytree(trained, snapshots / ("0" * 40))
    assert not token_counter(tmp_path).exact
    shutil.copytree(trained, snapshots / revision)
    for model in (None, tmp_path, tmp_path / "absent"):
        counter = token_counter(model)
        assert counter.exact
        assert len(counter.starts("photography")) == theirs(trained, "photography")


def test_without_the_package_counts_are_estimates(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an install without the worker extra."""
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    assert not token_counter(trained).exact


@pytest.mark.parametrize("file", ["vocab.json", "merges.txt", "tokenizer_config.json"])
@pytest.mark.parametrize("content", [None, "", "{", "[1]"], ids=["absent", "empty", "cut", "odd"])
def test_broken_tokenizers_are_no_reason_to_fail(
    trained: Path, tmp_path: Path, file: str, content: str | None
) -> None:
    """The note is a courtesy; the worker is who says that a model is broken."""
    shutil.copytree(trained / "tokenizer", tmp_path / "tokenizer")
    (tmp_path / "tokenizer" / file).unlink()
    if content is not None:
        (tmp_path / "tokenizer" / file).write_text(content)
    counter = token_counter(tmp_path)
    assert len(counter.starts("a wolf")) >= 2


def test_counting_takes_neither_transformers_nor_torch(trained: Path) -> None:
    """Their import takes seconds."""
    import subprocess

    code = f"""
import sys
from pathlib import Path
from producer.lint.token_counts import note_on_length, token_counter
assert note_on_length("a wolf " * 50, token_counter(Path({str(trained)!r})))
sys.exit(", ".join({{"transformers", "torch", "compel"}} & set(sys.modules)) or 0)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


#: Prompts with their tokens in CLIP's vocabulary of 49,408.
ENGLISH = {
    "portrait of a cyberpunk samurai, neon lights, trending on artstation, by greg rutkowski and "
    "alphonse mucha, octane render, unreal engine 5, intricate, elegant, highly detailed": 36,
    "Masterpiece, best quality, ultra-detailed portrait of an old fisherman's weathered face, 85mm "
    "lens, f/1.8, golden hour, volumetric light, shallow depth of field, award-winning "
    "photograph, 8k uhd": 50,
    "The quick brown fox doesn't jump over the lazy dog; it's asleep beneath a flowering cherry "
    "tree while snow falls on the mountains beyond the lake.": 30,
    "worst quality, low quality, blurry, jpeg artifacts, watermark, signature, extra fingers, "
    "mutated hands, poorly drawn face, deformed, disfigured": 33,
}


@pytest.mark.parametrize(("text", "tokens"), ENGLISH.items(), ids=list(ENGLISH.values()))
def test_an_estimate_of_english_is_near(text: str, tokens: int) -> None:
    assert len(EstimatedTokens().starts(text)) == pytest.approx(tokens, rel=0.1)


@pytest.mark.parametrize(
    ("text", "tokens"),
    {
        "": 0,
        " ": 0,
        "a": 1,
        "1999": 4,
        "!!!": 1,
        "it's": 2,
        "狼在雪地里奔跑，远处是山和月亮": 36,
        "🐺🔥✨ 2024": 7,
    }.items(),
)
def test_an_estimate_of_anything_else_is_of_the_right_size(text: str, tokens: int) -> None:
    assert len(EstimatedTokens().starts(text)) == pytest.approx(tokens, rel=0.35, abs=0.5)


@pytest.fixture(params=["exact", "estimated"])
def counter(request: pytest.FixtureRequest) -> Iterator[ClipTokens | EstimatedTokens]:
    if request.param == "estimated":
        yield EstimatedTokens()
    else:
        exact = token_counter(request.getfixturevalue("trained"))
        assert isinstance(exact, ClipTokens)
        yield exact


def test_the_starts_walk_through_the_text(counter: ClipTokens | EstimatedTokens) -> None:
    """Every token begins inside the text, none before the one in front of it."""
    starts = counter.starts(TEXT)
    assert [*starts] == sorted(starts)
    assert starts[0] == 0
    assert 0.9 * len(TEXT) < starts[-1] < len(TEXT)


def test_what_fits_needs_no_note(counter: ClipTokens | EstimatedTokens) -> None:
    """Given 75 words of one token, the last of them is read; of 76 it is not."""
    fits = " ".join(["a"] * READ)
    assert note_on_length(fits, counter) is None
    assert note_on_length(f"{fits} 8", counter) is not None
    assert note_on_length("", counter) is None


def test_the_note_names_the_first_words_that_are_cut(
    trained: Path, theirs: Callable[[Path, str], int]
) -> None:
    prompt = "a " * 74 + "the wolves and foxes of a cold and quiet night in winter"
    exact, about = token_counter(trained), EstimatedTokens()
    tokens = theirs(trained, prompt)
    assert note_on_length(prompt, exact) == (
        f"has {tokens} tokens and the text encoders read 75: its end, from "
        "«wolves and foxes of a cold and quiet…», is cut; long_prompts: chunk reads all"
    )
    assert note_on_length(prompt, about) == (
        "has about 87 tokens and the text encoders read 75: its end, from about "
        "«wolves and foxes of a cold and quiet…», is cut; long_prompts: chunk reads all"
    )


def test_a_word_that_is_cut_in_two_is_named_whole(trained: Path) -> None:
    note = note_on_length("a " * 74 + "zzz, b", token_counter(trained))
    assert note is not None
    assert "«zzz, b»" in note


def test_weights_are_not_counted(counter: ClipTokens | EstimatedTokens) -> None:
    """The syntax is for compel; a prompt that fits without it fits."""
    words = " ".join(["(a)1.3", "(a (a)++)--", "a++", '"a"1.1', "a.attend(1.2)"] * 12)
    assert note_on_length(words, counter) is None
    assert note_on_length(words + " a" * 4, counter) is not None


def test_each_text_of_a_blend_is_read_alone(counter: ClipTokens | EstimatedTokens) -> None:
    half = " ".join(["a"] * 60)
    assert note_on_length(f'("{half}", "{half}").blend(1, 1)', counter) is None
    note = note_on_length(f'("{half}", "{half} {half}").blend(1, 1)', counter)
    assert note is not None
    assert "120 tokens" in note


@pytest.mark.parametrize(
    "text",
    ["\ud800 a " * 80, "狐" * 70, "a" * 50_000],
    ids=["surrogates", "short but not ASCII", "long"],
)
def test_any_text_gets_its_note(counter: ClipTokens | EstimatedTokens, text: str) -> None:
    assert note_on_length(text, counter) is not None
