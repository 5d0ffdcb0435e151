"""Scheduler names: what they parse to, and that diffusers really draws with every one."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from pydantic import JsonValue

from common.job import SCHEDULER_NAMES, SCHEDULER_TYPES, SchedulerUse, parse_scheduler

#: scheduler/scheduler_config.json of stabilityai/stable-diffusion-xl-base-1.0.
SDXL_CONFIG: dict[str, Any] = {
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "interpolation_type": "linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "sample_max_value": 1.0,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "trained_betas": None,
    "use_karras_sigmas": False,
}


WORDS = ("karras", "exponential", "leading", "linspace", "trailing", "sgm uniform")


@pytest.mark.parametrize("written", [None, "default", " Default "])
def test_the_models_own_scheduler_is_none(written: JsonValue) -> None:
    assert parse_scheduler(written) is None


@pytest.mark.parametrize(
    "spellings",
    [
        ["dpm++ 2m karras", "DPM++ 2M Karras", "dpmpp_2m_karras", "  dpm++  2m   KARRAS "],
        ["euler", "Euler", "k_euler", {"name": "euler"}],
        ["euler a", "euler_a", "Euler ancestral", "euler-a"],
        ["euler trailing", "euler sgm uniform", {"name": "Euler", "timestep_spacing": "trailing"}],
        ["plms", "PNDM"],
        [
            "euler karras trailing",
            "euler trailing karras",
            {"name": "euler karras", "timestep_spacing": "trailing"},
        ],
    ],
)
def test_equal_spellings_are_equal(spellings: list[JsonValue]) -> None:
    first, *others = [parse_scheduler(written) for written in spellings]
    assert first is not None
    assert all(other == first for other in others)


def test_names_become_classes_with_options() -> None:
    assert parse_scheduler("euler karras") == SchedulerUse(
        type="EulerDiscreteScheduler", options={"use_karras_sigmas": True}
    )
    sde = parse_scheduler("dpm++ 2m sde")
    assert sde is not None
    assert sde.options["algorithm_type"] == "sde-dpmsolver++"


def test_different_names_are_different() -> None:
    uses = [parse_scheduler(name) for name in SCHEDULER_NAMES if "sgm uniform" not in name]
    assert all(use not in uses[:at] for at, use in enumerate(uses))


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("eular", "did you mean 'euler'?"),
        ("DPM++ 2M Kerras", "did you mean 'dpm\\+\\+ 2m karras'?"),
        ("xyzzy", "known are euler, euler a"),
        ("", "known are euler"),
        ("euler a karras", "has no karras form; it has euler a leading"),
        ("ddim exponential", "has no exponential form"),
        ("euler karras exponential", "two noise schedules"),
        ("euler leading trailing", "given twice"),
        ("lms karras", "needs SciPy"),
        ("euler beta", "needs SciPy"),
        (3, "must be a name"),
        (["euler"], "must be a name"),
        ({}, "needs a name"),
        ({"name": 3}, "needs a name"),
        ({"name": "default", "steps_offset": 1}, "takes no options"),
        ({"name": "euler", "timestep_spacin": "trailing"}, "did you mean 'timestep_spacing'?"),
        ({"name": "ddim", "use_karras_sigmas": True}, "takes no option 'use_karras_sigmas'"),
        ({"name": "euler", "timestep_spacing": "even"}, "leading or linspace or trailing"),
        ({"name": "euler", "use_karras_sigmas": 1}, "must be true or false, not 1"),
        ({"name": "euler", "steps_offset": True}, "whole number"),
        ({"name": "dpm++ 2m", "solver_order": 4}, "from 1 to 3"),
    ],
)
def test_what_is_wrong_is_said(written: JsonValue, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_scheduler(written)


class TestAgainstDiffusers:
    """The table against the installed diffusers: a name that parses is a name that renders."""

    def test_every_class_takes_the_options_it_is_given(self, diffusers: Any) -> None:
        for name in SCHEDULER_NAMES:
            use = parse_scheduler(name)
            assert use is not None
            assert use.type in SCHEDULER_TYPES
            assert use.options.keys() <= _parameters(getattr(diffusers, use.type))

    @pytest.fixture(scope="class")
    def torch(self) -> Any:
        torch = pytest.importorskip("torch")
        torch.set_num_threads(1)
        return torch

    def test_every_name_draws(self, diffusers: Any, torch: Any) -> None:
        for name in SCHEDULER_NAMES:
            assert torch.isfinite(_drawn(diffusers, torch, name, 5)).all(), name

    def test_every_sampler_repeats_itself_from_a_seed(self, diffusers: Any, torch: Any) -> None:
        for name in SCHEDULER_NAMES:
            if not name.endswith(WORDS):
                first, second = (_drawn(diffusers, torch, name, 5) for _ in range(2))
                assert torch.equal(first, second), name

    def test_every_sampler_draws_in_one_step(self, diffusers: Any, torch: Any) -> None:
        for name in SCHEDULER_NAMES:
            if not name.endswith(WORDS):
                assert torch.isfinite(_drawn(diffusers, torch, name, 1)).all(), name


def _parameters(scheduler_type: Any) -> set[str]:
    return set(inspect.signature(scheduler_type.__init__).parameters)


def _drawn(diffusers: Any, torch: Any, name: str, steps: int) -> Any:
    """A small latent denoised by a stand-in for the UNet."""
    use = parse_scheduler(name)
    assert use is not None
    scheduler = getattr(diffusers, use.type).from_config(SDXL_CONFIG, **use.options)
    scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(7)
    latent = torch.randn(1, 4, 8, 8, generator=generator) * scheduler.init_noise_sigma
    takes = inspect.signature(scheduler.step).parameters
    options = {"generator": generator} if "generator" in takes else {}
    for timestep in scheduler.timesteps:
        noise = torch.tanh(scheduler.scale_model_input(latent, timestep))
        latent = scheduler.step(noise, timestep, latent, **options).prev_sample
    return latent
