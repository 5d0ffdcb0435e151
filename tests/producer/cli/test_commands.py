"""init, list, open and the words that name a batch, on a store that no broker stands beside."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from common.batch import Matrix, matrix
from common.config import FarmConfig
from common.store import Store, object_names, open_store
from producer import Farm
from producer.batches import list_batches
from producer.catalogue import remember
from producer.cli.commands.list import ago
from producer.cli.main import cli, run
from producer.language import first_batch, load_batch_file
from tests.support.orders import frozen, put_batch
from tests.support.servers import free_port

NOW = 1_800_000_000.0


@pytest.fixture
def gridfarm(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[Any, str]]:
    """Run a command with --json; its answer and what it said, when it ends with `code`."""

    def call(*arguments: str, code: int = 0) -> tuple[Any, str]:
        ended = run([*arguments, "--json"])
        out, err = capsys.readouterr()
        assert ended == code, out + err
        return json.loads(out), err

    return call


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's empty folder, with a store and a cache beside it."""
    monkeypatch.setenv("GRIDFARM_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("GRIDFARM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def shelf(here: Path) -> Store:
    return open_store(str(here.parent / "store"))


class TestInit:
    def test_the_file_plans_as_it_is(self, gridfarm: Any, here: Path) -> None:
        assert gridfarm("init")[0] == {"file": "batch.yaml"}
        answer, _ = gridfarm("plan", "batch.yaml")
        assert answer["axes"] == {"prompt": 2, "seed": 3, "variant": 3}
        assert (answer["jobs"], answer["unresolved"]) == (18, [])
        assert len((here / "batch.yaml").read_text().splitlines()) <= 35

    def test_a_file_that_is_there_is_not_overwritten(self, gridfarm: Any, here: Path) -> None:
        (here / "batch.yaml").write_text("mine")
        answer, _ = gridfarm("init", code=2)
        assert answer["hint"].endswith("gridfarm init batch-2.yaml")
        assert (here / "batch.yaml").read_text() == "mine"

    @pytest.mark.usefixtures("here")
    def test_a_folder_that_is_not_there_is_said(self, gridfarm: Any) -> None:
        answer, _ = gridfarm("init", "nowhere/a.yaml", code=2)
        assert "nowhere/a.yaml" in answer["message"]

    @pytest.mark.parametrize("folder", ["there", "there/", "new/", "a/b/"])
    def test_a_folder_gets_a_file(self, gridfarm: Any, here: Path, folder: str) -> None:
        (here / "there").mkdir()
        file = str(Path(folder, "batch.yaml"))
        assert gridfarm("init", folder)[0] == {"file": file}
        assert "prompts:" in Path(file).read_text()
        assert gridfarm("init", folder, code=2)[0]["message"] == f"{file} is there already"

    @pytest.mark.parametrize(("begin", "cells"), [("axes", 36), ("exclude", 15)])
    def test_the_lines_to_try_work(self, begin: str, cells: int) -> None:
        text = first_batch(Path("night.yaml")).replace(f"# {begin}:", f"{begin}:")
        assert Matrix(load_batch_file(None, text=text, base_dir=Path()).batch).cells == cells

    def test_words_work_as_they_say(self) -> None:
        text = first_batch(Path("night.yaml")).replace("# words:", "words:")
        text = text.replace("a wolf in", "a {animal} in")
        batch = load_batch_file(None, text=text, base_dir=Path()).batch
        assert "animal" in [axis.name for axis in batch.axes]

    @pytest.mark.usefixtures("here")
    def test_it_says_what_to_do_next(self) -> None:
        said = CliRunner().invoke(cli, ["init", "my night.yaml"]).output
        assert "gridfarm render 'my night.yaml' --model tiny" in said


class TestList:
    def test_the_latest_first_and_twenty_of_them(self, gridfarm: Any, shelf: Store) -> None:
        for day in range(23):
            put_batch(shelf, frozen(f"b{day}"), submitted=NOW + day)
        answer, said = gridfarm("list")
        names = [row["batch"].partition("-")[0] for row in answer["batches"]]
        assert names == [f"b{day}" for day in range(22, 2, -1)]
        assert "3 more" in said
        assert len(gridfarm("list", "--all")[0]["batches"]) == 23

    def test_counts_come_from_the_store(self, gridfarm: Any, shelf: Store) -> None:
        """A failure of a cell that was rendered later counts as done."""
        batch = put_batch(shelf, frozen(), state="rendering", submitted=NOW, done=[0, 1])
        for i in (1, 2):
            shelf.put(object_names.failure(batch, i), b"{}")
        [row] = gridfarm("list")[0]["batches"]
        assert row == {
            "batch": batch, "state": "rendering", "jobs": 4, "done": 2, "failed": 1,
            "submitted": NOW, "problem": "",
        }  # fmt: skip

    def test_what_is_left_of_a_removed_batch_is_none(self, gridfarm: Any, shelf: Store) -> None:
        shelf.put(object_names.control("gone-12345678"), b"{}")
        assert gridfarm("list")[0] == {"batches": []}

    def test_a_document_of_another_version_does_not_hide_the_others(
        self, gridfarm: Any, shelf: Store
    ) -> None:
        put_batch(shelf, frozen())
        shelf.put(object_names.batch("newer-12345678"), b'{"schema_number": 99}')
        rows = {row["batch"]: row["jobs"] for row in gridfarm("list")[0]["batches"]}
        assert (len(rows), rows["newer-12345678"]) == (2, None)

    @pytest.mark.integration
    def test_no_cell_is_looked_at(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """Neither of a batch that is over nor of a large one, on either store."""
        put_batch(store, frozen(), done=range(4))
        put_batch(store, frozen("large", seeds="0..99999999"), state="rendering")

        def looked_at(*_: object) -> None:
            raise AssertionError("a cell was looked at")

        monkeypatch.setattr(matrix.Matrix, "__getitem__", looked_at)
        listing = list_batches(store, None, 20)
        assert listing.total == 2
        assert sorted((row.jobs, row.done) for row in listing) == [(4, 4), (10**8, 0)]

    @pytest.mark.integration
    def test_the_ledger_knows_better(self, gridfarm: Any, here: Path, broker: str) -> None:
        (here / "night.yaml").write_text("model: tiny\nprompts: [a wolf]\n")
        gridfarm("submit", "night.yaml", "--broker", broker)
        assert gridfarm("list")[0]["batches"][0]["state"] == "rendering"
        assert gridfarm("list", "--broker", broker)[0]["batches"][0]["state"] == "queued"

    def test_a_broker_that_is_away_is_said(self, gridfarm: Any, shelf: Store) -> None:
        put_batch(shelf, frozen())
        place = f"redis://127.0.0.1:{free_port()}/0"
        answer, said = gridfarm("list", "--broker", place)
        assert (len(answer["batches"]), place in said) == (1, True)

    def test_an_empty_store_says_what_to_do(self, here: Path) -> None:
        (here.parent / "store").mkdir()
        broker = f"redis://127.0.0.1:{free_port()}"
        said = CliRunner().invoke(cli, ["list", "--broker", broker]).output
        assert "gridfarm submit" in said

    def test_the_table_is_aligned(self, shelf: Store) -> None:
        put_batch(shelf, frozen("a"), submitted=time.time(), done=range(4))
        put_batch(shelf, frozen("a-long-name"), state="cancelled", submitted=time.time() - 7_300)
        lines = CliRunner().invoke(cli, ["list"]).output.splitlines()
        words = zip(lines, ("submitted", "just now", "2 h ago"), strict=True)
        assert len({line.index(word) for line, word in words}) == 1
        assert "failed" not in lines[0]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "just now"), (59, "just now"), (60, "1 min ago"), (3_599, "59 min ago"),
     (3_600, "1 h ago"), (86_399, "23 h ago"), (86_400, "1 day ago"), (172_800, "2 days ago"),
     (14 * 86_400, time.strftime("%Y-%m-%d", time.localtime(NOW)))],
)  # fmt: skip
def test_when_something_was(seconds: float, words: str) -> None:
    assert ago(NOW, NOW + seconds) == words


class TestGrid:
    @pytest.mark.parametrize("folder", ["there", "there/", "new/", "a/b/"])
    def test_a_folder_gets_a_sheet_called_after_the_batch(
        self, gridfarm: Any, shelf: Store, here: Path, folder: str
    ) -> None:
        put_batch(shelf, frozen("Night Wolves"))
        (here / "there").mkdir()
        answer, _ = gridfarm("grid", "Night Wolves", "-o", folder)
        assert answer["files"] == [str(Path(folder, "night-wolves.png"))]
        assert Path(answer["files"][0]).read_bytes().startswith(b"\x89PNG")

    def test_all_axes_are_on_one_sheet_as_render_and_open_draw_it(
        self, gridfarm: Any, shelf: Store
    ) -> None:
        put_batch(shelf, frozen(more="axes: {steps: [1, 2], guidance_scale: [5, 9]}\n"))
        answer, _ = gridfarm("grid", "night")
        assert answer["files"] == ["night-grid.png"]
        answer, _ = gridfarm("grid", "night", "--where", "steps=1", "-o", "part.png")
        assert answer["files"] == ["part.png"]

    def test_several_sheets_in_a_folder(self, gridfarm: Any, shelf: Store, here: Path) -> None:
        put_batch(shelf, frozen(more="axes: {steps: [1, 2], guidance_scale: [5, 9]}\n"))
        more = ("--rows", "seeds", "--columns", "step")
        answer, _ = gridfarm("grid", "night", "-o", f"{here}/", *more)
        assert [Path(file).name for file in answer["files"]] == ["night-5.png", "night-9.png"]


class TestOpen:
    @pytest.fixture
    def viewer(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The file in which a desktop's viewer writes down what it was given."""
        program, opened = tmp_path / "bin" / "xdg-open", tmp_path / "opened"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\necho "$1" > {opened}.part; mv {opened}.part {opened}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
        monkeypatch.setenv("DISPLAY", ":0")
        return opened

    @pytest.mark.skipif("sys.platform != 'linux'", reason="the viewer is xdg-open")
    def test_the_grid_is_drawn_and_shown(
        self, gridfarm: Any, shelf: Store, viewer: Path, here: Path
    ) -> None:
        """Also of a batch of which nothing is rendered yet; all axes are on one sheet."""
        more = "axes: {steps: [1, 2], guidance_scale: [5, 9]}\n"
        batch = put_batch(shelf, frozen(more=more), state="rendering")
        answer, said = gridfarm("open", "night")
        assert answer["batch"] == batch
        assert answer["grid"] == str(here.parent / "cache" / "grids" / f"{batch}.png")
        assert Path(answer["grid"]).read_bytes().startswith(b"\x89PNG")
        deadline = time.monotonic() + 20
        while not viewer.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert viewer.read_text() == f"{answer['grid']}\n"
        assert said == ""

    def test_it_takes_the_options_that_it_names(
        self, gridfarm: Any, shelf: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A sheet that is too large names them in its hint; with them it is drawn."""
        put_batch(shelf, frozen(seeds="0..4999"))
        for name in ("DISPLAY", "WAYLAND_DISPLAY"):
            monkeypatch.delenv(name, raising=False)
        answer, _ = gridfarm("open", "night", code=2)
        assert all(name in answer["hint"] for name in ("--rows", "--columns", "--where"))
        options = ("--rows", "seeds", "--columns", "", "--where", "seeds=7..9")
        answer, _ = gridfarm("open", "night", *options)
        with Image.open(answer["grid"]) as default:
            default_size = default.size
        answer, _ = gridfarm("open", "night", *options, "--cell-size", "64")
        with Image.open(answer["grid"]) as smaller:
            assert smaller.height < default_size[1]

    @pytest.mark.skipif("sys.platform != 'linux'", reason="the viewer is xdg-open")
    @pytest.mark.parametrize("missing", ["DISPLAY", "PATH"], ids=["no screen", "no viewer"])
    def test_without_a_screen_or_a_viewer_the_path_is_the_answer(
        self,
        gridfarm: Any,
        shelf: Store,
        viewer: Path,
        monkeypatch: pytest.MonkeyPatch,
        missing: str,
    ) -> None:
        put_batch(shelf, frozen())
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        monkeypatch.setenv(missing, "")
        answer, said = gridfarm("open", "night")
        assert Path(answer["grid"]).exists()
        assert "no screen or no viewer" in said
        assert not viewer.exists()


class TestFind:
    """Which batch a word means."""

    @pytest.fixture
    def find(self, shelf: Store, here: Path) -> Callable[[str], str]:
        self.settings = FarmConfig(store=shelf.url, cache=str(here.parent / "cache"))
        farm = Farm(store=shelf.url, cache=here.parent / "cache")
        return lambda word: farm.find(word).id

    def test_each_form(self, find: Any, shelf: Store, here: Path) -> None:
        """An id, its beginning, a name as it is written, a batch file, @last."""
        batch = frozen("Night Wolves")
        put_batch(shelf, batch)
        put_batch(shelf, frozen("day"))
        remember(self.settings.cache_dir, batch.id, shelf)
        text = "name: Night Wolves\nmodel: tiny\nprompts: [a wolf]\nseeds: 0..3\n"
        (here / "a.yaml").write_text(text)
        for word in (batch.id, batch.id[:-3], "nigh", "Night Wolves", "a.yaml", "@last"):
            assert find(word) == batch.id, word

    def test_a_name_is_its_latest_batch(self, find: Any, shelf: Store) -> None:
        late = frozen(seeds="0..8")
        put_batch(shelf, late, submitted=2.0)
        put_batch(shelf, frozen(), submitted=1.0)
        put_batch(shelf, frozen("night-2"), submitted=3.0)
        assert find("night") == late.id

    def test_a_beginning_of_several_batches_names_them(self, gridfarm: Any, shelf: Store) -> None:
        ids = {put_batch(shelf, frozen("north")), put_batch(shelf, frozen("nord"))}
        answer, _ = gridfarm("status", "nor", code=2)
        assert answer["error"] == "NotFound"
        assert all(batch in answer["message"] for batch in ids)

    def test_last_of_a_batch_that_was_removed(
        self, gridfarm: Any, shelf: Store, here: Path
    ) -> None:
        batch = put_batch(shelf, frozen())
        remember(here.parent / "cache", batch, shelf)
        gridfarm("rm", "@last", "--yes")
        answer, _ = gridfarm("status", code=2)
        assert batch in answer["message"]

    def test_what_is_left_of_a_removed_batch_is_not_found(
        self, gridfarm: Any, shelf: Store
    ) -> None:
        shelf.put(object_names.control("night-12345678"), b"{}")
        for word in ("night", "night-12345678", "nig"):
            assert gridfarm("status", word, code=2)[0]["error"] == "NotFound"


class TestWithoutABroker:
    """What is advised works where no broker is configured."""

    @pytest.fixture
    def failed(self, shelf: Store) -> str:
        """A batch that is over, with a failed cell and pictures that are not there."""
        batch = put_batch(shelf, frozen("night"), state="done", submitted=NOW, done=[0, 1, 2])
        shelf.put(object_names.failure(batch, 3), b'{"reason": "black"}')
        return batch

    @pytest.mark.parametrize("command", [("status",), ("verify",), ("fetch",)])
    def test_retry_is_advised_only_with_one(self, command: tuple[str], failed: str) -> None:
        folder = ["out"] if command == ("fetch",) else []
        said = CliRunner().invoke(cli, [*command, failed, *folder]).output
        assert "the same gridfarm render FILE" in said
        assert "retry" not in said
        away = ["--broker", f"redis://127.0.0.1:{free_port()}"]
        said = CliRunner().invoke(cli, [*command, failed, *folder, *away]).output
        assert f"gridfarm retry {failed}" in said

    def test_an_empty_store(self, here: Path) -> None:
        (here.parent / "store").mkdir()
        said = CliRunner().invoke(cli, ["list"]).output
        assert ("gridfarm render" in said, "gridfarm submit" in said) == (True, False)


class TestMistypedStore:
    """A folder that is only read is never made, nor taken for a store without batches."""

    @pytest.mark.parametrize(
        "command",
        [
            ("list",), ("status",), ("status", "night"), ("show", "night"), ("grid", "night"),
            ("fetch", "night", "out"), ("verify", "night"), ("rm", "night", "--yes"),
            ("open", "night"), ("cancel", "night"), ("retry", "night"),
            ("watch", "night"),
        ],
    )  # fmt: skip
    def test_a_folder_that_is_not_there(
        self, command: tuple[str, ...], gridfarm: Any, here: Path, shelf: Store
    ) -> None:
        put_batch(shelf, frozen("night"), submitted=NOW)
        answer, _ = gridfarm(*command, "--store", "../stroe", code=3)
        assert answer["message"] == f"there is no folder {here / '../stroe'}"
        assert answer["hint"] == f"did you mean '{here / '../store'}'?"
        assert not (here.parent / "stroe").exists()

    def test_a_folder_that_is_no_store(self, gridfarm: Any, here: Path, shelf: Store) -> None:
        put_batch(shelf, frozen("night"), submitted=NOW)
        (here.parent / "cache").mkdir(exist_ok=True)
        answer, _ = gridfarm("list", "--store", "..", code=3)
        assert "is no store: it has" in answer["message"]
        assert answer["hint"] == f"did you mean '{here / '../store'}'?"

    @pytest.mark.usefixtures("here")
    def test_doctor_makes_none(self, gridfarm: Any, tmp_path: Path) -> None:
        answer, _ = gridfarm("doctor", "--store", str(tmp_path / "stroe"), code=3)
        [store] = [check for check in answer["checks"] if check["name"] == "store"]
        assert "there is no folder" in store["message"]
        assert not (tmp_path / "stroe").exists()
