"""Every Job is read back from its PNG, and hostile PNGs are refused."""

from __future__ import annotations

import json
import struct
import zlib
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from common.errors import GridfarmError
from common.job import LoraUse, RefinerUse, parse_scheduler
from common.picture import PictureMeta, decode_meta, encode_picture
from common.picture.metadata import SIGNATURE, dump
from tests.support.pictures import REFINER, a_job, a_meta, an_image


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

        assert decode_meta(encode_picture(an_image(), meta).png) == meta

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

        read = decode_meta(encode_picture(an_image(), meta).png)

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

        assert decode_meta(encode_picture(Image.new("RGB", (8, 8)), meta).png) == meta


class TestHostile:
    @pytest.fixture
    def png(self) -> bytes:
        return encode_picture(an_image(), a_meta()).png

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
        data = SIGNATURE + struct.pack(">I4s", length, b"iTXt") + b"gridfarm\0" * 9

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
        text = bytearray(dump(a_meta().to_json()).encode())
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
            decode_meta(SIGNATURE + data)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", len(data), kind) + data + struct.pack(">I", zlib.crc32(kind + data))


def _itxt(text: str) -> bytes:
    return _chunk(b"iTXt", b"gridfarm\0\0\0\0\0" + text.encode())


def _png(*chunks: bytes) -> bytes:
    return SIGNATURE + b"".join(chunks) + _chunk(b"IDAT", b"") + _chunk(b"IEND", b"")
