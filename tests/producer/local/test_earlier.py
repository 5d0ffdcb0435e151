"""Stores of a time when each batch had its own are found, taken in, and left as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.config import load_config
from common.store import Store, object_names, open_store
from producer import Farm
from producer.cli.main import run
from producer.farm.connections import Connections
from producer.local.earlier import take_in
from producer.progress import say_nothing, show_no_progress
from tests.support.orders import frozen, pictures_in, put_batch


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """gridfarm-out with two such stores, of which one batch has a picture in common with the
    other's, and was not finished."""
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "gridfarm-out"
    put_batch(earlier(out, "wolves"), frozen("wolves", seeds="0..3"), done=range(4))
    put_batch(earlier(out, "owls"), frozen("owls", seeds="3..5"), state="rendering", done=[0, 1])
    return out


def earlier(out: Path, name: str) -> Store:
    return open_store(str(out / name / "store"))


def test_any_command_finds_all_batches_in_one_store(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["list", "--json"]) == 0
    listed, said = capsys.readouterr()
    rows = {row["batch"]: row for row in json.loads(listed)["batches"]}
    wolves, owls = frozen("wolves", seeds="0..3").id, frozen("owls", seeds="3..5").id
    assert (rows[wolves]["state"], rows[wolves]["done"]) == ("done", 4)
    assert rows[owls]["done"] == 2
    assert "gridfarm-out/wolves/store: 1 batch taken into gridfarm-out/store" in said
    assert pictures_in(open_store(str(out / "store"))) == 5
    for name, pictures in (("wolves", 4), ("owls", 2)):
        assert pictures_in(earlier(out, name)) == pictures  # as they were


def test_the_pictures_take_no_space_twice(out: Path) -> None:
    Farm().batches()
    for path in (out / "store" / "images").rglob("*.png"):
        assert path.stat().st_nlink >= 2


@pytest.mark.usefixtures("out")
def test_what_was_rendered_into_a_folder_is_found_by_the_same_command(tmp_path: Path) -> None:
    """`render --out trial` had its store in it."""
    trial = frozen("trial", seeds="7..8")
    put_batch(open_store(str(tmp_path / "trial" / "store")), trial, done=[0, 1])
    store = Connections(load_config({}), say_nothing, show_no_progress).render_store("trial")
    assert store.url == str(tmp_path / "gridfarm-out" / "store")
    assert Farm().status(trial.id).done == 2


@pytest.mark.usefixtures("out")
def test_it_is_done_once(capsys: pytest.CaptureFixture[str]) -> None:
    """What was removed since does not come back."""
    wolves = frozen("wolves", seeds="0..3").id
    assert run(["rm", wolves, "--yes"]) == 0
    capsys.readouterr()
    assert run(["list"]) == 0
    listed, said = capsys.readouterr()
    assert wolves not in listed
    assert "taken into" not in said


@pytest.mark.parametrize("cut_off_after", [0, 3, 7])
def test_cut_off_anywhere_it_is_completed(out: Path, cut_off_after: int) -> None:
    """And no batch is there before its pictures are."""
    into, store = out / "store", open_store(str(out / "store"))

    def interrupt(_what: str, done: int, _of: int) -> None:
        if done > cut_off_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take_in(out / "wolves" / "store", into, say_nothing, interrupt)
    assert not store.exists(object_names.batch(frozen("wolves", seeds="0..3").id))
    take_in(out / "wolves" / "store", into, say_nothing, show_no_progress)
    assert Farm().status("wolves").done == 4


def test_what_was_written_since_is_newer(out: Path) -> None:
    """A batch that the one store has already keeps its documents."""
    wolves = frozen("wolves", seeds="0..3")
    store = open_store(str(out / "store"))
    put_batch(store, wolves, submitted=99.0, done=range(2))
    bits = store.get(object_names.done_bitmap(wolves.id))
    Farm().batches()
    assert store.get(object_names.done_bitmap(wolves.id)) == bits
    assert pictures_in(store) == 5
