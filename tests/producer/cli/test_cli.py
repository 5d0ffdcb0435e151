"""The command line: exit codes, messages that name the place and the mend, JSON on stdout."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file

from common.batch import Matrix
from common.dispatch import read_failures
from common.job import TINY_LORAS
from common.store import object_names, open_store
from producer.cli.main import cli, run
from producer.language import load_batch_file
from producer.local.render import forget_failures
from tests.support.pictures import as_if_rendered
from tests.support.servers import free_port, valkey

EXAMPLES = Path(__file__).parents[3] / "examples"
WRONG = TINY_LORAS["tiny-wrong"]
BATCH = 'model: tiny\nprompts: ["a wolf", "a cat"]\nseeds: 0..2\n'


@pytest.fixture
def gridfarm(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[Any, str]]:
    """Run a command with --json; its answer and what it said, when it ends with `code`."""

    def call(*arguments: str, code: int = 0) -> tuple[Any, str]:
        ended = run([*arguments, "--json"])
        out, err = capsys.readouterr()
        assert ended == code, out + err
        assert "Traceback" not in err
        return json.loads(out), err

    return call


def write(path: Path, content: str = BATCH) -> str:
    path.write_text(content)
    return str(path)


def test_plan_counts_offline(gridfarm: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "a.yaml", BATCH + "settings: {size: 1024x1024}\n")
    answer, _ = gridfarm("plan", file)
    assert 9e6 < answer["bytes"] < 12e6  # six PNGs of 1024x1024
    assert answer == {
        "batch": None, "cells": 6, "jobs": 6, "new": None, "stored": None,
        "axes": {"prompt": 2, "seed": 3}, "unresolved": [], "bytes": answer["bytes"],
    }  # fmt: skip


def test_plan_tells_of_the_base_what_others_change(tmp_path: Path) -> None:
    text = (
        "settings: {guidance_scale: 7, steps: 4}\nvariants:\n"
        "  base: {}\n  both: {guidance_scale: 12, steps: 9}\n  sharp: {scheduler: euler}\n"
    )
    file = write(tmp_path / "a.yaml", "model: tiny\nprompts: [a wolf]\n" + text)
    said = CliRunner().invoke(cli, ["plan", file]).output
    assert "variant  base   nothing (guidance_scale 7, steps 4, scheduler default)\n" in said
    assert "both   guidance_scale 12, steps 9\n" in said


def test_plan_shows_random_seeds_as_they_can_be_typed(gridfarm: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "a.yaml", "model: tiny\nprompts: [a wolf]\nseeds: {random: 3}\n")
    said = CliRunner().invoke(cli, ["plan", file]).output
    assert "seed    3  1242… · 1722… · 1060…" in said
    for kept in ("seed=1722", "seeds=1722…", "seed=17227200041832915037"):
        said = CliRunner().invoke(cli, ["plan", file, "--where", kept]).output
        assert "seed    1  1722…" in said
    assert gridfarm("plan", file, "--where", "seed!=1722")[0]["cells"] == 2


def test_plan_of_the_article(gridfarm: Any) -> None:
    """15 cells; the hub LoRA is looked up at submit, or replaced by the tiny one."""
    answer, _ = gridfarm("plan", str(EXAMPLES / "wrong-lora.yaml"))
    assert (answer["cells"], answer["unresolved"]) == (15, ["minimaxir/sdxl-wrong-lora"])
    answer, said = gridfarm("plan", str(EXAMPLES / "wrong-lora.yaml"), "--model", "tiny")
    assert (answer["cells"], answer["jobs"], answer["unresolved"]) == (15, 15, [])
    assert "the tiny LoRA instead of wrong" in said
    assert "noise from the CPU" in said


def test_plan_with_a_store_knows_what_is_new(gridfarm: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "a.yaml")
    answer, _ = gridfarm("plan", file, "--store", str(tmp_path / "store"))
    assert (answer["new"], answer["stored"]) == (6, 0)
    assert answer["batch"].startswith("a-")


def test_plan_counts_what_is_stored(gridfarm: Any, tmp_path: Path) -> None:
    """Below 10,000 cells always; above, where equal cells are not told apart, with --exact."""
    file = write(tmp_path / "a.yaml", BATCH + "variants: {x: {}, y: {guidance_scale: 5}}\n")
    store = ("--store", str(tmp_path / "store"))
    first = next(iter(Matrix(load_batch_file(Path(file), base_dir=tmp_path).batch)))
    open_store(store[1]).put(object_names.picture(first.key), as_if_rendered(first.key))
    answer, said = gridfarm("plan", file, *store)
    assert [answer[name] for name in ("cells", "jobs", "new", "stored")] == [12, 6, 5, 1]
    assert "#1 is the same picture as #0: variant 'y' changes nothing from 'x'" in said
    write(Path(file), BATCH.replace("0..2", "0..9999") + "variants: {x: {}, y: {steps: 50}}\n")
    answer, _ = gridfarm("plan", file, *store)
    assert [answer[name] for name in ("cells", "jobs", "new", "stored")] == [40000, 40000, 40000, 0]
    answer, _ = gridfarm("plan", file, *store, "--exact")
    assert [answer[name] for name in ("cells", "jobs", "new", "stored")] == [40000, 20000, 19999, 1]


def test_plan_says_when_the_disk_is_too_small(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    for seeds, said in (("0..2", " free"), ("0..999999999", "free, which is not enough")):
        file = write(tmp_path / "a.yaml", f"model: tiny\nprompts: [a]\nseeds: {seeds}\n")
        answer = CliRunner().invoke(cli, ["plan", file, "--store", str(tmp_path / "store")])
        [line] = [line for line in answer.output.splitlines() if line.startswith("about ")]
        assert line.endswith(said)


def test_plan_reads_standard_input() -> None:
    answer = CliRunner().invoke(cli, ["plan", "-", "--json"], input=BATCH)
    assert json.loads(answer.output)["cells"] == 6


def test_a_prompt_on_the_command_line_holds_any_character(gridfarm: Any, tmp_path: Path) -> None:
    store = ("--store", str(tmp_path / "store"))
    answer, _ = gridfarm("plan", "--prompt", "a \N{WOLF FACE}: “wolf”", "--seeds", "1..4", *store)
    assert (answer["jobs"], answer["batch"].rpartition("-")[0]) == (4, "a-wolf")


def test_all_mistakes_of_a_file_at_once(gridfarm: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "a.yaml", "prompts: [x]\nsettings: {stepz: 5, guidance_scale: high}\n")
    answer, said = gridfarm("plan", file, code=2)
    assert answer["error"] == "BatchFileError"
    assert [p["path"] for p in answer["problems"]] == ["settings.stepz", "settings.guidance_scale"]
    assert "steps" in said


@pytest.mark.parametrize("command", ["plan", "submit", "render"])
def test_a_missing_batch_file(gridfarm: Any, command: str) -> None:
    answer, _ = gridfarm(command, "nowhere.yaml", code=2)
    assert "nowhere.yaml" in answer["message"]


def _nan(path: Path) -> None:
    weights = np.full((4, 4), np.nan, dtype=np.float32)
    save_file({"unet.a.lora_A.weight": weights, "unet.a.lora_B.weight": weights}, path)


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")


BAD_LORAS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda _: None, "x.safetensors"),
    "empty": (lambda path: path.write_bytes(b""), "empty"),
    "truncated": (lambda path: path.write_bytes(WRONG.read_bytes()[:-100]), "cut short"),
    "html": (lambda path: path.write_text("<!DOCTYPE html><html>404</html>"), "web page"),
    "pickle": (_zip, "pickle"),
    "no LoRA": (lambda path: save_file({"weight": np.ones((2, 2))}, path), "LoRA"),
    "NaN": (_nan, "NaN"),
}


@pytest.mark.parametrize(("make", "word"), BAD_LORAS.values(), ids=BAD_LORAS.keys())
def test_a_bad_lora_file_is_exit_code_2(
    gridfarm: Any, tmp_path: Path, make: Callable[[Path], object], word: str
) -> None:
    """Before anything is uploaded, and the message names the file."""
    make(tmp_path / "x.safetensors")
    file = write(tmp_path / "a.yaml", "prompts: [a]\nmodel: tiny\n"
                 "lora_files: {x: x.safetensors}\nsettings: {loras: {x: 1}}\n")  # fmt: skip
    answer, _ = gridfarm("plan", file, code=2)
    assert answer["error"] == "InputFileError"
    assert "x.safetensors" in answer["message"]
    assert word.lower() in (answer["message"] + answer["hint"]).lower()
    assert answer["hint"]


def test_all_bad_local_files_are_named_at_once(gridfarm: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "a.yaml", "prompts: [a]\nmodel: ./nothing\n"
                 "lora_files: {x: x.safetensors, y: y.safetensors}\n"
                 "settings: {loras: {x: 1, y: 1}}\n")  # fmt: skip
    answer, _ = gridfarm("plan", file, code=2)
    for place in ("model ./nothing", "lora_files.x", "lora_files.y"):
        assert place in answer["message"]


def test_a_lora_file_in_a_folder_is_no_hub_id(gridfarm: Any, tmp_path: Path) -> None:
    """`loras/style.safetensors` is missed at plan, not looked up on the hub at submit."""
    file = write(tmp_path / "a.yaml", "prompts: [a]\nmodel: models/mine.safetensors\n"
                 "lora_files: {x: loras/x.safetensors}\nsettings: {loras: {x: 1}}\n")  # fmt: skip
    answer, _ = gridfarm("plan", file, code=2)
    assert "models/mine.safetensors" in answer["message"]
    assert "loras/x.safetensors" in answer["message"]


def test_one_lora_under_two_names_in_a_cell(gridfarm: Any, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(WRONG.read_bytes())
    file = write(tmp_path / "a.yaml", "prompts: [a]\nmodel: tiny\n"
                 "lora_files: {x: x.safetensors, y: ./x.safetensors}\n"
                 "settings: {loras: {x: 1, y: 1}}\n")  # fmt: skip
    answer, _ = gridfarm("plan", file, code=2)
    assert "same file" in answer["message"]


def test_a_model_folder_that_is_none(gridfarm: Any, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    file = write(tmp_path / "a.yaml", "prompts: [a]\nmodel: ./model\n")
    answer, _ = gridfarm("plan", file, code=2)
    assert "model_index.json" in answer["message"]


@pytest.mark.parametrize(
    "arguments",
    [["submit", "FILE"], ["watch", "@last"], ["status", "x"], ["grid", "x"], ["fetch", "x", "out"]],
    ids=lambda arguments: arguments[0],
)
def test_nothing_configured(gridfarm: Any, tmp_path: Path, arguments: list[str]) -> None:
    file = write(tmp_path / "a.yaml")
    answer, _ = gridfarm(*[file if word == "FILE" else word for word in arguments], code=2)
    assert "GRIDFARM_" in answer["hint"]


def test_what_failed_is_tried_again_by_the_next_render(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.put(object_names.failure("night-00000000", 3), b'{"reason": "no network"}')
    store.put(object_names.failure("other-00000000", 3), b'{"reason": "no network"}')
    said: list[str] = []
    forget_failures("night-00000000", store, said.append)
    assert said == ["1 failed before and are tried again"]
    assert read_failures(store, "night-00000000") == {}
    assert read_failures(store, "other-00000000") == {3: "no network"}


def test_a_broker_that_is_down(gridfarm: Any, tmp_path: Path) -> None:
    place = f"redis://127.0.0.1:{free_port()}/0"
    file = write(tmp_path / "a.yaml")
    answer, _ = gridfarm("submit", file, "--broker", place, "--store", str(tmp_path / "s"), code=3)
    assert answer["error"] == "BrokerUnreachable"
    assert place in answer["message"]


@pytest.mark.integration
def test_a_broker_that_refuses_the_password(gridfarm: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "a.yaml")
    with valkey(tmp_path / "broker", password="right") as server:
        url = server.url.replace(":right@", ":wrong-secret@")
        answer, said = gridfarm(
            "submit", file, "--broker", url, "--store", str(tmp_path / "s"), code=3
        )
    assert answer["error"] == "BrokerRefused"
    assert "wrong-secret" not in json.dumps(answer) + said


@pytest.mark.integration
@pytest.mark.usefixtures("impatient_s3")
def test_a_store_that_is_down_or_refuses(
    gridfarm: Any, tmp_path: Path, broker: str, s3_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "a.yaml")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    there = ("--broker", broker, "--store", s3_store_url)
    answer, said = gridfarm("submit", file, *there, code=3)
    assert answer["error"] == "StoreRefused"
    assert "wrong-secret" not in json.dumps(answer) + said
    nowhere = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", nowhere)
    answer, _ = gridfarm("submit", file, *there, code=3)
    assert answer["error"] == "StoreUnreachable"
    assert nowhere in answer["message"]
    answer, said = gridfarm("plan", file, "--store", s3_store_url)
    assert (answer["batch"], answer["new"], answer["cells"]) == (None, None, 6)
    assert "without the store" in said


@pytest.mark.integration
class TestBatches:
    """Which batch a word means."""

    @pytest.fixture(autouse=True)
    def ordered(self, gridfarm: Any, tmp_path: Path, broker: str,
                monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
        monkeypatch.setenv("GRIDFARM_BROKER", broker)
        monkeypatch.setenv("GRIDFARM_STORE", str(tmp_path / "store"))
        monkeypatch.setenv("GRIDFARM_CACHE", str(tmp_path / "cache"))
        self.file = write(tmp_path / "night.yaml")
        self.id = gridfarm("submit", self.file)[0]["batch"]

    def test_by_id_prefix_name_file_or_last(self, gridfarm: Any) -> None:
        for word in (self.id, self.id[:-3], "night", self.file, "@last"):
            answer, _ = gridfarm("status", word)
            assert (answer["batch"], answer["state"], answer["jobs"]) == (self.id, "queued", 6)

    def test_a_name_is_the_latest_of_that_name(self, gridfarm: Any) -> None:
        newer = write(Path(self.file), BATCH + "settings: {steps: 9}\n")
        batch = gridfarm("submit", newer)[0]["batch"]
        assert batch != self.id
        assert gridfarm("status", "night")[0]["batch"] == batch

    def test_an_unknown_one_is_suggested(self, gridfarm: Any) -> None:
        answer, _ = gridfarm("status", "nihgt", code=2)
        assert answer["error"] == "NotFound"
        assert self.id in answer["hint"]

    def test_a_file_on_another_model_is_found_by_its_name(self, gridfarm: Any) -> None:
        write(Path(self.file), BATCH.replace("tiny", "someone/model"))
        assert gridfarm("status", self.file)[0]["batch"] == self.id

    def test_show_a_cell_that_is_not_rendered_yet(self, gridfarm: Any) -> None:
        answer, _ = gridfarm("show", f"{self.id}#4")
        assert answer["labels"] == {"prompt": "a cat", "seed": "1"}
        assert (answer["job"]["prompt"], answer["fingerprint"]) == ("a cat", None)
        answer, _ = gridfarm("show", "night#99", code=2)
        assert "no cell 99" in answer["message"]

    def test_show_of_a_batch_is_the_file_that_orders_it_again(
        self, gridfarm: Any, tmp_path: Path
    ) -> None:
        answer, _ = gridfarm("show", "night")
        assert answer["batch"] == self.id
        again = write(tmp_path / "again.yaml", answer["file"])
        assert gridfarm("plan", again)[0]["batch"] == self.id

    def test_grid_before_anything_is_rendered(self, gridfarm: Any, tmp_path: Path) -> None:
        answer, _ = gridfarm("grid", "night", "-o", str(tmp_path / "g.png"))
        assert answer["files"] == [str(tmp_path / "g.png")]
        answer, _ = gridfarm("grid", "night", "--rows", "promt", code=2)
        assert "prompt" in answer["hint"]

    def test_status_text_says_that_nobody_listens(self) -> None:
        answer = CliRunner().invoke(cli, ["status", "night"])
        assert "no worker is listening" in answer.output

    def test_doctor(self, gridfarm: Any) -> None:
        answer, _ = gridfarm("doctor")
        checks = {check["name"]: check for check in answer["checks"]}
        assert answer["ok"]
        assert checks["broker"]["ok"] and checks["store"]["ok"]
        assert "gridfarm-worker" in checks["workers"]["message"]
        answer, _ = gridfarm("doctor", "--broker", f"redis://127.0.0.1:{free_port()}", code=3)
        assert not answer["ok"]


def test_show_of_a_png_that_is_not_ours(gridfarm: Any, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"no png")
    answer, _ = gridfarm("show", str(tmp_path / "x.png"), code=2)
    assert "x.png" in answer["message"]


@pytest.mark.parametrize("arguments", [["plan"], ["frobnicate"], ["plan", "--wat"]], ids=" ".join)
def test_a_wrong_command_line_is_exit_code_2(gridfarm: Any, arguments: list[str]) -> None:
    answer, _ = gridfarm(*arguments, code=2)
    assert answer["error"] == "UsageError"


@pytest.mark.parametrize("name", list(cli.commands))
def test_every_command_has_help(name: str) -> None:
    answer = CliRunner().invoke(cli, [name, "--help"])
    assert answer.exit_code == 0
    assert "Usage:" in answer.output
