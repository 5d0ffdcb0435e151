"""The renderer: schedulers, progress, aborts, threads, and pictures that cannot be right."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save

from common.errors import BadInput, SuspectPicture, UsageError
from common.job import (
    SCHEDULER_NAMES,
    SCHEDULER_TYPES,
    TINY_BASE,
    TINY_REFINER,
    Job,
    RefinerUse,
    SchedulerUse,
    parse_scheduler,
)
from common.store import Store
from tests.support.engine import REFINED, file_of, job, put, put_tree, same, tiny_lora, use
from worker.assets import Assets
from worker.engine import Renderer
from worker.engine.schedule import new_scheduler

REPAINTED = {"refiner": RefinerUse(model=TINY_REFINER, strength=0.4)}

VAE_FILE = "diffusion_pytorch_model.safetensors"


@pytest.mark.parametrize("type_", sorted(SCHEDULER_TYPES))
def test_every_scheduler_draws_in_every_stage(renderer: Renderer, type_: str) -> None:
    """And again the same, though schedulers hold state. The steps are counted over both stages,
    up to as many as were said."""
    for settings in ({}, REFINED, REPAINTED):
        cell = job(scheduler=SchedulerUse(type=type_), steps=5, **settings)
        steps: list[tuple[int, int]] = []
        drawn = renderer.render(cell, lambda done, of, steps=steps: steps.append((done, of)))  # type: ignore[misc]
        assert same(drawn.image, renderer.render(cell).image)
        assert steps == [(n, len(steps)) for n in range(1, len(steps) + 1)]


@pytest.mark.parametrize("name", SCHEDULER_NAMES)
def test_every_name_of_a_scheduler_is_one_of_diffusers(renderer: Renderer, name: str) -> None:
    """Its options are ones that the class knows."""
    used = parse_scheduler(name)
    assert used
    made = new_scheduler(renderer._pipelines.base(job()).own_scheduler, used, steps=7)
    assert type(made) is getattr(diffusers, used.type)
    assert {option: made.config[option] for option in used.options} == used.options


@pytest.mark.parametrize("type_", sorted(SCHEDULER_TYPES))
def test_one_step_is_drawn_or_said_to_be_too_few(renderer: Renderer, type_: str) -> None:
    try:
        renderer.render(job(scheduler=SchedulerUse(type=type_), steps=1))
    except BadInput as error:
        assert "1 steps" in error.message


@pytest.mark.parametrize(
    ("use", "reason"),
    [
        (SchedulerUse(type="LMSDiscreteScheduler"), "knows no scheduler 'LMSDiscreteScheduler'"),
        (
            SchedulerUse(
                type="EulerDiscreteScheduler",
                options={"use_karras_sigmas": True, "use_exponential_sigmas": True},
            ),
            "EulerDiscreteScheduler use_karras_sigmas=True use_exponential_sigmas=True",
        ),
        (
            SchedulerUse(type="DDIMScheduler", options={"timestep_spacing": "sideways"}),
            "timestep_spacing=sideways",
        ),
    ],
)
def test_a_scheduler_that_cannot_be_is_bad_input(
    renderer: Renderer, use: SchedulerUse, reason: str
) -> None:
    with pytest.raises(BadInput, match=re.escape(reason)):
        renderer.render(job(scheduler=use))


STAGES: dict[str, tuple[dict[str, Any], int]] = {
    "all but nothing": ({"high_noise_frac": 0.001}, 6),
    "half": ({"high_noise_frac": 0.5}, 6),
    "four fifths": ({"high_noise_frac": 0.8}, 6),
    "nothing": ({"high_noise_frac": 0.999}, 6),
    "more steps of its own": ({"high_noise_frac": 0.5, "refiner": {"steps": 20}}, 2 + 10),
    "repaints": ({"high_noise_frac": 1, "refiner": {"strength": 0.5}}, 6 + 3),
    "repaints in its own steps": (
        {"high_noise_frac": 1, "refiner": {"strength": 0.5, "steps": 9}},
        6 + 4,
    ),
}


def refined(settings: dict[str, Any], **changes: Any) -> Job:
    own = RefinerUse(model=TINY_REFINER, **settings.get("refiner", {}))
    return job(**changes, **settings | {"refiner": own})


@pytest.mark.parametrize("share", STAGES)
@pytest.mark.parametrize("type_", [None, "HeunDiscreteScheduler"])
def test_progress_counts_up_to_the_whole(renderer: Renderer, share: str, type_: str | None) -> None:
    """One by one over both stages, however they share the steps."""
    settings, total = STAGES[share]
    seen: list[tuple[int, int]] = []
    used = SchedulerUse(type=type_) if type_ else None
    cell = refined(settings, steps=6, scheduler=used)
    renderer.render(cell, lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == list(range(1, len(seen) + 1))
    assert {total for _, total in seen} == {len(seen)}
    # Heun computes each step but the last one twice.
    assert len(seen) == total if type_ is None else total < len(seen) <= 2 * total


LEFT_OUT: dict[str, tuple[dict[str, Any], str, str]] = {
    "no step of its strength": (
        {"high_noise_frac": 1, "refiner": {"strength": 0.2}},
        "refiner.strength 0.2 of 4 steps is not one step",
        "raise refiner.strength or refiner.steps",
    ),
    "no step of its own strength": (
        {"high_noise_frac": 1, "refiner": {"strength": 0.9, "steps": 1}},
        "refiner.strength 0.9 of 1 steps is not one step",
        "raise refiner.strength or refiner.steps",
    ),
    "no step behind the fraction": (
        {
            "high_noise_frac": 0.6,
            "refiner": {"steps": 2},
            "scheduler": {"type": "DDIMScheduler", "options": {"timestep_spacing": "trailing"}},
        },
        "none of the refiner's 2 steps lies behind high_noise_frac 0.6",
        "raise refiner.steps or lower high_noise_frac",
    ),
    "too few steps for its scheduler": (
        {
            "high_noise_frac": 0.5,
            "refiner": {"steps": 1},
            "scheduler": {"type": "PNDMScheduler", "options": {"skip_prk_steps": False}},
            "steps": 8,
        },
        "with 1 steps",
        "another number of steps",
    ),
    "a prompt that cannot be read": (
        {"high_noise_frac": 0.5, "refiner": {"prompt": "a cat.swap(dog)"}},
        "a cat.swap(dog)",
        "escape",
    ),
    "a negative prompt that cannot be read": (
        {"high_noise_frac": 0.5, "refiner": {"negative_prompt": {"text": "()++"}}},
        "()++",
        "escape",
    ),
}


@pytest.mark.parametrize("fault", LEFT_OUT)
def test_what_the_refiner_cannot_do_is_said_before_the_base_draws(
    renderer: Renderer, fault: str
) -> None:
    settings, reason, hint = LEFT_OUT[fault]
    steps: list[int] = []
    with pytest.raises(BadInput) as failure:
        renderer.render(refined(settings), lambda done, _: steps.append(done))
    assert reason in failure.value.message
    assert hint in failure.value.hint
    assert steps == []
    renderer.render(job(steps=1))


def test_a_negative_prompt_that_is_not_read_may_be_anything(renderer: Renderer) -> None:
    """Guidance of 1 or less takes none, of the refiner alone too."""
    unread = {"negative_prompt": {"text": "()++"}, "guidance_scale": 1}
    renderer.render(refined({"high_noise_frac": 0.5, "refiner": unread}))
    renderer.render(job(guidance_scale=1, negative_prompt="()++", negative_prompt_2="()++"))


@pytest.mark.parametrize("place", ["prompt_2", "negative_prompt_2"])
def test_a_second_prompt_that_cannot_be_read_is_bad_input(renderer: Renderer, place: str) -> None:
    with pytest.raises(BadInput, match=re.escape("'a cat.swap(dog)'")):
        renderer.render(job(negative_prompt="wrong", **{place: "a cat.swap(dog)"}))


class Stop(Exception):
    pass


@pytest.mark.parametrize("stage", [2, 6], ids=["base", "refiner"])
def test_what_on_step_raises_ends_the_render_and_harms_nothing(
    renderer: Renderer, wrong: str, stage: int
) -> None:
    cell = job(steps=6, loras=(use(wrong),), **REFINED | {"high_noise_frac": 0.5})
    before = renderer.render(cell).image

    def stop(done: int, _: int) -> None:
        if done == stage:
            raise Stop

    with pytest.raises(Stop):
        renderer.render(cell, stop)
    assert same(renderer.render(cell).image, before)


def test_timings_name_the_parts(renderer: Renderer) -> None:
    timings = renderer.render(job(**REFINED)).timings
    assert set(timings) == {"load", "encode", "denoise", "decode"}
    assert all(seconds >= 0 for seconds in timings.values())


def test_threads_draw_what_one_thread_draws(renderer: Renderer, wrong: str) -> None:
    """Given three threads at once with jobs of their own, nothing is mixed up."""
    cells = [job(seed=1), job(seed=2, **REFINED), job(seed=3, loras=(use(wrong),))]
    expected = [renderer.render(cell).image for cell in cells]
    drawn: dict[int, Image.Image] = {}

    def draw(at: int) -> None:
        renderer.fetch(cells[at])
        drawn[at] = renderer.render(cells[at]).image

    threads = [threading.Thread(target=draw, args=(at,)) for at in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(drawn[at], expected[at]) for at in range(3))


def test_prepare_leaves_nothing_to_load(
    fresh_renderer: Callable[[], Renderer], wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    renderer = fresh_renderer()
    cell = job(loras=(use(wrong),), **REFINED)
    renderer.fetch(cell)
    renderer.prepare(cell)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("loaded again")

    monkeypatch.setattr("worker.engine.pipelines._from", refuse)
    monkeypatch.setattr(Assets, "lora", refuse)
    renderer.render(cell)


@pytest.mark.parametrize("seed", [0, 2**63 - 1, 2**63, 2**64 - 1])
def test_every_seed_is_one_of_torchs(renderer: Renderer, seed: int) -> None:
    expected = torch.randn(4, generator=torch.Generator().manual_seed(seed))
    assert torch.isfinite(expected).all()
    renderer.render(job(seed=seed, steps=1))


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_other_precisions_draw_nearly_the_same(renderer: Renderer, dtype: str) -> None:
    exact, rounded = (renderer.render(job(dtype=name)).image for name in ("fp32", dtype))
    assert not same(exact, rounded)
    assert renderer.render(job(dtype=dtype, **REFINED)).image.size == exact.size


@pytest.mark.parametrize("size", [(64, 64), (136, 72), (72, 200)])
def test_sizes_are_multiples_of_eight(renderer: Renderer, size: tuple[int, int]) -> None:
    width, height = size
    assert renderer.render(job(width=width, height=height, steps=2)).image.size == size


def test_a_gpu_that_torch_does_not_have_is_refused_at_the_start(assets: Assets) -> None:
    """What the launcher cannot know: it does not ask torch where a driver is."""
    with pytest.raises(UsageError, match="--device cuda:99: torch"):
        Renderer(assets, device="cuda:99")


def test_noise_of_a_gpu_needs_a_gpu(renderer: Renderer) -> None:
    with pytest.raises(BadInput, match="noise: cuda needs a CUDA device"):
        renderer.render(job(noise="cuda"))


def vae_with(store: Store, tiny_folder: Path, **changes: torch.Tensor) -> str:
    """The tiny VAE as an asset, its last layer's weight or bias filled with other values."""
    folder = tiny_folder / "base" / "vae"
    tensors = load_file(folder / VAE_FILE)
    for name, value in changes.items():
        tensors[f"decoder.conv_out.{name}"][:] = value
    return put_tree(store, folder, {VAE_FILE: bytes(save(tensors, {"format": "pt"}))})


def test_a_black_picture_is_suspect(
    renderer: Renderer, engine_store: Store, tiny_folder: Path
) -> None:
    vae = vae_with(engine_store, tiny_folder, weight=torch.tensor(0), bias=torch.tensor(-9))
    with pytest.raises(SuspectPicture, match="the picture is black"):
        renderer.render(job(vae=vae, steps=1))


def test_nan_is_found_before_it_becomes_black(
    renderer: Renderer, engine_store: Store, tiny_folder: Path
) -> None:
    vae = vae_with(engine_store, tiny_folder, bias=torch.tensor([0.0, float("nan"), 0.0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        with pytest.raises(SuspectPicture, match="NaN in the decoded picture"):
            renderer.render(job(vae=vae, steps=1))


@pytest.mark.parametrize("settings", [{}, REFINED], ids=["base", "refined"])
def test_nan_in_the_latents_is_found_at_the_end_of_the_stage(
    renderer: Renderer, engine_store: Store, settings: dict[str, Any]
) -> None:
    """Given a LoRA whose weights are finite and far too large."""
    huge = put(engine_store, file_of({n: w * 1e25 for n, w in tiny_lora().items()}))
    cell = job(loras=(use(huge),), **settings)
    with pytest.raises(SuspectPicture, match="NaN in the latents"):
        renderer.render(cell)
    renderer.render(job())


def test_the_fingerprint_names_what_decides_the_bits(assets: Assets) -> None:
    one = Renderer(assets, device="cpu", cpu_threads=1).fingerprint(job())
    assert one["device"] == "cpu"
    assert one["cpu_threads"] == 1
    assert one["instruction_set"] == torch.backends.cpu.get_cpu_capability()
    assert {"torch", "diffusers", "transformers", "compel", "peft"} <= set(one)
    two = Renderer(assets, device="cpu", cpu_threads=2).fingerprint(job())
    assert {name for name in one if one[name] != two[name]} == {"cpu_threads"}


def test_the_number_of_threads_is_the_renderers(assets: Assets) -> None:
    """Also in a thread that torch has never seen."""
    renderer = Renderer(assets, device="cpu", cpu_threads=1)
    torch.set_num_threads(2)
    seen: list[int] = []
    cell = job(model=TINY_BASE, steps=1)
    thread = threading.Thread(
        target=lambda: renderer.render(cell, lambda *_: seen.append(torch.get_num_threads()))
    )
    thread.start()
    thread.join()
    torch.set_num_threads(1)
    assert seen == [1]
