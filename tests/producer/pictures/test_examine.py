"""A stored picture that is not what it was is told from one that is, and one picture that cannot
be had from a store that is away."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from common.errors import StoreError
from common.picture import PictureMeta, decode_meta
from common.picture.png import encode_png
from common.store import Store, object_names, open_store
from producer.pictures.examine import Flaw, flaw_of, read_picture, whole_picture
from tests.support.orders import frozen
from tests.support.servers import Ministack
from tests.support.troubled_s3 import TroubledS3
from tests.support.whole_pictures import cell_of, damage, flipped, put_rendered, put_whole

BATCH = frozen(more="settings: {size: 64x64}")
CELL, OTHER = cell_of(BATCH, 0), cell_of(BATCH, 1)


@pytest.fixture
def shelf(tmp_path: Path) -> Store:
    """A store with the picture of CELL and the batch's document."""
    store = open_store(str(tmp_path / "store"))
    store.put(object_names.batch(BATCH.id), BATCH.to_bytes())
    put_whole(store, BATCH, [0])
    return store


def stored(store: Store) -> bytes:
    return store.get(object_names.picture(CELL.key))


def reason(store: Store) -> str:
    found = whole_picture(CELL, store, BATCH.id)
    assert isinstance(found, Flaw)
    assert (found.i, found.labels, found.fault) == (0, CELL.labels, "damaged")
    return found.reason


def test_what_a_worker_stored_is_whole(shelf: Store) -> None:
    assert whole_picture(CELL, shelf, BATCH.id) == stored(shelf)


def test_no_bit_can_change_unnoticed(shelf: Store) -> None:
    """By the PNG alone, wherever the bit is: header, metadata, pixels, a checksum, the end."""
    png = stored(shelf)
    missed = [at for at in range(len(png)) if not flaw_of(flipped(png, at=at), CELL.job)]
    assert missed == []


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (lambda png: png[:-20], "cut off"),
        (lambda png: png[:-12], "cut off"),
        (lambda png: png + b"more", "follows its end"),
        (flipped, "bytes of it were changed"),
        (lambda _: b"", "not a PNG"),
        (lambda _: b"GIF89a", "not a PNG"),
        (lambda _: encode_png(Image.new("RGB", (64, 64)), PictureMeta(OTHER.job, {}, {})),
         "another cell's"),
        (lambda _: encode_png(Image.new("RGB", (64, 32)), PictureMeta(CELL.job, {}, {})),
         "another size"),
        (lambda png: encode_png(Image.new("RGB", (64, 64)), decode_meta(png)), "SHA-256"),
    ],
    ids=["cut", "without its end", "longer", "a bit", "empty", "no PNG", "another's", "size",
         "other pixels"],
)  # fmt: skip
def test_what_was_changed_is_damaged(
    shelf: Store, how: Callable[[bytes], bytes], says: str
) -> None:
    damage(shelf, BATCH, 0, how)
    assert reason(shelf).startswith("the stored picture is damaged: ")
    assert says in reason(shelf)


@pytest.mark.parametrize(
    "sidecar", [None, b"", b"[]", b"{}", b"\xff{", b'{"sha256": "0"}', b"[" * 9999]
)
def test_without_a_sidecar_the_png_alone_has_to_do(shelf: Store, sidecar: bytes | None) -> None:
    name = object_names.sidecar(CELL.key)
    shelf.delete(name) if sidecar is None else shelf.put(name, sidecar)
    assert whole_picture(CELL, shelf, BATCH.id) == stored(shelf)
    damage(shelf, BATCH, 0)
    assert "changed" in reason(shelf)


def test_the_sidecar_of_another_rendering_says_nothing(shelf: Store) -> None:
    """Two machines drew the picture at once: the sidecar of one lies beside the PNG of the
    other, which is whole."""
    png = stored(shelf)
    put_rendered(shelf, CELL, seconds=2.0)
    shelf.put(object_names.picture(CELL.key), png)
    sidecar = json.loads(shelf.get(object_names.sidecar(CELL.key)))
    assert sidecar["timings"] != decode_meta(png).timings
    assert whole_picture(CELL, shelf, BATCH.id) == png


def test_what_is_larger_than_any_picture_is_damaged(
    shelf: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producer.pictures.examine.GET_BYTES", 100)
    assert "at most 100 are read" in reason(shelf)


def test_what_is_not_there_is_missing(shelf: Store) -> None:
    found = whole_picture(OTHER, shelf, BATCH.id)
    assert isinstance(found, Flaw) and found.fault == "missing"


def make_unreadable(store: Store) -> None:
    """As a mode of 0600 does it, also for who may read all."""
    path = Path(store.url, object_names.picture(CELL.key))
    path.unlink()
    path.symlink_to(path)


def test_one_file_that_cannot_be_read_is_no_trouble_of_the_store(shelf: Store) -> None:
    make_unreadable(shelf)
    found = read_picture(CELL, shelf, BATCH.id)
    assert isinstance(found, Flaw) and found.fault == "unreadable"
    assert "cannot read images/" in found.reason
    with pytest.raises(StoreError):  # nobody says which batch's document has to answer
        read_picture(CELL, shelf)
    shelf.delete(object_names.batch(BATCH.id))
    with pytest.raises(StoreError):
        read_picture(CELL, shelf, BATCH.id)


@pytest.mark.integration
@pytest.mark.usefixtures("impatient_s3")
@pytest.mark.parametrize(
    ("trouble", "says"), [("forbidden", "s3:GetObject"), ("cold", "restore the object first")]
)
def test_an_s3_object_of_its_own_rights_or_in_cold_storage(
    s3_server: Ministack,
    s3_store_url: str,
    monkeypatch: pytest.MonkeyPatch,
    trouble: str,
    says: str,
) -> None:
    with TroubledS3(s3_server.port) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        store = open_store(s3_store_url)
        store.put(object_names.batch(BATCH.id), BATCH.to_bytes())
        put_whole(store, BATCH, [0, 1])
        server.begin(trouble, only=CELL.key)
        found = whole_picture(CELL, store, BATCH.id)
        assert isinstance(found, Flaw) and found.fault == "unreadable"
        assert says in found.reason
        assert isinstance(whole_picture(OTHER, store, BATCH.id), bytes)
        server.begin(trouble)
        with pytest.raises(StoreError):
            whole_picture(CELL, store, BATCH.id)
