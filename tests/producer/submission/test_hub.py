"""Hub ids at submit, against a server that speaks the hub's protocol, and without one.

The protocol: GET /api/models/<id>[/revision/<rev>] answers the commit and the list of files;
HEAD and GET /<id>/resolve/<commit>/<file> answer a file, with its commit and ETag.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from common.assets import sha256_file
from common.dispatch import read_batch
from common.job import TINY_FOLDER, TINY_LORAS
from common.store import object_names, open_store
from tests.support.servers import free_port

pytestmark = pytest.mark.integration

COMMIT, OTHER = "c" * 40, "d" * 40
WRONG = TINY_LORAS["tiny-wrong"]
REPOSITORIES = {
    "someone/model": {"main": COMMIT, "v2": OTHER},
    "someone/checkpoint": {"main": COMMIT},
    "someone/pickled": {"main": COMMIT},
    "someone/lora": {"main": COMMIT},
    "someone/pickle": {"main": COMMIT},
    "someone/many": {"main": COMMIT},
}
BASE = TINY_FOLDER / "base"
WHOLE = [path.relative_to(BASE).as_posix() for path in BASE.rglob("*") if path.is_file()]
FILES = {
    "someone/model": WHOLE,
    "someone/checkpoint": ["README.md", "sd_xl.safetensors"],
    "someone/pickled": [name.replace(".safetensors", ".bin") for name in WHOLE],
    "someone/lora": ["README.md", "pytorch_lora_weights.safetensors"],
    "someone/pickle": ["pytorch_lora_weights.bin"],
    "someone/many": ["a.safetensors", "b.safetensors"],
}


#: The repositories that were asked for, in order.
ASKED: list[str] = []


class HubHandler(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if info := re.fullmatch(r"/api/models/([\w-]+/[\w-]+)(?:/revision/([\w-]+))?", path):
            self._info(info[1], info[2] or "main")
        elif re.fullmatch(rf"/someone/(lora|many)/resolve/{COMMIT}/[\w.]+", path):
            self._file(WRONG.read_bytes())
        else:
            self._nothing("EntryNotFound")

    def _info(self, name: str, revision: str) -> None:
        ASKED.append(name)
        if name not in REPOSITORIES:
            self._nothing("RepoNotFound")
        elif revision not in REPOSITORIES[name]:
            self._nothing("RevisionNotFound")
        else:
            siblings = [{"rfilename": file} for file in FILES.get(name, [])]
            answer = {"id": name, "sha": REPOSITORIES[name][revision], "siblings": siblings}
            self._answer(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _file(self, data: bytes) -> None:
        self._answer(200, data, {"ETag": '"0123"', "X-Repo-Commit": COMMIT})

    def _nothing(self, code: str) -> None:
        self._answer(404, b"{}", {"X-Error-Code": code})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), HubHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def submit(tmp_path: Path, broker: str) -> Any:
    def run(hub: str, content: str, *, code: int = 0, cache: str = "hf") -> tuple[Any, str]:
        file = tmp_path / "batch.yaml"
        file.write_text(content)
        environment = os.environ | {
            "GRIDFARM_BROKER": broker,
            "GRIDFARM_STORE": str(tmp_path / "store"),
            "HF_ENDPOINT": hub,
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HOME": str(tmp_path / cache),
        }
        answer = subprocess.run(
            [sys.executable, "-m", "producer.cli.main", "submit", str(file), "--json"],
            capture_output=True, text=True, env=environment, timeout=120,
        )  # fmt: skip
        assert answer.returncode == code, answer.stdout + answer.stderr
        assert "Traceback" not in answer.stderr
        return json.loads(answer.stdout), answer.stderr

    return run


def document(tmp_path: Path, answer: Any) -> Any:
    return read_batch(open_store(str(tmp_path / "store")), answer["batch"])


MODEL = "prompts: [a wolf]\nmodel: someone/model{}\n"
LORA = "prompts: [a wolf]\nlora_files: {{x: {}}}\nsettings: {{loras: {{x: 1}}}}\n"


def test_a_model_is_pinned_to_the_commit_of_today(hub: str, submit: Any, tmp_path: Path) -> None:
    answer, _ = submit(hub, MODEL.format(""))
    assert document(tmp_path, answer).models["someone/model"] == f"someone/model@{COMMIT}"
    answer, _ = submit(hub, MODEL.format("@v2"))
    assert document(tmp_path, answer).models["someone/model@v2"] == f"someone/model@{OTHER}"


def test_a_lora_is_known_by_its_content_and_uploaded(hub: str, submit: Any, tmp_path: Path) -> None:
    answer, _ = submit(hub, LORA.format("someone/lora"))
    sha256 = sha256_file(WRONG)
    assert document(tmp_path, answer).loras == {"x": sha256}
    assert open_store(str(tmp_path / "store")).get(object_names.asset(sha256)) == WRONG.read_bytes()


def test_without_a_hub_the_last_commit_recorded_is_used_and_said(hub: str, submit: Any) -> None:
    for content in (MODEL.format(""), LORA.format("someone/lora")):
        before, _ = submit(hub, content)
        nobody = f"http://127.0.0.1:{free_port()}"
        after, said = submit(nobody, content, cache="another")
        assert after["batch"] == before["batch"]
        assert "using the commit recorded last, cccccccccccc" in said


@pytest.mark.parametrize("content", [MODEL.format(""), LORA.format("someone/lora")],
                         ids=["model", "lora"])  # fmt: skip
def test_without_hub_or_record_it_is_exit_code_3(content: str, submit: Any) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    answer, _ = submit(nobody, content, code=3)
    assert answer["error"] == "HubError"
    assert "cannot be reached for someone/" in answer["message"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (MODEL.replace("someone/model{}", "nobody/nothing"), "the hub has no nobody/nothing"),
        (MODEL.replace("someone/model{}", "some--one/model"), "the hub has no some--one/model"),
        (MODEL.format("@v9"), "the hub has no someone/model@v9"),
        (
            MODEL.replace("model{}", "checkpoint"),
            "someone/checkpoint on the hub cannot be loaded as a model: it has no model_index.json",
        ),
        (MODEL.replace("model{}", "pickled"), "has no weights but the pickle"),
        (LORA.format("someone/pickle"), "loads no pickles"),
        (LORA.format("someone/many"), "several .safetensors: a.safetensors, b.safetensors"),
    ],
    ids=[
        "no repository",
        "no name for one",
        "no revision",
        "a checkpoint",
        "pickles",
        "only a pickle",
        "several files",
    ],
)
def test_what_the_hub_does_not_have(hub: str, submit: Any, content: str, message: str) -> None:
    answer, _ = submit(hub, content, code=3)
    assert message in answer["message"]
    assert answer["hint"]


def test_each_repository_is_asked_for_once_and_that_is_said(hub: str, submit: Any) -> None:
    """However many cells and settings name it, by whatever dtype."""
    before = len(ASKED)
    axes = "axes: {dtype: [fp16, fp32], refiner.model: [someone/model, sdxl-refiner]}\n"
    _, said = submit(hub, MODEL.format("") + "settings: {vae: someone/model}\n" + axes)
    assert ASKED[before:] == ["someone/model"]
    assert said.count("asking the hub about") == 1


def test_a_pinned_model_is_left_to_the_workers_where_the_hub_is_away(submit: Any) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    _, said = submit(nobody, MODEL.format(f"@{COMMIT}"))
    assert "note: the hub cannot be reached for someone/model" in said
    assert "shows when a worker needs it" in said


def test_one_of_several_lora_files_can_be_named(hub: str, submit: Any, tmp_path: Path) -> None:
    answer, _ = submit(hub, LORA.format("someone/many/b.safetensors"))
    assert document(tmp_path, answer).loras == {"x": sha256_file(WRONG)}


def test_a_cache_that_cannot_be_written_is_not_the_hubs_fault(
    hub: str, submit: Any, tmp_path: Path
) -> None:
    """And no older commit is taken for it."""
    submit(hub, LORA.format("someone/lora"))
    (tmp_path / "file").touch()
    answer, said = submit(hub, LORA.format("someone/lora"), code=3, cache="file/hf")
    assert answer["message"].startswith("this machine cannot keep someone/lora in ")
    assert f"{tmp_path}/file/hf" in answer["message"]
    assert "HF_HOME" in answer["hint"]
    assert "recorded last" not in said
