"""`Farm`: what the commands do, for scripts and notebooks; it prints nothing and asks nobody."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import producer
from common.assets import file_hashes
from common.batch import Batch, Matrix
from common.config import load_config
from common.dispatch import Control, WorkerReport, write_control
from common.errors import BatchFileError, BrokerError, InputFileError, NotFound, UsageError
from common.job import TINY_LORAS
from common.picture import PictureMeta
from common.picture.png import encode_png
from common.store import Store, object_names, open_store
from producer import Farm
from producer.batches import RemovalPlan, Status, changes
from producer.catalogue import remember
from producer.language import first_batch, load_batch_file
from producer.local import workers
from producer.pictures import BatchRecipe, Recipe
from tests.support import stub_farm
from tests.support.orders import frozen, pictures_in, put_batch
from tests.support.servers import free_port

ROOT = Path(__file__).parents[3]
MORE = "axes: {steps: [1, 2]}\nsettings: {size: 64x64}\n"
TEXT = "name: night\nmodel: tiny\nprompts: [a wolf]\nseeds: 0..3\n"
MAPPING = {"name": "night", "model": "tiny", "prompts": ["a wolf"], "seeds": "0..3"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's empty folder, with a store and a cache beside it."""
    monkeypatch.setenv("GRIDFARM_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("GRIDFARM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def shelf(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture(autouse=True)
def silence(capfd: pytest.CaptureFixture[str]) -> Iterable[None]:
    """Whatever a test of this file does, nothing is printed."""
    yield
    assert capfd.readouterr() == ("", "")


def draw(store: Store, batch: Batch, cells: Iterable[int]) -> str:
    """Put the batch and a picture, in a colour of its own, for each of these cells; its id."""
    wanted, matrix = list(cells), Matrix(batch)
    put_batch(store, batch, done=wanted)
    for i in wanted:
        cell = matrix[i]
        assert cell
        image = Image.new("RGB", (cell.job.width, cell.job.height), (i * 20, 0, 0))
        meta = PictureMeta(cell.job, {"device": "test"}, {"denoise": 1.5})
        store.put(object_names.picture(cell.key), encode_png(image, meta))
    return batch.id


class TestTheDoor:
    @pytest.mark.parametrize("name", producer.__all__)
    def test_each_exported_name_is_there_and_explained(self, name: str) -> None:
        exported = getattr(producer, name)
        assert exported.__name__ == name
        assert exported.__doc__
        assert name in dir(producer)

    def test_other_names_are_refused_as_python_does(self) -> None:
        with pytest.raises(AttributeError, match="'producer' has no attribute 'Fram'"):
            producer.Fram  # noqa: B018

    def test_the_door_itself_loads_nothing(self) -> None:
        code = "import sys, producer; sys.exit('producer.farm' in sys.modules)"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)

    def test_every_method_says_what_it_does(self) -> None:
        methods = [name for name in vars(Farm) if not name.startswith("_")]
        assert {"plan", "submit", "status", "follow", "wait", "cancel", "pause", "resume", "retry",
                "grid", "pictures", "fetch", "show", "remove", "render"} <= {*methods}  # fmt: skip
        assert all(getattr(Farm, name).__doc__ for name in methods)

    def test_the_settings_are_those_of_the_command_line(
        self, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Keyword > environment > gridfarm.toml."""
        monkeypatch.delenv("GRIDFARM_STORE")
        (here / "gridfarm.toml").write_text('store = "s3://from/file"\nbroker = "redis://file:1"\n')
        monkeypatch.setenv("GRIDFARM_BROKER", "redis://environment:1")
        farm = Farm(cache="of-mine")
        assert farm.config == load_config({"cache": "of-mine"})
        assert (farm.config.store, farm.config.broker) == (
            "s3://from/file",
            "redis://environment:1",
        )
        assert Farm(store=here / "mine").config.store == str(here / "mine")

    def test_what_a_notebook_shows_of_it_has_no_password(self) -> None:
        shown = repr(Farm(broker="redis://:secret@host:6379/0", store="s3://bucket/x"))
        assert shown == "Farm(broker='redis://host:6379/0', store='s3://bucket/x')"


class TestWhatABatchIs:
    """One function says it for all methods."""

    @pytest.fixture
    def written(self, here: Path) -> dict[str, Any]:
        (here / "night.yaml").write_text(TEXT)
        (here / "night").write_text(TEXT)
        return {
            "a path as text": "night.yaml",
            "a path": Path("night.yaml"),
            "a file without an ending": "night",
            "a text": TEXT,
            "a text of one line": 'prompts: ["a wolf"]',
            "a mapping": MAPPING,
            "a file that was read": load_batch_file(Path("night.yaml"), base_dir=here),
        }

    def test_what_a_batch_file_says(self, written: dict[str, Any]) -> None:
        for form, batch in written.items():
            cells = 1 if form == "a text of one line" else 4
            assert Farm().plan(batch).cells == cells, form

    def test_a_batch_of_the_store(self, written: dict[str, Any], shelf: Store) -> None:
        batch_id = put_batch(shelf, frozen())
        remember(load_config({}).cache_dir, batch_id, shelf)
        del written["a text of one line"]
        words = {word: word for word in (batch_id, batch_id[:-3], "Night", "@last")}
        for form, batch in (written | words | {"found": Farm().find(batch_id)}).items():
            assert Farm().status(batch).batch == batch_id, form

    def test_a_batch_of_the_store_is_planned_again(self, shelf: Store) -> None:
        """Its models and LoRAs are pinned; as with a file, a part of it is another batch."""
        batch_id = put_batch(shelf, frozen(), done=range(4))
        plan = Farm().plan("night")
        assert (plan.batch, plan.stored, plan.new) == (batch_id, 4, 0)
        part = Farm().plan(batch_id, where="seed=2")
        assert (part.cells, part.stored, part.batch == batch_id) == (1, 1, False)

    @pytest.mark.parametrize(
        "batch",
        [
            {"prompts": ("wolf \N{WOLF FACE}", "a\u2028b"), "seeds": range(4)},
            {"prompts": ["x", "y"], "seeds": np.arange(4)},
            {"prompts": ["x", "y"], "seeds": [np.int64(1), 2, 3, 4], "settings": {"steps": 9}},
            {"prompts": {"a": Path("x"), "b": {"prompt": "y"}}, "seeds": "0..3"},
        ],
        ids=["texts", "an array", "numbers", "a path"],
    )
    def test_a_mapping_holds_pythons_own_values(self, batch: Mapping[str, object]) -> None:
        plan = Farm().plan(batch)
        assert plan.axes == {"prompt": 2, "seed": 4}
        assert [cell.labels["prompt"] for cell in plan.matrix][::4] == [*batch["prompts"]]  # type: ignore[misc]

    def test_all_mistakes_of_it_at_once(self) -> None:
        for batch, name in (
            ({"prompts": ["x"], "settings": {"stepz": 5, "guidance_scale": "high"}}, "the mapping"),
            ("prompts: [x]\nsettings: {stepz: 5, guidance_scale: high}", "the text"),
        ):
            with pytest.raises(BatchFileError) as caught:
                Farm().plan(batch)  # type: ignore[arg-type]
            assert caught.value.file == name
            places = [problem.path for problem in caught.value.problems]
            assert places == ["settings.stepz", "settings.guidance_scale"]

    def test_what_is_not_there(self, here: Path) -> None:
        with pytest.raises(InputFileError, match=r"nowhere\.yaml"):
            Farm().plan("nowhere.yaml")
        (here.parent / "store").mkdir()
        with pytest.raises(NotFound, match="nowhere"):
            Farm().plan("nowhere")
        with pytest.raises(NotFound) as caught:
            Farm().status()
        assert "gridfarm submit" in caught.value.hint

    def test_the_store_of_the_renders_here_is_said_once(
        self, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("GRIDFARM_STORE")
        batch_id = put_batch(open_store(str(here / "gridfarm-out" / "store")), frozen())
        said: list[str] = []
        farm = Farm(say=said.append)
        assert [farm.status().batch, farm.status("@last").batch] == [batch_id] * 2
        assert said == ["store: gridfarm-out/store"]


class TestPlan:
    def test_counts_and_cells(self) -> None:
        plan = Farm().plan(MAPPING)
        assert (plan.cells, plan.jobs, plan.stored, plan.new) == (4, 4, 0, 4)
        assert plan.axes == {"prompt": 1, "seed": 4}
        assert [cell.job.seed for cell in plan.matrix] == [0, 1, 2, 3]
        assert "matrix" not in plan.to_json()

    @pytest.mark.parametrize(
        ("trial", "cells"),
        [
            ({"limit": 3}, 3),
            ({"where": "seed=2"}, 1),
            ({"where": ["seed=2", "seed=3"]}, 2),
            ({"where": {"seed": 2}}, 1),
            ({"where": {"seed": [1, 3]}}, 2),
            ({"where": {"seed": ["> 0", "< 3"]}}, 2),
            ({"where": {"prompt": "wolf", "seed": "0..1"}}, 2),
            ({"where": {"seed": range(2)}, "limit": 1}, 1),
        ],
        ids=str,
    )
    def test_a_part_of_it(self, trial: dict[str, Any], cells: int) -> None:
        assert Farm().plan(MAPPING, **trial).cells == cells

    @pytest.mark.parametrize(
        "set",
        [
            {"steps": 7, "scheduler": "euler", "negative_prompt": "x, y: z"},
            ["steps=7", "scheduler=euler", "negative_prompt=x, y: z"],
        ],
        ids=["mapping", "options"],
    )
    def test_settings_in_every_cell(self, set: Any) -> None:
        job = next(iter(Farm().plan(MAPPING, set=set).matrix)).job
        assert (job.steps, job.scheduler.type) == (7, "EulerDiscreteScheduler")
        assert job.negative_prompt == "x, y: z"
        assert Farm().plan(MAPPING, set="steps=7").jobs == 4

    def test_notes_are_in_the_plan_and_told_to_who_listens(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("GRIDFARM_STORE")
        variants = {"x": {}, "y": {"guidance_scale": 5}, "z": {"refiner": {"steps": 3}}}
        said: list[str] = []
        plan = Farm(say=said.append).plan(MAPPING | {"variants": variants})
        assert any("changes nothing from 'x'" in note for note in plan.notes)
        assert any("no cell has a refiner" in note for note in plan.notes)
        assert said == [f"note: {note}" for note in plan.notes]

    def test_without_a_store(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("GRIDFARM_STORE")
        plan = Farm().plan(MAPPING)
        assert (plan.batch, plan.stored, plan.new) == (None, None, None)

    def test_local_files_are_hashed_once_and_anew_when_that_is_asked_for(
        self, here: Path, monkeypatch: pytest.MonkeyPatch, shelf: Store
    ) -> None:
        """Whatever command is given."""
        shutil.copy(TINY_LORAS["tiny-wrong"], here / "mine.safetensors")
        (here / "night.yaml").write_text(
            f"{TEXT}\nlora_files: {{mine: mine.safetensors}}\nsettings: {{loras: {{mine: 1}}}}\n"
        )
        read, sha256_file = [], file_hashes.sha256_file
        monkeypatch.setattr(file_hashes, "SETTLED_NS", -3600 * 10**9)
        monkeypatch.setattr(
            file_hashes, "sha256_file", lambda path, _: (read.append(path), sha256_file(path))[1]
        )
        planned = Farm().plan("night.yaml")
        put_batch(shelf, planned.matrix.batch)
        assert Farm().plan("night.yaml").batch == planned.batch
        assert Farm().find("night.yaml").id == planned.batch
        assert len(read) == 1
        Farm().plan("night.yaml", exact=True)
        assert len(read) == 2

    def test_a_store_that_is_not_there_yet_is_named(
        self, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It may be mistyped in gridfarm.toml; before a first order it need not be there."""
        monkeypatch.setenv("GRIDFARM_STORE", str(here / "farmstor"))
        said: list[str] = []
        assert Farm(say=said.append).plan(MAPPING).new == 4
        assert f"there is no folder {here / 'farmstor'}" in said[0]
        assert not (here / "farmstor").exists()

    def test_progress_is_told(self) -> None:
        told: list[tuple[str, int, int]] = []
        Farm(progress=lambda *now: told.append(now)).plan(MAPPING)
        assert told[-1] == ("looking for stored pictures", 4, 4)


class TestShow:
    def test_a_batch_with_a_lora_of_this_machine_loads_again(
        self, here: Path, shelf: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """From any folder: the file is where this machine has hashed it, as long as it is so."""
        lora = here / "loras" / "mine.safetensors"
        lora.parent.mkdir()
        shutil.copy(TINY_LORAS["tiny-wrong"], lora)
        more = "lora_files: {mine: loras/mine.safetensors}\nsettings: {loras: {mine: 1}}\n"
        (here / "night.yaml").write_text(TEXT + more)
        batch = put_batch(shelf, Farm().plan("night.yaml").matrix.batch)
        (here / "elsewhere").mkdir()
        monkeypatch.chdir(here / "elsewhere")
        shown = Farm().show(batch)
        assert isinstance(shown, BatchRecipe)
        assert f"mine: {lora}" in shown.file
        Path("again.yaml").write_text(shown.file)
        assert Farm().plan("again.yaml").batch == batch
        lora.unlink()
        shown = Farm().show(batch)
        assert isinstance(shown, BatchRecipe)
        assert "put it there: ./mine.safetensors has the SHA-256" in shown.file


class TestGrid:
    def test_one_image_of_all_cells(self, shelf: Store) -> None:
        """Every axis but the last becomes rows; what is missing is shown as such."""
        more = MORE + "variants: {base: {}, guided: {guidance_scale: 9}}\n"
        draw(shelf, frozen(more=more), range(5))
        image = Farm().grid("night")
        assert isinstance(image, Image.Image)
        colours = {colour for _, colour in image.getcolors(1 << 24)}  # type: ignore[union-attr]
        assert {(i * 20, 0, 0) for i in range(5)} <= colours
        turned = Farm().grid("night", rows="variant", columns=["prompt", "seed", "steps"])
        assert turned.width > image.width
        small = Farm().grid("night", where={"seed": 0, "variant": "base"}, cell_size=32)
        assert small.height < image.height

    def test_a_large_batch_is_drawn_in_part(self, shelf: Store) -> None:
        """All axes are rows of what is left of it."""
        put_batch(
            shelf, frozen(seeds="0..999", more=MORE + "variants: {a: {}, b: {dtype: fp32}}\n")
        )
        assert Farm().grid("night", where={"seed": "0..2"}, cell_size=32).height > 100

    def test_several_sheets_are_no_image(self, shelf: Store, here: Path) -> None:
        put_batch(shelf, frozen(more=MORE + "variants: {base: {}, guided: {guidance_scale: 9}}\n"))
        with pytest.raises(UsageError, match="4 sheets") as caught:
            Farm().grid("night", rows="variant", columns="steps")
        assert "save_grid" in caught.value.hint
        files = Farm().save_grid("night", "grid.png", rows="variant", columns="steps")
        assert files == [Path(f"grid-{seed}.png") for seed in range(4)]
        assert all((here / file).read_bytes().startswith(b"\x89PNG") for file in files)

    def test_an_unknown_axis(self, shelf: Store) -> None:
        put_batch(shelf, frozen())
        with pytest.raises(UsageError) as caught:
            Farm().grid("night", rows="sead")
        assert "did you mean 'seed'" in caught.value.hint


class TestPictures:
    def test_each_stored_cell_in_order(self, shelf: Store) -> None:
        batch = frozen(more=MORE)
        draw(shelf, batch, (6, 0, 3))
        pictures = list(Farm().pictures("night"))
        assert [picture.i for picture in pictures] == [0, 3, 6]
        first = pictures[1]
        assert first.labels == {"prompt": "a wolf", "seed": "1", "steps": "2"}
        assert (first.job.seed, first.job.steps, first.key) == (1, 2, first.cell.key)
        assert first.image.size == (64, 64)
        assert first.image.getpixel((9, 9)) == (60, 0, 0)
        assert (first.fingerprint, first.timings) == ({"device": "test"}, {"denoise": 1.5})
        assert first._repr_png_() == first.png == shelf.get(object_names.picture(first.key))

    @pytest.mark.parametrize(
        ("where", "cells"),
        [
            ("steps=2", [1, 3, 5, 7]),
            ({"seed": [0, 3]}, [0, 1, 6, 7]),
            (["seed>1", "steps=1"], [4, 6]),
            ({"prompt": "wolf"}, [*range(8)]),
        ],
        ids=str,
    )
    def test_a_part_keeps_its_numbers(self, shelf: Store, where: Any, cells: list[int]) -> None:
        draw(shelf, frozen(more=MORE), range(8))
        assert [picture.i for picture in Farm().pictures("night", where=where)] == cells

    def test_excluded_cells_have_none(self, shelf: Store) -> None:
        batch = frozen(more=f"{MORE}exclude: [{{seed: 1}}]\n")
        draw(shelf, batch, [0, 1, 4, 5, 6, 7])
        assert [picture.i for picture in Farm().pictures("night")] == [0, 1, 4, 5, 6, 7]

    def test_a_picture_is_fetched_when_it_is_looked_at(
        self, shelf: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        draw(shelf, frozen(), range(4))
        got: list[str] = []
        get = type(shelf).get
        monkeypatch.setattr(
            type(shelf), "get", lambda *args, **more: (got.append(args[1]), get(*args, **more))[1]
        )
        pictures = list(Farm().pictures("night"))
        assert not [name for name in got if name.endswith(".png")]
        assert pictures[2].image is pictures[2].image
        assert pictures[2].timings
        assert [name for name in got if name.endswith(".png")] == [
            object_names.picture(pictures[2].key)
        ]

    def test_the_first_of_a_huge_batch_comes_at_once(self, shelf: Store) -> None:
        """Nothing lists a hundred million cells."""
        draw(shelf, frozen(seeds="0..99999999"), [3])
        assert next(Farm().pictures("night")).labels["seed"] == "3"

    def test_what_is_stored_and_none_of_ours(self, shelf: Store) -> None:
        put_batch(shelf, frozen(), done=[0])  # whose picture is no PNG
        [picture] = Farm().pictures("night")
        with pytest.raises(NotFound, match="cell 0") as caught:
            picture.image  # noqa: B018
        assert caught.value.hint

    def test_where_names_no_axis(self, shelf: Store) -> None:
        put_batch(shelf, frozen())
        with pytest.raises(UsageError, match="no axis 'colour'"):
            list(Farm().pictures("night", where={"colour": "red"}))


class TestFetchAndShow:
    def test_fetch(self, shelf: Store, here: Path) -> None:
        batch_id = draw(shelf, frozen(), range(3))
        write_control(shelf, batch_id, Control(state="paused"))
        report = Farm().fetch("night", "out")
        assert (len(report.written), len(report.missing)) == (3, 1)
        assert all((here / path).exists() for path in report.written)

    def test_verify(self, shelf: Store) -> None:
        """A batch that is done, one of whose pictures was lost; nobody has to have a broker."""
        draw(shelf, frozen(), range(3))
        report = Farm().verify("night")
        assert (report.whole, report.missing) == (3, 1)
        assert [flaw.labels["seed"] for flaw in report.flaws] == ["3"]
        assert Farm().verify("night", quick=True).stored == 3
        assert len(Farm().fetch("night", "out").lost) == 1

    def test_the_recipe_of_a_file_and_of_a_cell(self, shelf: Store) -> None:
        batch_id = draw(shelf, frozen(), range(3))
        report = Farm().fetch("night", "out")
        for what in (report.written[1], str(report.written[1]), "night#1", f"{batch_id}#1"):
            recipe = Farm().show(what)
            assert isinstance(recipe, Recipe)
            assert (recipe.job.seed, recipe.timings) == (1, {"denoise": 1.5})
        assert (recipe.batch, recipe.i, recipe.labels) == (
            batch_id, 1, {"prompt": "a wolf", "seed": "1"},
        )  # fmt: skip
        missing = Farm().show("night#3")
        assert isinstance(missing, Recipe)
        assert (missing.job.seed, missing.fingerprint, missing.timings) == (3, None, None)
        with pytest.raises(NotFound, match="no cell 4"):
            Farm().show("night#4")

    def test_the_batch_file_that_orders_it_again(self, shelf: Store) -> None:
        batch_id = put_batch(shelf, frozen())
        for what in ("night", batch_id, MAPPING):
            recipe = Farm().show(what)
            assert isinstance(recipe, BatchRecipe)
            assert Farm().plan(recipe.file).batch == recipe.batch == batch_id


class TestRemove:
    def test_what_went_is_the_answer(self, shelf: Store) -> None:
        put_batch(shelf, frozen(), done=range(4))
        put_batch(shelf, frozen("other", seeds="2..5"), done=range(4))
        removed = Farm().remove("night")
        assert removed
        assert (len(removed.go), removed.stay) == (2, 2)
        assert [batch.batch.partition("-")[0] for batch in Farm().batches()] == ["other"]
        assert pictures_in(shelf) == 4

    def test_who_is_asked_may_say_no(self, shelf: Store) -> None:
        batch_id = put_batch(shelf, frozen(), done=range(4))
        asked: list[RemovalPlan] = []
        answer = Farm().remove("night", confirm=lambda plan: bool(asked.append(plan)))
        assert answer is None
        assert [len(plan.go) for plan in asked] == [4]
        assert Farm().status("night").batch == batch_id

    def test_one_that_is_not_finished(self, shelf: Store) -> None:
        put_batch(shelf, frozen(), state="rendering")
        with pytest.raises(UsageError, match="not finished"):
            Farm().remove("night")
        said: list[str] = []
        assert Farm(say=said.append).remove("night", cancel=True)
        assert "no broker of this store's farm is told" in said[0]

    def test_pictures_may_stay(self, shelf: Store) -> None:
        put_batch(shelf, frozen(), done=range(4))
        removed = Farm().remove(Farm().find("night"), keep_pictures=True)
        assert removed
        assert (removed.stay, pictures_in(shelf)) == (None, 4)

    def test_nothing_is_named(self) -> None:
        with pytest.raises(UsageError, match="no batch is named"):
            Farm().remove()


@pytest.mark.parametrize(
    "call",
    [
        lambda farm: farm.submit(MAPPING),
        lambda farm: farm.cancel("night"),
        lambda farm: farm.retry("night"),
        lambda farm: farm.wait("night"),
        lambda farm: list(farm.follow("night")),
    ],
    ids=["submit", "cancel", "retry", "wait", "follow"],
)
def test_without_a_broker(shelf: Store, call: Callable[[Farm], object]) -> None:
    put_batch(shelf, frozen(), state="rendering")
    with pytest.raises(UsageError) as caught:
        call(Farm())
    assert "GRIDFARM_BROKER" in caught.value.hint


def test_a_broker_that_is_away(shelf: Store) -> None:
    """What the store knows is still told; what needs the broker is an error."""
    put_batch(shelf, frozen(), state="rendering")
    said: list[str] = []
    place = f"redis://127.0.0.1:{free_port()}/0"
    farm = Farm(broker=place, say=said.append)
    assert farm.status("night").state == "rendering"
    assert [batch.state for batch in farm.batches()] == ["rendering"]
    assert place in said[0]
    with pytest.raises(BrokerError):
        farm.submit(MAPPING)


def test_no_priority_of_that_name(shelf: Store) -> None:
    put_batch(shelf, frozen(), state="rendering")
    with pytest.raises(UsageError) as caught:
        Farm(broker="redis://127.0.0.1:1/0").resume("night", priority="hihg")
    assert "did you mean 'high'" in caught.value.hint


def test_what_works_here(shelf: Store) -> None:
    put_batch(shelf, frozen())
    checks = {check.name: check for check in Farm().examine()}
    assert checks["store"].ok
    assert shelf.url in checks["store"].message


def test_only_changes_are_followed() -> None:
    """How long a worker has done what it does is none."""
    worker = WorkerReport("w", "m", ("q",), 3, "cpu", "rendering", lasts_s=1.0)
    first = Status("b", "rendering", 4, 1, 0, 1, 2, 1, listening=(worker,))
    later = replace(first, listening=(replace(worker, lasts_s=2.0),))
    more = replace(later, done=2, running=0)
    other = replace(more, listening=(replace(worker, state="paused"),))
    assert list(changes([first, later, more, more, other])) == [first, more, other]


@pytest.mark.integration
class TestOnAFarm:
    @pytest.fixture
    def farm(self, broker: str) -> Farm:
        return Farm(broker=broker)

    def test_an_order_and_what_is_said_to_it(self, farm: Farm, shelf: Store) -> None:
        report = farm.submit(MAPPING, priority="low", limit=2)
        assert (report.jobs, report.queued, report.state) == (2, 2, "rendering")
        assert farm.status().batch == report.batch
        assert (farm.status().state, farm.status().priority) == ("queued", "low")
        assert farm.pause("night").state == "paused"
        assert farm.resume("night", priority="high").priority == "high"
        assert farm.prioritise(report.batch, "normal").priority == "normal"
        assert farm.cancel("@last").state == "cancelled"
        assert shelf.exists(object_names.batch(report.batch))
        assert [batch.state for batch in farm.batches()] == ["cancelled"]
        assert farm.submit(MAPPING, gpu="L4").batch != farm.submit(MAPPING).batch

    def test_a_batch_that_is_over_is_followed_to_its_end(self, farm: Farm, shelf: Store) -> None:
        batch_id = put_batch(shelf, frozen(), done=range(4))
        told: list[tuple[str, int, int]] = []
        farm.progress = lambda *now: told.append(now)
        assert farm.submit(MAPPING).queued == 0
        assert [status.state for status in farm.follow()] == ["done"]
        assert (farm.wait(batch_id).done, told[-1]) == (4, ("rendering", 4, 4))
        assert farm.cancel("night").state == "done"

    def test_what_is_not_stored_any_more_is_rendered_again(self, shelf: Store, broker: str) -> None:
        put_batch(shelf, frozen(), done=range(4))
        said: list[str] = []
        farm = Farm(broker=broker, say=said.append)
        farm.submit(MAPPING)
        assert farm.retry("night", everything=True).state == "done"
        key = next(iter(Matrix(frozen()))).key
        shelf.delete(object_names.picture(key))
        assert farm.retry("night", everything=True).done == 3
        assert [text.partition(": ")[2] for text in said] == [
            "every picture is stored; there is nothing to retry", "1 cell to render again",
        ]  # fmt: skip


def readme_example() -> str:
    """The code under "From a notebook or a script"."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    _, _, section = text.partition("### From a notebook or a script\n")
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert code
    return code[1]


@pytest.mark.slow
@pytest.mark.integration
def test_the_example_of_the_readme(
    here: Path, session_cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    """It renders on this machine, with workers that draw with a stub, and everything is found
    afterwards."""
    monkeypatch.setattr(workers, "WORKER", (stub_farm.NAME, "worker"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # where the stub is found, from any folder
    monkeypatch.delenv("GRIDFARM_STORE")
    monkeypatch.setenv("GRIDFARM_CACHE", str(session_cache))
    (here / "batch.yaml").write_text(first_batch(here / "batch.yaml"))
    names: dict[str, Any] = {}
    exec(compile(readme_example(), "README.md", "exec"), names)
    printed = capfd.readouterr().out
    farm = names["farm"]
    assert farm.plan("batch.yaml").jobs == 18
    assert "4 pictures to render" in printed
    assert printed.count("'variant': 'base'") == 2
    report = farm.render("batch.yaml", model="tiny", limit=4)
    assert "nothing to render, 4 of 4 stored" in capfd.readouterr().out
    assert (report.status.state, report.batch) == ("done", farm.find("@last").id)
    assert len(list(report.images.rglob("*.png"))) == 4
    assert [Image.open(sheet).size for sheet in report.sheets] == [farm.grid().size]
    assert [picture.image.size for picture in farm.pictures()] == [(128, 128)] * 4
    assert farm.status("batch.yaml").done == 4
    capfd.readouterr()
