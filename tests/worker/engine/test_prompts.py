"""Prompts: encoded once each, and whatever a person writes ends in a picture or in BadInput."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from common.errors import BadInput
from tests.support.engine import REFINED, job, same
from worker.engine import Renderer, prompts
from worker.engine.prompts import PromptEncoder, TextEncoder

READABLE = {
    "plain": "a wolf",
    "empty": "",
    "blank": " \t ",
    "weighted": "a (wolf)1.5, (night)-- and snow+",
    "quoted": 'a "wolf" and "a (cat)++"',
    "unbalanced": "a ((wolf",
    "unbalanced quote": 'a "wolf',
    "another program's syntax": "a (wolf:1.3) <lora:x:1> BREAK {a|b}",
    "escaped": r"a \(wolf\) \"x\"",
    "weight of zero": "a (wolf)0 in snow",
    "minus only": "- -- ---",
    "plus only": "++++",
    "commas only": ",,, , ,",
    "blend": '("a wolf", "a cat").blend(0.3, 0.7)',
    "unicode": "狼 🐺 волк \u202e\u0000\ufeff",
    "many parentheses": "(a)" * 100,
    "nested 20 deep": "(" * 20 + "wolf" + ")" * 20 + "++",
    "LoRA call": "withLora(x, 1) a wolf",
    "downweighted beyond the cut": "a wolf " * 60 + "(far away)--",
}

UNREADABLE = {
    "empty group": "()++",
    "swap": "a cat.swap(dog)",
    "swap of groups": "(a cat).swap(a dog) in snow",
    "and": '("a wolf", "a cat").and()',
    "and with weights": '("a wolf", "a cat").and(1, 0.5)',
    "blend of too few": '("a wolf", "a cat").blend(1)',
    "blend that adds up to zero": '("a wolf", "a cat").blend(1, -1)',
    "nested 200 deep": "(" * 200 + "wolf" + ")" * 200 + "++",
    "open 200 deep": "(" * 200,
    "too long": "a" * 20_001,
    "weight beyond all numbers": "a (wolf)" + "+" * 10_000,
}


@pytest.mark.parametrize("text", READABLE.values(), ids=READABLE)
def test_what_compel_reads_is_rendered(renderer: Renderer, text: str) -> None:
    image = renderer.render(job(prompt=text, negative_prompt=text, steps=1)).image
    assert image.size == (job().width, job().height)


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("place", ["prompt", "negative_prompt"])
def test_what_it_cannot_read_is_bad_input(renderer: Renderer, place: str, text: str) -> None:
    """It names the prompt, and the renderer goes on."""
    with pytest.raises(BadInput) as failure:
        renderer.render(job(**{place: text}, steps=1))
    assert failure.value.message.startswith(f"the prompt {text[:20]!r}"[:-1])
    renderer.render(job(steps=1))


def test_each_prompt_is_encoded_once_by_each_encoder(
    fresh_renderer: Callable[[], Renderer],
) -> None:
    """3 texts × 2 encoders, whatever else changes; the refiner needs no encoding of its own."""
    renderer = fresh_renderer()
    for seed in (1, 2):
        for prompt in ("a cat", "a dog"):
            for refined in ({}, REFINED):
                renderer.render(
                    job(prompt=prompt, negative_prompt="wrong", seed=seed, steps=2, **refined)
                )
    assert renderer.encodings_computed == 6


def test_without_guidance_the_negative_prompt_is_not_encoded(renderer: Renderer) -> None:
    renderer.render(job(prompt="a fox", steps=1))
    before = renderer.encodings_computed
    renderer.render(job(prompt="a fox", negative_prompt="never", guidance_scale=1.0, steps=1))
    assert renderer.encodings_computed == before


LONG = "a wolf in the forest by the river, " * 12 + "under a (red)++ moon"


def test_a_long_prompt_is_cut_or_read_in_chunks(renderer: Renderer) -> None:
    """Cut, its end does not matter; in chunks it does."""
    images = {
        (mode, end): renderer.render(job(prompt=LONG + end, long_prompts=mode)).image
        for mode in ("truncate", "chunk")
        for end in ("", " in a blue sky")
    }
    assert same(images["truncate", ""], images["truncate", " in a blue sky"])
    assert not same(images["chunk", ""], images["chunk", " in a blue sky"])
    assert not same(images["chunk", ""], images["truncate", ""])


@pytest.mark.parametrize("refined", [{}, REFINED], ids=["base", "refined"])
@pytest.mark.parametrize(
    ("prompt", "negative"),
    [("a wolf", LONG), (LONG, "wrong"), (LONG, None), (LONG, LONG * 2)],
    ids=["long negative", "long prompt", "no negative", "both"],
)
def test_chunks_of_different_number_are_padded(
    renderer: Renderer, prompt: str, negative: str | None, refined: dict[str, Any]
) -> None:
    renderer.render(
        job(prompt=prompt, negative_prompt=negative, long_prompts="chunk", steps=5, **refined)
    )


def test_short_prompts_are_the_same_in_both_modes(renderer: Renderer) -> None:
    cut, chunked = (
        renderer.render(job(negative_prompt="wrong", long_prompts=mode, **REFINED)).image
        for mode in ("truncate", "chunk")
    )
    assert same(cut, chunked)


def test_the_cache_is_bounded_and_drops_what_was_used_longest_ago(
    monkeypatch: pytest.MonkeyPatch, renderer: Renderer
) -> None:
    encoder = renderer._pipelines.base(job()).encoder("text_encoder")
    one = PromptEncoder()
    size = one.conditioning("a", None, [encoder], truncate=True)["prompt_embeds"].nbytes
    monkeypatch.setattr(prompts, "CACHE_BYTES", 2 * size)
    for text in ("a", "b", "a", "c", "a", "b"):
        one.conditioning(text, None, [encoder], truncate=True)
    assert one.computed == 4


def test_a_machine_out_of_memory_is_not_the_prompts_fault(renderer: Renderer) -> None:
    base = renderer._pipelines.base(job())

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("no memory left")

    full.device = torch.device("cpu")  # type: ignore[attr-defined]
    broken = TextEncoder("broken", base.pipe.tokenizer, full, pooled=False)
    with pytest.raises(torch.OutOfMemoryError):
        PromptEncoder().conditioning("a wolf", None, [broken], truncate=True)
