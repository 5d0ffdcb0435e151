"""Second prompts, sizes and the refiner's own settings mean what they mean to diffusers: the
pictures are equal bit for bit.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from compel import Compel, ReturnedEmbeddingsType
from diffusers import StableDiffusionXLPipeline

from common.job import TINY_REFINER, Crop, RefinerUse, Size
from common.store import Store
from tests.support.engine import REFINED, job, put_tree, same
from tests.support.notebook import BURGER, CALL, LONG, SIZE, WOLF, plain, seeded
from worker.engine import Renderer

PLAIN: dict[str, Any] = {"prompt": WOLF, "seed": 7, "steps": 5, "guidance_scale": 7.0, **SIZE}
SECOND_PROMPTS: dict[str, dict[str, str]] = {
    "prompt": {"prompt_2": "a red bird"},
    "both": {"prompt_2": "a red bird", "negative_prompt": "wrong", "negative_prompt_2": "blue"},
    "negative": {"negative_prompt": "wrong", "negative_prompt_2": "blue"},
    "empty prompt, which is the first": {"prompt_2": ""},
    "empty negative, which is the first": {"negative_prompt": "wrong", "negative_prompt_2": ""},
    "negative without a first": {"negative_prompt_2": "blue"},
    "after an empty first": {"negative_prompt": "", "negative_prompt_2": "blue"},
}


@pytest.mark.parametrize("refined", [False, True], ids=["base alone", "refiner at 0.8"])
@pytest.mark.parametrize("texts", SECOND_PROMPTS.values(), ids=SECOND_PROMPTS)
def test_second_prompts_are_diffusers(
    renderer: Renderer, tiny_folder: Path, texts: dict[str, str], refined: bool
) -> None:
    """The refiner, which has the second encoder alone, is given the first prompts."""
    first = {"prompt": WOLF, "negative_prompt": texts.get("negative_prompt")}
    expected = plain(
        tiny_folder,
        {"prompt": WOLF, **texts, **({"denoising_end": 0.8} if refined else {})},
        first | {"denoising_start": 0.8} if refined else None,
    )
    rendered = renderer.render(job(**PLAIN, **texts, **(REFINED if refined else {})))
    assert same(rendered.image, expected)


def test_a_model_without_zeros_for_none_has_second_negatives_too(
    renderer: Renderer, tiny_folder: Path, engine_store: Store, tmp_path: Path
) -> None:
    """As fine-tuned models publish it: no negative prompt is an encoded "", also beside one."""
    shutil.copytree(tiny_folder, tmp_path / "tiny")
    index = tmp_path / "tiny" / "base" / "model_index.json"
    config = json.loads(index.read_text()) | {"force_zeros_for_empty_prompt": False}
    index.write_text(json.dumps(config))
    own = put_tree(engine_store, tmp_path / "tiny" / "base")
    for texts in ({}, {"negative_prompt_2": "blue"}):
        expected = plain(tmp_path / "tiny", {"prompt": WOLF, **texts})
        assert same(renderer.render(job(**PLAIN | {"model": own}, **texts)).image, expected)


@pytest.mark.parametrize("texts", [(BURGER, "a (red)++ bird", "(bad)1.4 hands", "blue--"),
                                   (WOLF, LONG, "wrong", LONG * 2),
                                   (LONG * 2, WOLF, "", "blue")],
                         ids=["weighted", "longer second", "longer first"])  # fmt: skip
def test_each_encoder_reads_its_own_prompt_whole(
    renderer: Renderer, tiny_folder: Path, texts: tuple[str, str, str, str]
) -> None:
    """Given texts of different lengths, what compel makes of each is padded to the longest."""
    torch.set_num_threads(1)
    base = StableDiffusionXLPipeline.from_pretrained(
        tiny_folder / "base", dtype=torch.float32, add_watermarker=False
    )
    prompt, prompt_2, negative, negative_2 = texts
    encoders = [
        Compel(
            tokenizer=tokenizer,
            text_encoder=encoder,
            truncate_long_prompts=False,
            returned_embeddings_type=ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED,
            requires_pooled=True,
        )
        for tokenizer, encoder in (
            (base.tokenizer, base.text_encoder),
            (base.tokenizer_2, base.text_encoder_2),
        )
    ]
    first = [encoders[0].build_conditioning_tensor(text)[0] for text in (prompt, negative)]
    second = [encoders[1].build_conditioning_tensor(text) for text in (prompt_2, negative_2)]
    longest = max((*first, *[embeds for embeds, _ in second]), key=lambda embeds: embeds.shape[1])
    padded = [
        compel.pad_conditioning_tensors_to_same_length([*pair, torch.zeros_like(longest)])[:2]
        for compel, pair in zip(encoders, (first, [embeds for embeds, _ in second]), strict=True)
    ]
    positive, other = (torch.cat(pair, dim=-1) for pair in zip(*padded, strict=True))
    expected = base(
        **CALL,
        **SIZE,
        prompt_embeds=positive,
        negative_prompt_embeds=other,
        pooled_prompt_embeds=second[0][1],
        negative_pooled_prompt_embeds=second[1][1],
        generator=seeded(),
    ).images[0]
    names = ("prompt", "prompt_2", "negative_prompt", "negative_prompt_2")
    wanted = job(**PLAIN | dict(zip(names, texts, strict=True)), long_prompts="chunk")
    assert same(renderer.render(wanted).image, expected)


SIZES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "original": ({"original_size": Size(width=512, height=300)}, {"original_size": (300, 512)}),
    "target": ({"target_size": Size(width=900, height=640)}, {"target_size": (640, 900)}),
    "crop": ({"crop": Crop(top=100, left=40)}, {"crops_coords_top_left": (100, 40)}),
}


SIZES["all"] = (
    {name: value for job_side, _ in SIZES.values() for name, value in job_side.items()},
    {name: value for _, diffusers_side in SIZES.values() for name, value in diffusers_side.items()},
)


@pytest.mark.parametrize("refined", [False, True], ids=["base alone", "refiner at 0.8"])
@pytest.mark.parametrize("which", SIZES)
def test_both_stages_are_told_the_sizes(
    renderer: Renderer, tiny_folder: Path, which: str, refined: bool
) -> None:
    """diffusers takes (height, width); the refiner's negative side is told no crop, as there."""
    ours, theirs = SIZES[which]
    given = {"prompt": WOLF, "negative_prompt": "wrong", **theirs}
    expected = plain(
        tiny_folder,
        given | ({"denoising_end": 0.8} if refined else {}),
        given | {"denoising_start": 0.8} if refined else None,
    )
    cell = job(**PLAIN, negative_prompt="wrong", **(REFINED if refined else {}))
    image = renderer.render(cell.model_copy(update=ours)).image
    assert same(image, expected)
    if refined or which != "target":
        assert not same(image, renderer.render(cell).image)


OWN_REFINING: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "steps": ({"steps": 20}, {"num_inference_steps": 20}),
    "guidance": ({"guidance_scale": 2.5}, {"guidance_scale": 2.5}),
    "no guidance": ({"guidance_scale": 1.0}, {"guidance_scale": 1.0}),
    "prompt": ({"prompt": "a red bird"}, {"prompt": "a red bird"}),
    "negative": ({"negative_prompt": {"text": "blue"}}, {"negative_prompt": "blue"}),
    "empty negative": ({"negative_prompt": {"text": ""}}, {"negative_prompt": ""}),
    "no negative": ({"negative_prompt": {"text": None}}, {"negative_prompt": None}),
    "all": (
        {"steps": 7, "guidance_scale": 9, "prompt": "", "negative_prompt": {"text": "red"}},
        {"num_inference_steps": 7, "guidance_scale": 9, "prompt": "", "negative_prompt": "red"},
    ),
}


@pytest.mark.parametrize("strength", [None, 0.5], ids=["takes over", "repaints"])
@pytest.mark.parametrize("which", ["nothing", *OWN_REFINING])
def test_the_refiners_own_settings_are_diffusers(
    renderer: Renderer, tiny_folder: Path, which: str, strength: float | None
) -> None:
    """With a strength the base draws to its end, and the refiner goes over it."""
    ours, theirs = OWN_REFINING.get(which, ({}, {}))
    texts = {"prompt": WOLF, "negative_prompt": "wrong"}
    expected = plain(
        tiny_folder,
        texts | ({} if strength else {"denoising_end": 0.8}),
        texts | theirs | ({"strength": strength} if strength else {"denoising_start": 0.8}),
    )
    own = RefinerUse(model=TINY_REFINER, strength=strength, **ours)
    wanted = job(
        **PLAIN, negative_prompt="wrong", refiner=own, high_noise_frac=1 if strength else 0.8
    )
    assert same(renderer.render(wanted).image, expected)


def test_only_the_refiner_is_guided(renderer: Renderer, tiny_folder: Path) -> None:
    """Given a base of guidance 1, the refiner still takes the negative prompt."""
    texts = {"prompt": WOLF, "negative_prompt": "wrong"}
    expected = plain(
        tiny_folder,
        texts | {"guidance_scale": 1.0, "denoising_end": 0.8},
        texts | {"denoising_start": 0.8},
    )
    own = RefinerUse(model=TINY_REFINER, guidance_scale=7.0)
    cell = PLAIN | {"guidance_scale": 1.0, "negative_prompt": "wrong"} | REFINED
    assert same(renderer.render(job(**cell | {"refiner": own})).image, expected)
