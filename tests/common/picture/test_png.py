"""A picture's three objects: every pixel kept, a thumbnail, a sidecar."""

from __future__ import annotations

import hashlib
import json
import threading

import numpy as np
import pytest
from PIL import Image

from common.picture import EncodedPicture, encode_picture
from tests.support.pictures import a_meta, an_image, opened


class TestObjects:
    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
    def test_every_pixel_is_kept(self, mode: str) -> None:
        image = an_image(257, 129).convert(mode)

        read = opened(encode_picture(image, a_meta()).png)

        assert read.mode == mode
        assert np.array_equal(np.asarray(read), np.asarray(image))

    @pytest.mark.parametrize(
        ("size", "expected"),
        [((1024, 1024), (320, 320)), ((1216, 832), (320, 219)), ((64, 8192), (2, 320))],
    )
    def test_the_thumbnails_longest_side_is_320(
        self, size: tuple[int, int], expected: tuple[int, int]
    ) -> None:
        thumbnail = opened(
            encode_picture(Image.new("RGB", size, (200, 10, 10)), a_meta()).thumbnail
        )

        assert thumbnail.format == "WEBP"
        assert thumbnail.size == expected

    def test_a_small_picture_is_not_enlarged(self) -> None:
        assert opened(encode_picture(an_image(64, 48), a_meta()).thumbnail).size == (64, 48)

    def test_the_sidecar_is_the_metadata_and_the_pngs_hash(self) -> None:
        meta = a_meta()

        encoded = encode_picture(an_image(), meta)

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

        encode_picture(image, a_meta())

        assert (image.tobytes(), image.size) == (before, (640, 480))
        assert vars(image) == attributes

    def test_threads_with_an_image_each_write_what_one_thread_writes(self) -> None:
        jobs = [(an_image(200 + i, 100), a_meta(seed=i)) for i in range(8)]
        expected = [encode_picture(image, meta) for image, meta in jobs]
        written: dict[int, EncodedPicture] = {}

        def work(i: int) -> None:
            written[i] = encode_picture(*jobs[i])

        threads = [threading.Thread(target=work, args=(i,)) for i in range(len(jobs))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [written[i] for i in range(len(jobs))] == expected
