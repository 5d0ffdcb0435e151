from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from PIL import Image

from common.batch import Axis, Batch, Matrix
from common.errors import UsageError
from common.picture import PictureMeta, decode_meta
from common.picture.png import encode_png
from common.store import Store, object_names, open_store
from producer.language.settings import DEFAULTS
from producer.pictures import FetchReport, fetch_pictures, read_flaws
from tests.support.whole_pictures import damage, flipped, put_whole

SETTINGS = DEFAULTS | {"model": "tiny", "seed": "7", "size": "64x64"}
HOSTILE = ["../x", "a/b", "/etc/passwd", "..", "\x00\x1b[2J", "CON", "w" * 5000]


def matrix(*prompts: str, variants: tuple[str, ...] = ("base",)) -> Matrix:
    prompt = [{"label": text, "settings": {"prompt": text}} for text in prompts]
    variant = [{"label": label, "settings": {}} for label in variants]
    axes = ({"name": "prompt", "values": prompt}, {"name": "variant", "values": variant})
    loaded = tuple(Axis.model_validate(axis) for axis in axes)
    return Matrix(Batch(name="b", settings=SETTINGS, axes=loaded, models={"tiny": "tiny@3"}))


def render(cells: Matrix, store: Store, *, only: set[int] | None = None) -> None:
    """Put a picture of its own colour into the store for each cell."""
    for cell in cells:
        if only is None or cell.i in only:
            image = Image.new("RGB", (64, 64), (cell.i * 20, 0, 0))
            png = encode_png(image, PictureMeta(cell.job, {"device": "test"}, {}))
            store.put(object_names.picture(cell.key), png)


def counts(report: FetchReport) -> tuple[int, int, int]:
    return len(report.written), len(report.skipped), len(report.missing)


def files(folder: Path) -> dict[str, str]:
    """Path below `folder` → key of the picture in it."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): decode_meta(p.read_bytes()).job.key for p in found}


@pytest.fixture
def folder_store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def test_every_cell_gets_its_picture_under_its_name(store: Store, tmp_path: Path) -> None:
    cells = matrix("wolf", "cat", "Cat")
    render(cells, store)
    assert counts(fetch_pictures(cells, store, tmp_path / "out")) == (3, 0, 0)
    names = ["wolf/s7/base.png", "cat/s7/base.png", "Cat-2/s7/base.png"]
    assert files(tmp_path / "out") == {
        name: cell.key for name, cell in zip(names, cells, strict=True)
    }


def test_what_is_not_rendered_yet_is_reported_and_leaves_nothing(
    folder_store: Store, tmp_path: Path
) -> None:
    cells = matrix("wolf", "cat")
    render(cells, folder_store, only={0})
    out = tmp_path / "out"
    seen: list[tuple[str, int, int]] = []
    report = fetch_pictures(cells, folder_store, out, progress=lambda *now: seen.append(now))
    wolf, cat = (out / f"{name}/s7/base.png" for name in ("wolf", "cat"))
    assert report == FetchReport(written=(wolf,), skipped=(), missing=(cat,))
    assert seen == [("fetching pictures", 1, 2), ("fetching pictures", 2, 2)]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["wolf"]


def test_a_second_fetch_brings_only_what_is_new(folder_store: Store, tmp_path: Path) -> None:
    cells = matrix("wolf", "cat")
    render(cells, folder_store, only={0})
    fetch_pictures(cells, folder_store, tmp_path)
    before = (tmp_path / "wolf/s7/base.png").stat()
    render(cells, folder_store, only={1})
    assert counts(fetch_pictures(cells, folder_store, tmp_path)) == (1, 1, 0)
    after = (tmp_path / "wolf/s7/base.png").stat()  # a look at it may have changed its atime
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def other_picture(_whole: bytes) -> bytes:
    other = matrix("another prompt")[0]
    assert other is not None
    return encode_png(Image.new("RGB", (64, 64)), PictureMeta(other.job, {}, {}))


@pytest.mark.parametrize(
    "damage",
    [
        other_picture,
        lambda whole: whole[:-40],
        flipped,
        lambda _whole: b"",
        lambda _whole: b"not a picture",
    ],
    ids=["another cell's picture", "cut off", "a bit", "empty", "no picture"],
)
def test_a_file_that_is_not_the_cells_picture_is_replaced(
    damage: Callable[[bytes], bytes], folder_store: Store, tmp_path: Path
) -> None:
    cells = matrix("wolf")
    render(cells, folder_store)
    fetch_pictures(cells, folder_store, tmp_path / "out")
    path = tmp_path / "out/wolf/s7/base.png"
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert counts(fetch_pictures(cells, folder_store, tmp_path / "out")) == (1, 0, 0)
    assert path.read_bytes() == whole


def test_equal_cells_are_downloaded_once_and_found_under_each_name(
    folder_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = matrix("wolf", variants=("a", "b", "c"))
    render(cells, folder_store, only={0})
    downloads = []
    get = folder_store.get

    def counted(name: str, **options: int) -> bytes:
        downloads.append(name)
        return get(name, **options)

    monkeypatch.setattr(folder_store, "get", counted)
    assert counts(fetch_pictures(cells, folder_store, tmp_path / "out")) == (3, 0, 0)
    assert sum(name.endswith(".png") for name in downloads) == 1
    assert set(files(tmp_path / "out")) == {f"wolf/s7/{name}.png" for name in "abc"}


def test_a_file_system_without_links_gets_copies(
    folder_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> None:
        raise PermissionError

    monkeypatch.setattr("os.link", refuse)
    cells = matrix("wolf", variants=("a", "b"))
    render(cells, folder_store)
    fetch_pictures(cells, folder_store, tmp_path / "out")
    a, b = (tmp_path / f"out/wolf/s7/{name}.png" for name in "ab")
    assert a.read_bytes() == b.read_bytes() and a.stat().st_ino != b.stat().st_ino


def test_hostile_labels_stay_in_the_folder(folder_store: Store, tmp_path: Path) -> None:
    cells = matrix(*HOSTILE, variants=tuple(HOSTILE))
    render(cells, folder_store)
    outside = set(tmp_path.rglob("*"))
    report = fetch_pictures(cells, folder_store, tmp_path / "out" / "deep")
    assert counts(report) == (len(HOSTILE) ** 2, 0, 0)
    new = set(tmp_path.rglob("*")) - outside - {tmp_path / "out", tmp_path / "out/deep"}
    assert new and all(path.is_relative_to(tmp_path / "out/deep") for path in new)
    assert len(files(tmp_path / "out/deep")) == len(HOSTILE) ** 2


def test_a_link_that_leads_out_of_the_folder_is_refused(
    folder_store: Store, tmp_path: Path
) -> None:
    cells = matrix("wolf")
    render(cells, folder_store)
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out/wolf").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="leads out of"):
        fetch_pictures(cells, folder_store, tmp_path / "out")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_large_matrix_is_fetched_cell_by_cell(
    folder_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given more cells than are enumerated, nothing is grouped and all is fetched."""
    fetching = import_module("producer.pictures.fetch")
    monkeypatch.setattr(fetching, "ENUMERATE_UP_TO", 2)
    monkeypatch.setattr(fetching, "AT_ONCE", 2)
    cells = matrix("wolf", "cat", "fox", variants=("a", "b"))
    render(cells, folder_store)
    assert counts(fetch_pictures(cells, folder_store, tmp_path / "out")) == (6, 0, 0)
    assert len(files(tmp_path / "out")) == 6


def test_what_cannot_be_written_is_said_and_leaves_no_partial_file(
    folder_store: Store, tmp_path: Path
) -> None:
    """Given a folder where the second of two equal pictures belongs."""
    cells = matrix("wolf", variants=("a", "b"))
    render(cells, folder_store)
    (tmp_path / "out/wolf/s7/b.png").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"cannot write .*b\.png"):
        fetch_pictures(cells, folder_store, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out/wolf/s7").iterdir()} == {"a.png", "b.png"}


def test_what_is_damaged_or_unreadable_is_named_and_holds_up_no_other(
    folder_store: Store, tmp_path: Path
) -> None:
    """A bit of one is another than it was; one cannot be read, here a link that leads to itself.
    Two cells have one picture, which is named once, and counted as files like all others."""
    cells = matrix("wolf", "cat", "fox", variants=("a", "b"))
    folder_store.put(object_names.batch("night-1"), cells.batch.to_bytes())
    put_whole(folder_store, cells.batch, [0, 2, 4])
    damage(folder_store, cells.batch, 2)
    fox = cells[4]
    assert fox
    path = Path(folder_store.url, object_names.picture(fox.key))
    path.unlink()
    path.symlink_to(path)
    report = fetch_pictures(cells, folder_store, tmp_path / "out", batch_id="night-1")
    assert counts(report) == (2, 0, 0)
    assert report.damaged == tuple(tmp_path / f"out/cat/s7/{name}.png" for name in "ab")
    assert report.unreadable == tuple(tmp_path / f"out/fox/s7/{name}.png" for name in "ab")
    cat, unreadable = report.flaws
    assert (cat.fault, unreadable.fault) == ("damaged", "unreadable")
    assert (cat.i, cat.labels["prompt"]) == (2, "cat")
    assert (unreadable.i, unreadable.labels["prompt"]) == (4, "fox")
    assert files(tmp_path / "out").keys() == {"wolf/s7/a.png", "wolf/s7/b.png"}
    assert report.noted
    assert read_flaws(folder_store, "night-1", 6) == {2: cat.reason}
