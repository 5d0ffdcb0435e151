"""The line of settings that other programs read out of a PNG."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.job import LoraUse, RefinerUse, parse_scheduler
from common.picture import encode_picture
from common.picture.a1111 import parameters_text
from tests.support.pictures import REFINER, a_job, a_meta, an_image, opened


class TestParameters:
    """The line that other programs read; they split it at "," and then at ":"."""

    def test_the_settings_are_where_readers_look(self) -> None:
        job = a_job(
            negative_prompt="wrong, bad: worse",
            seed=2**64 - 1,
            width=1216,
            height=832,
            vae=f"madebyollin/sdxl-vae-fp16-fix@{'c' * 40}",
            high_noise_frac=0.8,
            refiner=RefinerUse(model=REFINER),
            scheduler=parse_scheduler("DPM++ 2M Karras"),
        )

        assert parameters_text(job).split("\n") == [
            "a wolf",
            "Negative prompt: wrong, bad: worse",
            "Steps: 50, Sampler: dpm++ 2m karras, CFG scale: 13, Seed: 18446744073709551615,"
            " Size: 1216x832, Model: stable-diffusion-xl-base-1.0, VAE: sdxl-vae-fp16-fix,"
            " Refiner: stable-diffusion-xl-refiner-1.0, Refiner switch at: 0.8, Version: gridfarm",
        ]

    def test_files_are_named_by_the_hashes_that_sites_know(self) -> None:
        lora = LoraUse(sha256="0123456789ab" + "d" * 52, unet=1, text_encoder=1)
        job = a_job(model=f"file:{'f' * 64}", loras=(lora,))

        line, hashes = parameters_text(job).split(", Hashes: ")

        assert "Model: ffffffffff" in line
        assert json.loads(hashes) == {"lora:0123456789": "0123456789", "model": "f" * 10}

    @pytest.mark.parametrize(
        "prompt",
        ["a\nSteps: 1, Sampler: x, Seed: 2\nb", "a Negative prompt: b", "a\r\n\u2028\x85b\x00c"],
        ids=["steps", "negative", "controls"],
    )
    def test_a_prompt_cannot_pass_for_settings(self, prompt: str) -> None:
        text = parameters_text(a_job(prompt=prompt, negative_prompt=prompt))

        assert text.count("Negative prompt:") == 1
        assert [line.split(":")[0] for line in text.splitlines()[1:]] == [
            "Negative prompt",
            "Steps",
        ]
        assert "\x00" not in text

    @settings(max_examples=60, deadline=None)
    @given(prompt=st.text(max_size=80), negative_prompt=st.none() | st.text(max_size=40))
    def test_the_settings_line_splits_into_pairs(
        self, prompt: str, negative_prompt: str | None
    ) -> None:
        job = a_job(prompt=prompt, negative_prompt=negative_prompt)

        last = parameters_text(job).split("\n")[-1]

        pairs = dict(item.split(":") for item in last.split(","))
        assert {"Steps", " Sampler", " CFG scale", " Seed", " Size"} <= set(pairs)

    def test_it_is_in_the_png_where_pillow_finds_it(self) -> None:
        meta = a_meta(prompt="волк")

        assert opened(encode_picture(an_image(), meta).png).info["parameters"] == parameters_text(
            meta.job
        )
