"""The farm's picture is the notebook's picture, bit for bit.

`notebook` is written with diffusers, compel and torch alone, as the seed author's notebooks
call them; it loads everything anew for each picture.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from compel import Compel, ReturnedEmbeddingsType
from diffusers import (
    EulerAncestralDiscreteScheduler,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UniPCMultistepScheduler,
)
from PIL import Image

from common.job import TINY_REFINER, Crop, RefinerUse, SchedulerUse, Size
from common.store import Store
from tests.support.engine import (
    REFINED,
    file_of,
    job,
    put,
    put_tree,
    same,
    text_lora,
    tiny_lora,
    use,
)
from worker.engine import Renderer

WOLF = "A wolf in Yosemite National Park, chilly nature documentary film photography"
BURGER = (
    "a large delicious hamburger (in the shape of five-dimensional alien geometry)++++, "
    "professional (food)-- photography"
)
LONG = "a (very)1.3 long prompt about a wolf in the forest by the river, " * 9
SIZE = {"width": 96, "height": 64}


def notebook(
    folder: Path,
    prompt: str,
    seed: int,
    *,
    negative: str | None = None,
    guidance: float = 13.0,
    lora: tuple[Path, float, float] | None = None,
    refined: bool = False,
    sampler: Any = None,
    steps: int = 10,
) -> Image.Image:
    torch.set_num_threads(1)
    base = StableDiffusionXLPipeline.from_pretrained(
        folder / "base", dtype=torch.float32, use_safetensors=True, add_watermarker=False
    )
    if sampler:
        base.scheduler = sampler.from_config(base.scheduler.config)
    if lora:
        path, unet, text = lora
        base.load_lora_weights(str(path), adapter_name="lora")
        base.set_adapters("lora", {"unet": unet, "text_encoder": text, "text_encoder_2": text})
    compel = Compel(
        tokenizer=[base.tokenizer, base.tokenizer_2],
        text_encoder=[base.text_encoder, base.text_encoder_2],
        returned_embeddings_type=ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED,
        requires_pooled=[False, True],
    )
    shared: dict[str, Any] = {"num_inference_steps": steps, "guidance_scale": guidance}
    ending = {"denoising_end": 0.8, "output_type": "latent"} if refined else {}
    images = base(
        **conditioning(compel, prompt, negative),
        **shared,
        **SIZE,
        **ending,
        generator=torch.Generator("cpu").manual_seed(seed),
    ).images
    if not refined:
        return images[0]
    base.disable_lora() if lora else None
    refiner = StableDiffusionXLImg2ImgPipeline.from_pretrained(
        folder / "refiner",
        text_encoder_2=base.text_encoder_2,
        vae=base.vae,
        dtype=torch.float32,
        use_safetensors=True,
        add_watermarker=False,
    )
    if sampler:
        refiner.scheduler = sampler.from_config(refiner.scheduler.config)
    compel = Compel(
        tokenizer=refiner.tokenizer_2,
        text_encoder=refiner.text_encoder_2,
        returned_embeddings_type=ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED,
        requires_pooled=True,
    )
    return refiner(
        **conditioning(compel, prompt, negative),
        **shared,
        image=images,
        denoising_start=0.8,
        generator=torch.Generator("cpu").manual_seed(seed),
    ).images[0]


def conditioning(compel: Any, prompt: str, negative: str | None) -> dict[str, torch.Tensor]:
    embeds, pooled = compel(prompt)
    given = {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}
    if negative is not None:
        embeds, pooled = compel(negative)
        given |= {"negative_prompt_embeds": embeds, "negative_pooled_prompt_embeds": pooled}
    return given


#: The LoRA first: the others must not show that it was loaded.
VARIANTS = {
    "negative and LoRA": ("wrong", 0.8),
    "base": (None, None),
    "negative": ("wrong", None),
    "empty negative": ("", None),
}


@pytest.mark.parametrize("refined", [False, True], ids=["base alone", "refiner at 0.8"])
@pytest.mark.parametrize("prompt", [WOLF, BURGER, LONG], ids=["plain", "weighted", "truncated"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_picture_is_the_notebooks(
    renderer: Renderer, tiny_folder: Path, wrong: str, variant: str, prompt: str, refined: bool
) -> None:
    negative, scale = VARIANTS[variant]
    lora = (tiny_folder / "wrong.safetensors", scale, 1.0) if scale else None
    expected = notebook(
        tiny_folder, prompt, 84061037, negative=negative, lora=lora, refined=refined
    )

    rendered = renderer.render(
        job(
            prompt=prompt,
            negative_prompt=negative,
            seed=84061037,
            steps=10,
            guidance_scale=13.0,
            loras=(use(wrong, scale),) if scale else (),
            **SIZE,
            **(REFINED if refined else {}),
        )
    )
    assert same(rendered.image, expected)


@pytest.mark.parametrize("refined", [False, True], ids=["base alone", "refiner at 0.8"])
def test_a_lora_of_the_text_encoders_is_the_notebooks(
    renderer: Renderer, tiny_folder: Path, engine_store: Store, tmp_path: Path, refined: bool
) -> None:
    """UNet and text encoders at scales of their own; the refiner's prompt is encoded without."""
    data = file_of(tiny_lora() | text_lora())
    path = tmp_path / "both.safetensors"
    path.write_bytes(data)
    expected = notebook(
        tiny_folder, BURGER, 5, negative="wrong", lora=(path, 0.5, 1.5), refined=refined
    )

    rendered = renderer.render(
        job(
            prompt=BURGER,
            negative_prompt="wrong",
            seed=5,
            steps=10,
            guidance_scale=13.0,
            loras=(use(put(engine_store, data), 0.5, 1.5),),
            **SIZE,
            **(REFINED if refined else {}),
        )
    )
    assert same(rendered.image, expected)


@pytest.mark.parametrize("sampler", [EulerAncestralDiscreteScheduler, UniPCMultistepScheduler])
def test_another_scheduler_serves_both_stages(
    renderer: Renderer, tiny_folder: Path, sampler: Any
) -> None:
    """Also one that draws noise in each step, from a generator that each stage starts anew."""
    expected = notebook(tiny_folder, WOLF, 3, sampler=sampler, refined=True)
    used = SchedulerUse(type=sampler.__name__)
    rendered = renderer.render(
        job(prompt=WOLF, seed=3, steps=10, guidance_scale=13.0, scheduler=used, **SIZE, **REFINED)
    )
    assert same(rendered.image, expected)


def test_a_refiner_with_a_scheduler_of_its_own_keeps_it(
    renderer: Renderer, tiny_folder: Path, engine_store: Store, tmp_path: Path
) -> None:
    """Where none is named each stage has its model's own, as in a notebook."""
    shutil.copytree(tiny_folder, tmp_path / "tiny")
    config = tmp_path / "tiny" / "refiner" / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"use_karras_sigmas": True}))
    expected = notebook(tmp_path / "tiny", WOLF, 3, refined=True)
    own = RefinerUse(model=put_tree(engine_store, tmp_path / "tiny" / "refiner"))
    wanted = job(prompt=WOLF, seed=3, steps=10, guidance_scale=13.0, **SIZE, **REFINED)
    rendered = renderer.render(wanted.model_copy(update={"refiner": own}))
    assert same(rendered.image, expected)
    assert not same(rendered.image, renderer.render(wanted).image)


def test_guidance_of_one_takes_no_negative_prompt(renderer: Renderer, tiny_folder: Path) -> None:
    expected = notebook(tiny_folder, WOLF, 3, guidance=1.0)
    rendered = renderer.render(job(prompt=WOLF, seed=3, steps=10, guidance_scale=1.0, **SIZE))
    assert same(rendered.image, expected)


def plain(
    folder: Path, settings: dict[str, Any], refining: dict[str, Any] | None = None
) -> Image.Image:
    """diffusers called with texts and settings as a person writes them; no compel."""
    torch.set_num_threads(1)
    base, refiner = loaded(folder)
    ending = {} if refining is None else {"output_type": "latent"}
    images = base(**CALL | SIZE | settings | ending, generator=seeded()).images
    if refining is None:
        return images[0]
    return refiner(**CALL | refining, image=images, generator=seeded()).images[0]


@lru_cache(maxsize=1)
def loaded(folder: Path) -> tuple[Any, Any]:
    base = StableDiffusionXLPipeline.from_pretrained(
        folder / "base", dtype=torch.float32, add_watermarker=False
    )
    refiner = StableDiffusionXLImg2ImgPipeline.from_pretrained(
        folder / "refiner",
        text_encoder_2=base.text_encoder_2,
        vae=base.vae,
        dtype=torch.float32,
        add_watermarker=False,
    )
    return base, refiner


def seeded() -> torch.Generator:
    return torch.Generator("cpu").manual_seed(7)


CALL: dict[str, Any] = {"num_inference_steps": 5, "guidance_scale": 7.0}
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


def test_a_cell_in_a_sweep_is_the_cell_alone(
    renderer: Renderer,
    fresh_renderer: Callable[[], Renderer],
    engine_store: Store,
    wrong: str,
) -> None:
    """Given a sweep in which LoRAs, prompts, schedulers and stages come and go, each picture
    equals the one of a renderer that draws nothing else."""
    text = put(engine_store, file_of(tiny_lora() | text_lora()))
    repainting = RefinerUse(model=TINY_REFINER, strength=0.5, steps=6, prompt="a cat")
    sweep = [
        job(),
        job(loras=(use(wrong),)),
        job(negative_prompt="wrong", loras=(use(wrong, 0.5),), **REFINED),
        job(loras=(use(text), use(wrong, -0.7)), **REFINED),
        job(**REFINED),
        job(prompt="(a cat)++", scheduler=SchedulerUse(type="EulerAncestralDiscreteScheduler")),
        job(loras=(use(text, 0.0, 2.0),)),
        job(prompt="(a cat)++ " * 50, long_prompts="chunk", negative_prompt="x", **REFINED),
        job(loras=(use(text),), scheduler=SchedulerUse(type="HeunDiscreteScheduler"), **REFINED),
        job(prompt="(a cat)++", negative_prompt=""),
        job(prompt_2="a dog", loras=(use(text),), refiner=repainting),
        job(crop=Crop(top=64), **REFINED),
    ]
    together = [renderer.render(cell).image for cell in sweep]
    for cell, image in zip(sweep, together, strict=True):
        assert same(image, fresh_renderer().render(cell).image), cell.to_json()
