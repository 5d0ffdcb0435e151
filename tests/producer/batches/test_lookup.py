"""`@last`, and commands without a configured store: the last batch is found in its own store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from common.batch import Batch
from common.config import load_config
from common.job import BUILTIN_MODELS
from common.store import object_names, open_store
from producer.batches import remember, store_for
from producer.cli.main import run
from producer.language.settings import DEFAULTS
from tests.support.orders import frozen, put_batch

BATCH = Batch(
    name="wolves",
    settings=DEFAULTS | {"model": "tiny", "prompt": "a wolf"},
    axes=(),
    models=dict(BUILTIN_MODELS),
)


@pytest.fixture
def rendered(tmp_path: Path) -> str:
    """The store of a batch that was the last one, which is configured nowhere."""
    store = str(tmp_path / "out" / "store")
    open_store(store).put(object_names.batch(BATCH.id), BATCH.to_bytes())
    remember(load_config({"store": store}), BATCH.id)
    return store


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any, str]:
    code = run([*arguments, "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out), err


@pytest.mark.parametrize("word", ["@last", "wolves", BATCH.id])
def test_without_a_store_the_last_batchs_own_is_looked_in(
    capsys: pytest.CaptureFixture[str], rendered: str, word: str
) -> None:
    code, answer, said = ask(capsys, "status", word)
    assert (code, answer["batch"]) == (0, BATCH.id)
    assert f"looking in {rendered}" in said


def test_list_likewise(capsys: pytest.CaptureFixture[str], rendered: str) -> None:
    code, answer, _ = ask(capsys, "list")
    assert code == 0
    assert [row["batch"] for row in answer["batches"]] == [BATCH.id]
    assert rendered


def test_last_is_found_though_another_store_is_configured(
    capsys: pytest.CaptureFixture[str], rendered: str, tmp_path: Path
) -> None:
    """A local render between two submits; a name still means the configured store."""
    elsewhere = str(tmp_path / "farm")
    Path(elsewhere).mkdir()
    assert ask(capsys, "status", "@last", "--store", elsewhere)[1]["batch"] == BATCH.id
    code, answer, _ = ask(capsys, "status", "wolves", "--store", elsewhere)
    assert (code, answer["error"]) == (2, "NotFound")
    assert rendered


def test_a_configured_store_that_has_it_is_used(rendered: str, tmp_path: Path) -> None:
    both = str(tmp_path / "both")
    open_store(both).put(object_names.batch(BATCH.id), BATCH.to_bytes())
    assert store_for("@last", load_config({"store": both})) == both
    assert store_for("@last", load_config({})) == rendered


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


@pytest.mark.parametrize("content", [None, "", "wolves-00000000", "a\nb\nc\n"])
def test_nothing_remembered_is_no_store(content: str | None, tmp_path: Path) -> None:
    config = load_config({"cache": str(tmp_path)})
    if content is not None:
        (tmp_path / "last-batch").write_text(content)
    assert store_for("@last", config) == ""
