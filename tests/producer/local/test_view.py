"""A view shows one batch as it is: no picture of another, none of an earlier version, and nothing
of a person's own is touched."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from common.batch import Batch, Matrix
from common.store import Store, object_names, open_store
from producer.local import view as view_module
from producer.local.view import KEPT, View
from producer.progress import show_no_progress
from tests.support.orders import frozen, put_batch
from tests.support.whole_pictures import put_whole


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def rendered(store: Store, *, seeds: str = "0..3", more: str = "") -> Batch:
    batch = frozen(seeds=seeds, more=more)
    put_batch(store, batch)
    put_whole(store, batch, range(len(Matrix(batch))))
    return batch


def show(batch: Batch, store: Store, folder: Path, said: list[str] | None = None) -> set[str]:
    """The files of the view then."""
    said = [] if said is None else said
    view = View(folder, store, said.append, show_no_progress)
    view.show(Matrix(batch), due=range(len(Matrix(batch))))
    view.draw(Matrix(batch), batch.id)
    return {str(p.relative_to(view.images)) for p in view.images.rglob("*") if p.is_file()}


def test_its_files_are_the_stores_own(store: Store, tmp_path: Path) -> None:
    """No copies; and nobody writes over a stored picture through one of them by accident."""
    batch = rendered(store)
    assert len(show(batch, store, tmp_path / "view")) == 4
    cell = Matrix(batch)[0]
    assert cell
    stored = tmp_path / "store" / object_names.picture(cell.key)
    shown = next((tmp_path / "view" / "images").rglob("s0/*.png"))
    assert shown.samefile(stored)
    assert not stored.stat().st_mode & 0o222


def test_another_version_leaves_nothing_behind(store: Store, tmp_path: Path) -> None:
    before = show(rendered(store, seeds="0..5"), store, tmp_path / "view")
    after = show(rendered(store, seeds="4..7"), store, tmp_path / "view")
    assert len(before) == 6 and len(after) == 4
    assert after - before and before - after
    folders = [p for p in (tmp_path / "view" / "images").rglob("*") if p.is_dir()]
    assert all(any(folder.iterdir()) for folder in folders)


def test_a_cell_without_a_picture_has_no_earlier_one_under_its_name(
    store: Store, tmp_path: Path
) -> None:
    show(rendered(store, seeds="0..3"), store, tmp_path / "view")
    longer = frozen(seeds="0..3", more="settings: {steps: 7}")
    put_batch(store, longer, state="rendering")
    assert show(longer, store, tmp_path / "view") == set()


def test_what_a_person_put_there_stays(store: Store, tmp_path: Path) -> None:
    own = tmp_path / "view" / "images" / "mine"
    own.mkdir(parents=True)
    (own / "note.txt").write_text("mine")
    (own / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\nnone of gridfarm's")
    (tmp_path / "view" / "turned.png").write_bytes(b"a sheet of a person's own")
    shown = show(rendered(store), store, tmp_path / "view")
    assert {"mine/note.txt", "mine/photo.png"} < shown
    assert (tmp_path / "view" / "turned.png").exists()


def test_a_picture_that_only_the_view_has_is_kept_apart(store: Store, tmp_path: Path) -> None:
    """Its batch was removed since: the view must not show it, and nobody else has it."""
    first = rendered(store, seeds="0..1")
    show(first, store, tmp_path / "view")
    for cell in Matrix(first):
        store.delete(object_names.picture(cell.key))
    said: list[str] = []
    assert len(show(rendered(store, seeds="4..7"), store, tmp_path / "view", said)) == 4
    assert len(list((tmp_path / "view" / KEPT).rglob("*.png"))) == 2
    assert f"2 earlier pictures that the store has no more: now in {tmp_path}" in said[-1]


def test_what_a_person_made_of_a_picture_or_a_sheet_stays(store: Store, tmp_path: Path) -> None:
    """A copy among the pictures, one that was changed and still says what it was made of, another
    name for a sheet; and after another version was rendered, too."""
    view = tmp_path / "view"
    show(rendered(store), store, view)
    first = next((view / "images").rglob("s0/*.png"))
    (view / "images" / "best").mkdir()
    own = [view / "images" / "best" / "fav.png", first.with_name("edited.png")]
    for path in own:
        path.write_bytes(first.read_bytes())
    changed = next((view / "images").rglob("s1/*.png"))
    whole = changed.read_bytes()
    changed.unlink()
    changed.write_bytes(whole[:-20] + b"of somebody's own...")
    shutil.copy(view / "grid.png", view / "grid-final.png")
    for seeds in ("0..0", "4..7"):
        show(rendered(store, seeds=seeds), store, view)
        assert all(path.exists() for path in [*own, changed, view / "grid-final.png"])


def test_sheets_of_another_version_go(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a time when there were two."""
    view, batch = tmp_path / "view", rendered(store)
    with monkeypatch.context() as several:
        several.setattr(view_module, "all_rows", lambda _: None)
        more = "variants: {a: {}, b: {steps: 3}}\naxes: {guidance_scale: [5, 7]}"
        show(rendered(store, more=more), store, view)
    before = {path.name for path in view.glob("*.png")}
    show(batch, store, view)
    assert len(before) > 1
    assert [path.name for path in view.glob("*.png")] == ["grid.png"]
