"""From settings to a Job: what cannot change a pixel is dropped, what can is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.batch import Matrix
from common.batch.normalise import laid_over
from common.job import TINY_REFINER, Crop, Job, NegativePrompt, Size
from producer.language import load_batch_file

ALL = """
model: tiny
lora_files: {a: me/a, b: me/b}
words: {animal: [wolf]}
"""


def jobs(text: str) -> list[Job]:
    batch = load_batch_file(None, text=ALL + text, base_dir=Path()).batch
    return [cell.job for cell in Matrix(batch)]


def job(settings: str = "", prompts: str = "[wolf]") -> Job:
    [one] = jobs(f"prompts: {prompts}\nsettings: {{{settings}}}")
    return one


REFINED = "high_noise_frac: 0.8"
GUIDED = "guidance_scale: 7, negative_prompt: bad"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # what says nothing new
        ("prompt_2: wolf", ""),
        ("prompt_2: ' wolf '", ""),
        ("prompt_2: ''", ""),
        (f"{GUIDED}, negative_prompt_2: ''", GUIDED),
        ("original_size: 128x128, target_size: 128x128", ""),
        ("size: 512x768, original_size: 512x768", "size: 512x768"),
        ("crop: {top: 0, left: 0}", ""),
        ("crop: {}", ""),
        ("crop: {top: 0, left: 8}", "crop: {left: 8}"),
        (f"{GUIDED}, negative_prompt_2: bad", GUIDED),
        (f"{REFINED}, steps: 30, refiner.steps: 30", f"{REFINED}, steps: 30"),
        (f"{REFINED}, refiner.guidance_scale: 5", REFINED),
        (f"{REFINED}, refiner.prompt: wolf", REFINED),
        (f"{REFINED}, {GUIDED}, refiner.negative_prompt: bad", f"{REFINED}, {GUIDED}"),
        (f"{REFINED}, refiner.aesthetic_score: 6", REFINED),
        (f"{REFINED}, refiner.negative_aesthetic_score: 2.5", REFINED),
        (f"{REFINED}, refiner.model: tiny-refiner", REFINED),
        # what nobody reads
        ("negative_prompt_2: bad", ""),
        ("guidance_scale: 1, negative_prompt: bad, negative_prompt_2: x", "guidance_scale: 1"),
        ("guidance_scale: 0.5, negative_prompt: bad", "guidance_scale: 0.5"),
        ("refiner: {steps: 5, prompt: x, aesthetic_score: 2}", ""),
        (f"{REFINED}, refiner.strength: 0.3", REFINED),
        (f"{REFINED}, refiner.guidance_scale: 1, refiner.negative_prompt: x",
         f"{REFINED}, refiner.guidance_scale: 1"),
        (f"{REFINED}, refiner.guidance_scale: 1, refiner.negative_aesthetic_score: 3",
         f"{REFINED}, refiner.guidance_scale: 1"),
        (f"{REFINED}, guidance_scale: 1, negative_prompt: x", f"{REFINED}, guidance_scale: 1"),
        (f"{REFINED}, guidance_scale: 1, refiner.negative_prompt: x",
         f"{REFINED}, guidance_scale: 1"),
        ("loras: {a: 0}", ""),
        ("loras.a: 0", ""),
        ("loras: {a: {unet: 0, text_encoder: 0}}", ""),
        # other spellings
        ("refiner: {steps: 5}, high_noise_frac: 0.8", "refiner.steps: 5, high_noise_frac: 0.8"),
        ("loras: {a: 0.5}", "loras.a: 0.5"),
        ("loras: {a: 0.5, b: 1}", "loras.b: 1, loras.a: 0.5"),
        ("loras: {b: 1}, loras.a: 0.5", "loras: {a: 0.5, b: 1}"),
        ("loras.a: {unet: 0.5, text_encoder: 0.5}", "loras.a: 0.5"),
        ("loras: {a: {unet: 0.5}}", "loras: {a: {unet: 0.5, text_encoder: 1}}"),
        ("loras: {a: 0.7}, lora_scale: 0.1", "loras: {a: 0.07}"),
        ("guidance_scale: 5.0", "guidance_scale: 5"),
        ("guidance_scale: 5e0", ""),
        ("scheduler: DPM++ 2M Karras", "scheduler: {name: dpmpp_2m, use_karras_sigmas: true}"),
        ("scheduler: default", "scheduler: null"),
        ("size: 128X128", ""),
        # defaults written out
        ("steps: 50, guidance_scale: 5, seed: 0, noise: cpu, negative_prompt: null", ""),
        ("dtype: fp32, vae: own, long_prompts: truncate, lora_scale: 1, high_noise_frac: 1", ""),
    ],
)  # fmt: skip
def test_equal_pictures_have_equal_keys(one: str, other: str) -> None:
    assert job(one).to_json() == job(other).to_json()
    assert job(one).key == job(other).key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("prompt_2: cat", ""),
        ("crop: {left: 8}", "crop: {top: 8}"),
        ("original_size: 512x512", "target_size: 512x512"),
        ("original_size: 512x1024", "original_size: 1024x512"),
        ("negative_prompt: ''", ""),
        (f"{GUIDED}, negative_prompt_2: other", GUIDED),
        ("guidance_scale: 1.01, negative_prompt: x", "guidance_scale: 1.01"),
        ("refiner.strength: 0.3", ""),
        ("refiner.strength: 0.3", REFINED),
        ("refiner.strength: 0.3", "refiner.strength: 0.4"),
        ("refiner.strength: 1", ""),
        (f"{REFINED}, refiner.steps: 30", REFINED),
        (f"{REFINED}, refiner.prompt: cat", REFINED),
        (f"{REFINED}, {GUIDED}, refiner.negative_prompt: null", f"{REFINED}, {GUIDED}"),
        (f"{REFINED}, {GUIDED}, refiner.negative_prompt: ''", f"{REFINED}, {GUIDED}"),
        (f"{REFINED}, refiner.guidance_scale: 1", REFINED),
        (f"{REFINED}, refiner.guidance_scale: 1, refiner.aesthetic_score: 3",
         f"{REFINED}, refiner.guidance_scale: 1"),
        (f"{REFINED}, guidance_scale: 1, refiner: {{guidance_scale: 5, negative_prompt: x}}",
         f"{REFINED}, guidance_scale: 1, refiner: {{guidance_scale: 5}}"),
        (f"{REFINED}, guidance_scale: 1, refiner.guidance_scale: 5, negative_prompt: x",
         f"{REFINED}, guidance_scale: 1, refiner.guidance_scale: 5"),
        ("loras: {a: {unet: 0.5}}", "loras: {a: 0.5}"),
        ("loras: {a: 1}", "loras: {b: 1}"),
    ],
)  # fmt: skip
def test_what_changes_a_pixel_changes_the_key(one: str, other: str) -> None:
    assert job(one).key != job(other).key


def test_a_job_says_only_what_is_used() -> None:
    """Then a feature that comes later leaves every old key as it was."""
    plain = {
        "epoch", "model", "dtype", "prompt", "seed", "width", "height", "steps", "guidance_scale",
    }  # fmt: skip
    assert job().to_json().keys() == plain
    assert job("scheduler: default, loras: {a: 0}, refiner.steps: 3").to_json().keys() == plain
    refined = job(f"{REFINED}, steps: 30").to_json()
    assert refined.keys() == plain | {"high_noise_frac", "refiner"}
    assert refined["refiner"] == {"model": TINY_REFINER}


class TestRefiner:
    def test_without_guidance_of_its_own_it_has_the_bases(self) -> None:
        refiner = job(f"{REFINED}, guidance_scale: 7").refiner
        assert refiner
        assert (refiner.guidance_scale, refiner.steps, refiner.prompt) == (None, None, None)
        assert refiner.strength is None

    def test_a_guided_refiner_behind_an_unguided_base_reads_the_negative_prompt(self) -> None:
        found = job(
            f"{REFINED}, guidance_scale: 1, negative_prompt: bad, refiner.guidance_scale: 5"
        )
        assert found.negative_prompt is None
        assert found.refiner
        assert found.refiner.negative_prompt == NegativePrompt(text="bad")

    def test_an_unguided_refiner_behind_a_guided_base_reads_none(self) -> None:
        found = job(f"{REFINED}, {GUIDED}, refiner: {{guidance_scale: 1, negative_prompt: x}}")
        assert found.negative_prompt == "bad"
        assert found.refiner
        assert found.refiner.negative_prompt is None
        assert found.refiner.guidance_scale == 1

    def test_null_is_no_negative_prompt_where_the_base_has_one(self) -> None:
        refiner = job(f"{REFINED}, {GUIDED}, refiner.negative_prompt: null").refiner
        assert refiner and refiner.negative_prompt == NegativePrompt(text=None)

    def test_with_a_strength_it_repaints_the_finished_picture(self) -> None:
        found = job("refiner: {strength: 0.3, steps: 20}")
        assert (found.high_noise_frac, found.refiner and found.refiner.strength) == (1.0, 0.3)
        assert found.refiner and found.refiner.steps == 20


class TestConditioning:
    def test_sizes_and_crop_reach_the_job(self) -> None:
        found = job("size: 512x768, original_size: 4096x1, target_size: 512x512, crop: {left: 8}")
        assert (found.width, found.height) == (512, 768)
        assert found.original_size == Size(width=4096, height=1)
        assert found.target_size == Size(width=512, height=512)
        assert found.crop == Crop(left=8)

    def test_words_are_filled_into_every_prompt(self) -> None:
        found = job(
            "prompt_2: '2 {animal}', negative_prompt: '3 {animal}', high_noise_frac: 0.5,"
            " negative_prompt_2: '4 {animal}',"
            " refiner: {prompt: '5 {animal}', negative_prompt: '{{6}} {animal}'}",
            "['{animal}']",
        )
        refiner = found.refiner
        assert refiner and refiner.negative_prompt
        assert [
            found.prompt, found.prompt_2, found.negative_prompt, found.negative_prompt_2,
            refiner.prompt, refiner.negative_prompt.text,
        ] == ["wolf", "2 wolf", "3 wolf", "4 wolf", "5 wolf", "{6} wolf"]  # fmt: skip

    def test_prompts_are_compared_when_their_words_are_filled_in(self) -> None:
        assert job("prompt_2: '{animal}'").prompt_2 is None


class TestLoras:
    @pytest.mark.parametrize(
        ("settings", "prompt", "variant", "expected"),
        [
            ("loras.a: 1", "", "", {"a": 1}),
            ("loras: {a: 1}", "", "loras.a: 0.5", {"a": 0.5}),
            ("loras: {a: 1}", "", "loras.b: 0.5", {"a": 1, "b": 0.5}),
            ("loras: {a: 1}", "", "loras.a: 0", {}),
            ("", "loras.a: 1", "loras: {}", {}),
            ("loras.b: 1", "loras.a: 1", "loras: {}", {}),
            ("", "loras: {a: 1}", "loras: {b: 1}", {"b": 1}),
            ("", "loras.a: 1", "loras.b: 1", {"a": 1, "b": 1}),
            ("loras.a: 1", "loras: {b: 1}", "", {"b": 1}),
            ("loras: {b: 1}", "loras.a: 1", "loras.a: 2", {"a": 2, "b": 1}),
        ],
    )
    def test_layers(
        self, settings: str, prompt: str, variant: str, expected: dict[str, float]
    ) -> None:
        """settings < prompt < variant; `loras` replaces all, `loras.NAME` one."""
        text = (
            f"settings: {{{settings}}}\nprompts: {{w: {{prompt: wolf, {prompt}}}}}\n"
            f"variants: {{v: {{{variant}}}}}\n"
        )
        [found] = jobs(text)
        [same] = jobs(f"prompts: [wolf]\nsettings: {{loras: {_flow(expected)}}}")
        assert found.key == same.key

    def test_one_axis_for_each_lora(self) -> None:
        found = jobs("prompts: [wolf]\naxes: {loras.a: [0, 1], loras.b: [0, 1]}")
        assert [[use.unet for use in one.loras] for one in found] == [[], [1], [1], [1, 1]]
        assert len({one.key for one in found}) == 4


def _flow(mapping: dict[str, float]) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in mapping.items()) + "}"


def test_laying_over_changes_neither_layer() -> None:
    below: dict[str, Any] = {"loras.a": 1.0, "steps": 3}
    above: dict[str, Any] = {"loras": {}}
    assert laid_over(below, above) == {"loras": {}, "steps": 3}
    assert (below, above) == ({"loras.a": 1.0, "steps": 3}, {"loras": {}})
