"""Each stage's scheduler and timesteps, as diffusers counts them."""

from __future__ import annotations

from typing import Any

import diffusers

from common.errors import BadInput
from common.job import SCHEDULER_TYPES, Job, SchedulerUse
from worker.engine.stages import Stage


def new_scheduler(own: Any, use: SchedulerUse | None, steps: int) -> Any:
    """A fresh scheduler (they hold state), from the model's own config and the job's options.

    Its timesteps are set, so its length is known. Raises BadInput for options that do not
    go together or not with so many steps.
    """
    kind, options = (type(own), {}) if use is None else (_scheduler_type(use.type), use.options)
    try:
        scheduler = kind.from_config(own.config, **options)
        scheduler.set_timesteps(steps)
    except (ValueError, NotImplementedError, IndexError, TypeError, RuntimeError) as error:
        text = " ".join([kind.__name__, *(f"{name}={options[name]}" for name in options)])
        raise BadInput(
            f"the scheduler {text} does not work with {steps} steps: {error}",
            hint="choose other options or another number of steps",
        ) from error
    return scheduler


def _scheduler_type(name: str) -> Any:
    if name not in SCHEDULER_TYPES:
        raise BadInput(f"this worker knows no scheduler {name!r}", hint="update it")
    return getattr(diffusers, name)


def base_steps(scheduler: Any, high_noise_frac: float) -> int:
    """How many timesteps diffusers' base takes: those down to its cutoff (`denoising_end`)."""
    if high_noise_frac == 1:
        return len(scheduler.timesteps)
    trained = scheduler.config.num_train_timesteps
    return int((scheduler.timesteps >= round(trained - high_noise_frac * trained)).sum())


def refiner_steps(pipe: Any, stage: Stage, device: str) -> int:
    strength, start = (stage.arguments.get(name) for name in ("strength", "denoising_start"))
    return len(pipe.get_timesteps(stage.steps, strength, device, denoising_start=start)[0])


def check_left_out(job: Job, stage: Stage, finished: bool) -> None:
    """A refiner without a step is harmless only where the base has `finished` all of its own
    and hands the picture on. Raises BadInput."""
    assert job.refiner is not None
    strength = job.refiner.strength
    if strength is not None:
        raise BadInput(
            f"refiner.strength {strength:g} of {stage.steps} steps is not one step",
            hint="raise refiner.strength or refiner.steps: their product is at least 1",
        )
    if not finished:
        raise BadInput(
            f"none of the refiner's {stage.steps} steps lies behind high_noise_frac "
            f"{job.high_noise_frac:g}, so the base's noise would stay",
            hint="raise refiner.steps or lower high_noise_frac",
        )
