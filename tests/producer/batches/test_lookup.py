"""`@last` is a batch of the store that is looked in; where another store has what is meant, the
error says so, and nothing is done there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from common.batch import Batch
from common.job import BUILTIN_MODELS
from common.store import Store, object_names, open_store
from producer.catalogue import remember
from producer.cli.main import run
from producer.farm import Farm
from producer.language.settings import DEFAULTS
from tests.support.orders import frozen, left_in, put_batch

BATCH = Batch(
    name="wolves",
    settings=DEFAULTS | {"model": "tiny", "prompt": "a wolf"},
    axes=(),
    models=dict(BUILTIN_MODELS),
)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Store:
    """The store of the batch that was ordered last, which is named nowhere."""
    store = open_store(str(tmp_path / "elsewhere"))
    store.put(object_names.batch(BATCH.id), BATCH.to_bytes())
    remember(Farm().config.cache_dir, BATCH.id, store)
    return store


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any, str]:
    code = run([*arguments, "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out), err


@pytest.mark.parametrize("word", ["@last", "wolves", BATCH.id, "wol"])
@pytest.mark.parametrize("command", ["status", "rm"])
def test_a_batch_of_another_store_is_a_hint_and_no_more(
    capsys: pytest.CaptureFixture[str], elsewhere: Store, tmp_path: Path, word: str, command: str
) -> None:
    """`rm @last --store X` once removed 108 pictures from another store than X."""
    named = open_store(str(tmp_path / "named"))
    put_batch(named, frozen("night"))
    yes = ["--yes"] if command == "rm" else []
    code, answer, _ = ask(capsys, command, word, "--store", named.url, *yes)
    assert (code, answer["error"]) == (2, "NotFound")
    assert answer["hint"] == f"{BATCH.id} is in another store: --store {elsewhere.url}"
    assert left_in(elsewhere) == [object_names.batch(BATCH.id)]


def test_last_is_the_last_of_each_store(
    capsys: pytest.CaptureFixture[str], elsewhere: Store, tmp_path: Path
) -> None:
    """One that was removed since is followed by the one before it."""
    named = open_store(str(tmp_path / "named"))
    for name in ("first", "second"):
        remember(Farm().config.cache_dir, put_batch(named, frozen(name)), named)
    assert ask(capsys, "status", "--store", elsewhere.url)[1]["batch"] == BATCH.id
    assert ask(capsys, "status", "--store", named.url)[1]["batch"] == frozen("second").id
    link = tmp_path / "link"
    link.symlink_to(named.url)
    assert ask(capsys, "status", "--store", str(link))[1]["batch"] == frozen("second").id
    named.delete(object_names.batch(frozen("second").id))
    assert ask(capsys, "status", "--store", named.url)[1]["batch"] == frozen("first").id


def test_last_where_only_renders_store(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that was moved, or an empty cache: the latest batch is meant all the same."""
    monkeypatch.chdir(tmp_path)
    store = open_store(str(tmp_path / "gridfarm-out" / "store"))
    put_batch(store, frozen("late"), submitted=2.0)
    put_batch(store, frozen("early"), submitted=1.0)
    assert ask(capsys, "status")[1]["batch"] == frozen("late").id
    code, answer, _ = ask(capsys, "status", "--store", store.url)
    assert (code, answer["error"]) == (2, "NotFound")  # somebody else's, perhaps


@pytest.mark.parametrize("word", [BATCH.id, BATCH.id[:-4], "wolves"])
def test_what_a_removal_has_left_is_named_as_that(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, word: str
) -> None:
    """Of one that was cut off; nobody is asked whether he means what he has written."""
    store = open_store(str(tmp_path / "store"))
    store.put(object_names.done_bitmap(BATCH.id), b"")
    code, answer, _ = ask(capsys, "status", word, "--store", store.url)
    assert (code, answer["error"]) == (2, "NotFound")
    assert answer["hint"] == f"what a removal has left of it goes with: gridfarm rm {BATCH.id}"
    assert ask(capsys, "rm", BATCH.id, "--yes", "--store", store.url)[0] == 0
    assert [*store.list("")] == []


def test_what_a_removal_has_left_is_not_suggested(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = open_store(str(tmp_path / "store"))
    store.put(object_names.done_bitmap(BATCH.id), b"")
    for word in ("wolvse", "zebra"):
        _, answer, _ = ask(capsys, "status", word, "--store", store.url)
        assert BATCH.id not in answer["hint"]
    other = put_batch(store, frozen("wolfs"))
    hint = ask(capsys, "status", f"x{other}", "--store", store.url)[1]["hint"]
    assert hint == f"did you mean {other}?"


@pytest.mark.parametrize("word", ["Ünïcode 猫", "u\u0308nïcode-猫", "ünï", "@last"])
def test_a_name_in_another_script_is_found_by_its_letters(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, word: str
) -> None:
    """In one form of them or the other, as file systems and keyboards write them."""
    batch, store = BATCH.model_copy(update={"name": "Ünïcode 猫"}), open_store(str(tmp_path))
    store.put(object_names.batch(batch.id), batch.to_bytes())
    remember(Farm().config.cache_dir, batch.id, store)
    code, answer, _ = ask(capsys, "status", word, "--store", store.url)
    assert (code, answer["batch"]) == (0, batch.id)
    assert batch.id.startswith("ünïcode-猫-")


def test_a_name_of_several_batches_is_said_to_be_that(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A trial since would be taken for the whole batch."""
    store = open_store(str(tmp_path))
    put_batch(store, frozen("night", seeds="0..9"), submitted=1.0)
    trial = put_batch(store, frozen("night", seeds="0..1"), submitted=2.0)
    _, answer, said = ask(capsys, "status", "night", "--store", store.url)
    assert answer["batch"] == trial
    assert f"2 batches are called night, trials too; the last is {trial}" in said
