"""The farm's picture is the notebook's picture, bit for bit (tests/support/notebook.py)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from diffusers import EulerAncestralDiscreteScheduler, UniPCMultistepScheduler

from common.job import TINY_REFINER, Crop, RefinerUse, SchedulerUse
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
from tests.support.notebook import BURGER, LONG, SIZE, WOLF, notebook
from worker.engine import Renderer

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
