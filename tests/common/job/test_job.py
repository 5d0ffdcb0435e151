"""The key of a Job: stable across processes and Python versions, blind to what is not used."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from common.job import Crop, Job, LoraUse, NegativePrompt, RefinerUse, SchedulerUse, Size

PLAIN = Job(
    model="tiny@1",
    dtype="fp32",
    prompt="A wolf in Yosemite National Park",
    seed=84061037,
    width=1024,
    height=1024,
    steps=50,
    guidance_scale=13.0,
)
FULL = Job(
    model="stabilityai/stable-diffusion-xl-base-1.0@462165984030d82259a11f4367a4eed129e94a7b",
    vae="madebyollin/sdxl-vae-fp16-fix@207b116dae70ace3637169f1ddd2434b91b3a8cd",
    dtype="fp16",
    prompt="ein Wölfchen, “quoted”\n(papers)++++",
    negative_prompt="",
    long_prompts="chunk",
    seed=2**64 - 1,
    noise="cuda",
    width=1216,
    height=832,
    steps=30,
    guidance_scale=7.5,
    high_noise_frac=0.8,
    refiner=RefinerUse(model="tiny-refiner@1", aesthetic_score=7.0),
    scheduler=SchedulerUse(type="DPMSolverMultistepScheduler", options={"use_karras_sigmas": True}),
    loras=(LoraUse(sha256="ab" * 32, unet=0.7, text_encoder=-1.0),),
)
SECOND_PROMPTS = FULL.model_copy(
    update={
        "prompt_2": "oil on canvas",
        "negative_prompt_2": "",
        "original_size": Size(width=4096, height=2048),
        "target_size": Size(width=512, height=768),
        "crop": Crop(top=8, left=256),
        "refiner": RefinerUse(
            model="tiny-refiner@1",
            steps=20,
            guidance_scale=3.5,
            negative_aesthetic_score=1.0,
            prompt="a wolf",
            negative_prompt=NegativePrompt(text=None),
        ),
    }
)
REPAINTED = PLAIN.model_copy(
    update={
        "crop": Crop(left=64),
        "refiner": RefinerUse(
            model="tiny-refiner@1", strength=0.3, negative_prompt=NegativePrompt(text="")
        ),
    }
)
GOLDEN = {
    "plain": (PLAIN, "3dbe9ce0fc216ca47116a54bac7ea7c09b9cb44afe089a35bf399542fb040606"),
    "second prompts": (
        SECOND_PROMPTS,
        "07e7b445260e3d7bd143d50a6bab9d9bab44bc08d7c6fa624db22979cd00b9d8",
    ),
    "repainted": (REPAINTED, "b37c24dbfc6c585749506afc5fd73a46066345b382b804d8a2a0af5a4148499e"),
    "full": (FULL, "58611a91c1e020b473e229c2cd5057072625bbc1ef227b8468630107c09d3b62"),
}


@pytest.mark.parametrize(("job", "key"), GOLDEN.values(), ids=GOLDEN.keys())
def test_keys_are_golden(job: Job, key: str) -> None:
    """A key that changes loses every stored picture: raise RENDERER_EPOCH instead."""
    assert job.key == key


def test_key_is_the_same_in_another_process() -> None:
    """Given another hash seed, the key is the same."""
    code = (
        "import sys, json; from common.job.job import Job;"
        "print(Job.from_json(json.load(sys.stdin)).key)"
    )
    import json

    answer = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(FULL.to_json()),
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": "."},
    )
    assert answer.stdout.strip() == FULL.key


@pytest.mark.parametrize("job", [job for job, _ in GOLDEN.values()], ids=GOLDEN.keys())
def test_json_round_trip(job: Job) -> None:
    assert Job.from_json(job.to_json()) == job


def test_unused_fields_are_left_out() -> None:
    assert set(PLAIN.to_json()) == {
        "epoch", "model", "dtype", "prompt", "seed", "width", "height", "steps", "guidance_scale",
    }  # fmt: skip


class LaterRefiner(RefinerUse):
    """The refiner as it may be once there is more to say."""

    clip_skip: int | None = None


class Later(Job):
    """The Job likewise."""

    clip_skip: int | None = None
    controls: tuple[str, ...] = ()
    refiner: LaterRefiner | None = None


@pytest.mark.parametrize("job", [job for job, _ in GOLDEN.values()], ids=GOLDEN.keys())
def test_a_field_that_comes_later_changes_no_key(job: Job) -> None:
    later = Later.from_json(job.to_json())
    assert later.key == job.key
    assert Later.from_json(job.to_json() | {"clip_skip": 2}).key != job.key


def test_no_negative_prompt_differs_from_an_empty_one() -> None:
    empty = PLAIN.model_copy(update={"negative_prompt": ""})
    assert Job.from_json(empty.to_json()).negative_prompt == ""
    assert PLAIN.key != Job.from_json(empty.to_json()).key


def test_seeds_are_decimal_strings() -> None:
    assert FULL.to_json()["seed"] == "18446744073709551615"


@pytest.mark.parametrize(
    "change",
    [
        {"seed": str(2**64)},
        {"seed": "-1"},
        {"model": "../../etc/passwd"},
        {"model": "someone/model"},
        {"guidance_scale": float("nan")},
        {"guidance_scale": float("inf")},
        {"width": 1000000},
        {"width": 1001},
        {"steps": 0},
        {"surprise": 1},
        {"high_noise_frac": 0.8},
        {"loras": [{"sha256": "../x", "unet": 1, "text_encoder": 1}]},
        {"scheduler": {"type": "os.system"}},
        {"crop": {"top": -1}},
        {"original_size": {"width": 1}},
        {"target_size": {"width": 20_000, "height": 1}},
        {"refiner": {"model": "tiny-refiner@1"}},
        {"refiner": {"model": "tiny-refiner@1", "strength": 0}},
        {"high_noise_frac": 0.8, "refiner": {"model": "tiny-refiner@1", "strength": 0.5}},
        {"refiner": {"model": "tiny-refiner@1", "strength": 0.5, "steps": 0}},
    ],
    ids=str,
)
def test_hostile_jobs_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Job.from_json(PLAIN.to_json() | change)
