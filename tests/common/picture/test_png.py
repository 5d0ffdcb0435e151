"""A picture's bytes: every pixel kept, every Job read back, hostile PNGs refused."""

from __future__ import annotations

import hashlib
import json
import struct
import threading
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from common.errors import GridfarmError
from common.job import Job, LoraUse, RefinerUse, parse_scheduler
from common.picture import PictureMeta, decode_meta, png
from common.picture.png import encode, parameters_text

SDXL = f"stabilityai/stable-diffusion-xl-base-1.0@{'a' * 40}"
REFINER = f"stabilityai/stable-diffusion-xl-refiner-1.0@{'b' * 40}"


def a_job(**changes: Any) -> Job:
    plain = {"model": SDXL, "dtype": "fp16", "prompt": "a wolf", "seed": 7}
    return Job(**plain | {"width": 64, "height": 64, "steps": 50, "guidance_scale": 13} | changes)


def a_meta(**changes: Any) -> PictureMeta:
    return PictureMeta(a_job(**changes), {"device": "NVIDIA L4", "torch": "2.13.0"}, {"base": 1.25})


def an_image(width: int = 64, height: int = 48) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def opened(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


class TestRoundTrip:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "a wolf, (chilly: nature)++ \"documentary\" 'film'",
            "line one\nline two\r\n\tNegative prompt: none\nSteps: 3, Sampler: x",
            "オオカミ 漢字 волк ذئب 🐺\u200d",
            "control \x00 \x1b \x7f \x85 characters",
            "w" * 200_000,
            "\x01" * 200_000,
            "🐺" * 200_000,
        ],
        ids=["empty", "marks", "lines", "scripts", "controls", "long", "escaped", "four-byte"],
    )
    def test_prompts_of_any_text_are_read_back(self, text: str) -> None:
        meta = a_meta(prompt=text, negative_prompt=text)

        assert decode_meta(encode(an_image(), meta).png) == meta

    def test_the_largest_seed_and_every_field_are_read_back(self) -> None:
        meta = a_meta(
            seed=2**64 - 1,
            negative_prompt="",
            vae=f"file:{'c' * 64}",
            high_noise_frac=0.8,
            refiner=RefinerUse(model=REFINER, aesthetic_score=2.5),
            scheduler=parse_scheduler("dpm++ 2m karras"),
            loras=(LoraUse(sha256="d" * 64, unet=1.0, text_encoder=-0.5),),
        )

        read = decode_meta(encode(an_image(), meta).png)

        assert read == meta
        assert read.job.key == meta.job.key

    @settings(max_examples=60, deadline=None)
    @given(
        prompt=st.text(st.characters(codec="utf-8"), max_size=200),
        negative_prompt=st.none() | st.text(st.characters(codec="utf-8"), max_size=50),
        seed=st.integers(0, 2**64 - 1),
        steps=st.integers(1, 1000),
        guidance_scale=st.floats(0, 100),
        scheduler=st.sampled_from(["default", "euler a", "unipc karras", "euler trailing"]),
        fingerprint=st.dictionaries(
            st.text(st.characters(codec="utf-8"), max_size=9), st.text("a")
        ),
        seconds=st.floats(0, 1e6),
    )
    def test_any_job_is_read_back(
        self, scheduler: str, fingerprint: dict[str, Any], seconds: float, **fields: Any
    ) -> None:
        job = a_job(scheduler=parse_scheduler(scheduler), **fields)
        meta = PictureMeta(job, fingerprint, {"base": seconds})

        assert decode_meta(encode(Image.new("RGB", (8, 8)), meta).png) == meta


class TestObjects:
    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
    def test_every_pixel_is_kept(self, mode: str) -> None:
        image = an_image(257, 129).convert(mode)

        read = opened(encode(image, a_meta()).png)

        assert read.mode == mode
        assert np.array_equal(np.asarray(read), np.asarray(image))

    @pytest.mark.parametrize(
        ("size", "expected"),
        [((1024, 1024), (320, 320)), ((1216, 832), (320, 219)), ((64, 8192), (2, 320))],
    )
    def test_the_thumbnails_longest_side_is_320(
        self, size: tuple[int, int], expected: tuple[int, int]
    ) -> None:
        thumbnail = opened(encode(Image.new("RGB", size, (200, 10, 10)), a_meta()).thumbnail)

        assert thumbnail.format == "WEBP"
        assert thumbnail.size == expected

    def test_a_small_picture_is_not_enlarged(self) -> None:
        assert opened(encode(an_image(64, 48), a_meta()).thumbnail).size == (64, 48)

    def test_the_sidecar_is_the_metadata_and_the_pngs_hash(self) -> None:
        meta = a_meta()

        encoded = encode(an_image(), meta)

        sidecar = json.loads(encoded.sidecar)
        assert sidecar.pop("sha256") == hashlib.sha256(encoded.png).hexdigest()
        assert sidecar == {
            "version": 1,
            "key": meta.job.key,
            "job": meta.job.to_json(),
            "fingerprint": meta.fingerprint,
            "timings": meta.timings,
        }
        assert sidecar == json.loads(opened(encoded.png).info["gridfarm"])

    def test_the_callers_image_is_left_as_it_was(self) -> None:
        image = an_image(640, 480)
        before, attributes = image.tobytes(), dict(vars(image))

        encode(image, a_meta())

        assert (image.tobytes(), image.size) == (before, (640, 480))
        assert vars(image) == attributes

    def test_threads_with_an_image_each_write_what_one_thread_writes(self) -> None:
        jobs = [(an_image(200 + i, 100), a_meta(seed=i)) for i in range(8)]
        expected = [encode(image, meta) for image, meta in jobs]
        written: dict[int, png.EncodedPicture] = {}

        def work(i: int) -> None:
            written[i] = encode(*jobs[i])

        threads = [threading.Thread(target=work, args=(i,)) for i in range(len(jobs))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [written[i] for i in range(len(jobs))] == expected


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

        assert opened(encode(an_image(), meta).png).info["parameters"] == parameters_text(meta.job)


class TestHostile:
    @pytest.fixture
    def png(self) -> bytes:
        return encode(an_image(), a_meta()).png

    @pytest.mark.parametrize("data", [b"", b"\x89PNG", b"<html>", b"\xff\xd8\xff\xe0JFIF"])
    def test_what_is_no_png_is_said(self, data: bytes) -> None:
        with pytest.raises(GridfarmError, match="not a PNG"):
            decode_meta(data)

    def test_every_truncation_up_to_the_text_is_refused(self, png: bytes) -> None:
        start = png.index(b"iTXt") - 4
        (length,) = struct.unpack_from(">I", png, start)

        for end in range(start + 12 + length):
            with pytest.raises(GridfarmError):
                decode_meta(png[:end])

    def test_a_png_without_our_text_is_said(self) -> None:
        file = BytesIO()
        an_image().save(file, "PNG")

        with pytest.raises(GridfarmError, match="no gridfarm metadata"):
            decode_meta(file.getvalue())

    def test_a_changed_bit_is_damage(self, png: bytes) -> None:
        place = png.index(b'"seed":"7"') + 8
        changed = png[:place] + b"8" + png[place + 1 :]

        with pytest.raises(GridfarmError, match="damaged"):
            decode_meta(changed)

    def test_a_job_that_was_changed_no_longer_fits_its_key(self) -> None:
        text = a_meta().to_json()
        text["job"]["seed"] = "8"

        with pytest.raises(GridfarmError, match="was changed"):
            decode_meta(_png(_itxt(json.dumps(text))))

    def test_a_compressed_text_is_not_inflated(self) -> None:
        bomb = zlib.compress(b" " * 50_000_000, 9)
        chunk = _chunk(b"iTXt", b"gridfarm\0\1\0\0\0" + bomb)

        with pytest.raises(GridfarmError, match="form"):
            decode_meta(_png(chunk))

    def test_a_compressed_chunk_of_the_same_name_is_not_ours(self) -> None:
        texts = PngInfo()
        texts.add_text("gridfarm", "x" * 1_000_000, zip=True)
        file = BytesIO()
        an_image().save(file, "PNG", pnginfo=texts)

        with pytest.raises(GridfarmError, match="no gridfarm metadata"):
            decode_meta(file.getvalue())

    @pytest.mark.parametrize("length", [5 << 20, 2**31, 2**32 - 1])
    def test_a_chunk_that_claims_to_be_huge_is_refused(self, length: int) -> None:
        data = png.SIGNATURE + struct.pack(">I4s", length, b"iTXt") + b"gridfarm\0" * 9

        with pytest.raises(GridfarmError, match="damaged"):
            decode_meta(data)

    def test_a_text_that_is_really_huge_is_refused(self) -> None:
        with pytest.raises(GridfarmError, match="damaged"):
            decode_meta(_png(_itxt('"' + "x" * (5 << 20) + '"')))

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "null",
            "[]",
            "{",
            "[" * 100_000,
            '{"version": 2}',
            '{"version":1,"key":"x","job":{},"fingerprint":{},"timings":{}}',
        ],
        ids=["empty", "null", "list", "half", "deep", "version", "no-job"],
    )
    def test_json_that_is_not_ours_is_refused(self, text: str) -> None:
        with pytest.raises(GridfarmError, match="cannot be read"):
            decode_meta(_png(_itxt(text)))

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("job.seed", str(2**64)),
            ("job.seed", "9" * 5000),
            ("job.width", 10**30),
            ("job.epoch", 2**60),
            ("job.guidance_scale", float("nan")),
            ("job.prompt", "w" * 200_001),
            ("job.unknown", 1),
            ("job.model", "../../etc/passwd"),
            ("timings.base", float("inf")),
            ("fingerprint.threads", float("nan")),
            ("fingerprint.threads", [1, {"deep": float("-inf")}]),
            ("fingerprint", []),
        ],
    )
    def test_values_out_of_bounds_are_refused(self, path: str, value: object) -> None:
        text = a_meta().to_json()
        *parents, last = path.split(".")
        place = text
        for parent in parents:
            place = place[parent]
        place[last] = value

        with pytest.raises(GridfarmError, match="cannot be read"):
            decode_meta(_png(_itxt(json.dumps(text))))

    @pytest.mark.parametrize("number", ["1e999", "-Infinity", "9" * 5000], ids=lambda n: n[:9])
    def test_a_number_that_json_cannot_write_again_is_refused(self, number: str) -> None:
        text = json.dumps(a_meta().to_json()).replace('"NVIDIA L4"', number)

        with pytest.raises(GridfarmError, match="cannot be read"):
            decode_meta(_png(_itxt(text)))

    @settings(max_examples=300, deadline=None)
    @given(data=st.data())
    def test_any_damage_with_a_right_checksum_is_refused_or_harmless(
        self, data: st.DataObject
    ) -> None:
        text = bytearray(png._dump(a_meta().to_json()).encode())
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(text) - 1))
            text[place] = data.draw(st.integers(0, 255))
        try:
            read = decode_meta(_png(_chunk(b"iTXt", b"gridfarm\0\0\0\0\0" + bytes(text))))
        except GridfarmError:
            return
        assert read.job == a_meta().job  # the damage lies in the fingerprint or the timings

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=300))
    def test_any_bytes_behind_the_signature_are_refused(self, data: bytes) -> None:
        with pytest.raises(GridfarmError):
            decode_meta(png.SIGNATURE + data)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", len(data), kind) + data + struct.pack(">I", zlib.crc32(kind + data))


def _itxt(text: str) -> bytes:
    return _chunk(b"iTXt", b"gridfarm\0\0\0\0\0" + text.encode())


def _png(*chunks: bytes) -> bytes:
    return png.SIGNATURE + b"".join(chunks) + _chunk(b"IDAT", b"") + _chunk(b"IEND", b"")
