"""`gridfarm render`: a whole farm on this machine in one command, whose workers draw with a stub
(tests/support/stub_farm.py); with torch it is the notebook that renders here (test_notebook.py)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from common.dispatch import Ledger
from common.job import TINY_FOLDER, TINY_LORAS
from common.store import open_store
from producer import Farm
from producer.language import load_batch_file
from producer.local import workers
from producer.submission import Hub, resolve, resolve_offline
from tests.support.servers import free_port, valkey
from tests.support.stub_farm import NAME as STUB
from tests.support.whole_pictures import put_whole

pytestmark = [pytest.mark.integration, pytest.mark.slow]

#: A second a picture of these.
SLOW_STEPS = 20

FILE = """
name: local
model: tiny
settings: {{steps: {steps}, size: 64x64}}
prompts: {{wolf: a wolf, cat: "a cat, sitting"}}
seeds: {seeds}
variants: {{base: {{}}, wrong: {{negative_prompt: wrong}}}}
"""


def write(path: Path, *, steps: int = 3, seeds: str = "1..2") -> str:
    path.write_text(FILE.format(steps=steps, seeds=seeds))
    return str(path)


def heed_ctrl_c() -> None:
    """A test run in the background of a script ignores SIGINT, and its children would too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(file: str, *arguments: str, command: str = "render") -> subprocess.Popen[str]:
    """In the folder of the batch file."""
    folder = Path(file).parent
    return subprocess.Popen(
        [sys.executable, "-m", STUB, command, file, *arguments], cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=heed_ctrl_c,
    )  # fmt: skip


def ended(process: subprocess.Popen[str], code: int) -> tuple[str, str]:
    out, err = process.communicate(timeout=240)
    assert process.returncode == code, out + err
    assert "Traceback" not in err
    return out, err


def pictures(folder: Path) -> list[Path]:
    return list((folder / "store" / "images").rglob("*.png"))


def wait_for(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while len(pictures(folder)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_leaves_a_grid_and_named_pictures(tmp_path: Path) -> None:
    """And the same command again, with a seed more, renders only what is new."""
    file, out = write(tmp_path / "local.yaml"), tmp_path / "gridfarm-out"
    said, _ = ended(start(file, "--json", "--workers", "2"), 0)
    answer, view = json.loads(said.splitlines()[-1]), out / "local"
    assert (answer["state"], answer["jobs"], answer["done"], answer["failed"]) == ("done", 8, 8, 0)
    assert (answer["out"], answer["grid"]) == (str(view), str(view / "grid.png"))
    names = {str(path.relative_to(view / "images")) for path in (view / "images").rglob("*.png")}
    assert names == {
        f"{prompt}/s{seed}/{variant}.png"
        for prompt in ("wolf", "cat") for seed in (1, 2) for variant in ("base", "wrong")
    }  # fmt: skip
    with Image.open(view / "grid.png") as grid:
        assert grid.height > grid.width > 128

    before = {path: path.stat().st_mtime_ns for path in pictures(out)}
    again, said = ended(start(file), 0)
    assert "nothing to render, 8 of 8 stored" in said
    assert "Try next" in again
    more = write(tmp_path / "local.yaml", seeds="1..3")
    _, said = ended(start(more, "--workers", "2"), 0)
    assert "4 pictures to render, 8 stored already" in said
    assert len(pictures(out)) == 12
    assert before.items() <= {path: path.stat().st_mtime_ns for path in pictures(out)}.items()


def test_what_none_of_its_workers_can_draw_is_not_waited_for(tmp_path: Path) -> None:
    """Noise that is drawn on CUDA, and workers on the CPU: no others will come."""
    file, out = write(tmp_path / "local.yaml"), tmp_path / "out"
    _, said = ended(start(file, "--out", str(out), "--workers", "2", "--set", "noise=cuda"), 2)
    assert "this machine cannot render it: it waits for a worker on CUDA (noise: cuda)" in said
    assert "2 listen on the CPU" in said
    assert "--set noise=cpu" in said


def test_a_batch_that_was_pinned_to_a_farms_gpus_is_rendered_by_what_is_here(
    tmp_path: Path, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given by its id: a local worker is of no type, and it would wait without end."""
    for name, value in {"BROKER": broker, "STORE": str(tmp_path / "farm")}.items():
        monkeypatch.setenv(f"GRIDFARM_{name}", value)
    batch = Farm().submit(write(tmp_path / "local.yaml"), gpu="l4").batch
    monkeypatch.setattr(workers, "WORKER", (STUB, "worker"))
    assert Farm().render(batch, out=tmp_path / "out", limit=2).status.done == 2


def test_a_damaged_picture_is_named_and_drawn_again_by_the_same_command(tmp_path: Path) -> None:
    """Given a bit of a stored picture that was flipped, and the copy in images/ gone."""
    file, out = write(tmp_path / "local.yaml"), tmp_path / "gridfarm-out"
    ended(start(file, "--workers", "2"), 0)
    shutil.rmtree(out / "local" / "images")
    damaged = pictures(out)[0]
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-30] + bytes([whole[-30] ^ 1]) + whole[-29:])
    said, _ = ended(start(file), 4)
    assert "7 of 8 pictures stored, 1 failed" in said
    assert "1 stored picture not taken; the same command draws what is lost" in said
    assert said.count("the stored picture is damaged") == 1
    assert "gridfarm retry" not in said
    _, said = ended(start(file), 0)
    assert "1 picture to render, 7 stored already" in said
    assert len(list((out / "local" / "images").rglob("*.png"))) == 8


LOCAL_FILES = """
name: mine
model: ./model
settings: {steps: 3, size: 64x64, dtype: fp32, vae: ./model/vae}
prompts: [a wolf]
seeds: 1..2
lora_files: {wrong: ./wrong.safetensors}
variants: {base: {}, wrong: {loras: {wrong: 1}}}
"""


@pytest.fixture
def local_files(tmp_path: Path) -> Path:
    """A batch file with a model folder, a VAE and a LoRA beside it."""
    shutil.copytree(TINY_FOLDER / "base", tmp_path / "model")
    shutil.copy(TINY_LORAS["tiny-wrong"], tmp_path)
    (tmp_path / "mine.yaml").write_text(LOCAL_FILES)
    return tmp_path / "mine.yaml"


def test_local_files_are_copied_nowhere_and_a_farm_gets_them_all(
    local_files: Path, tmp_path: Path, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store of a local render has the lists of folders' files alone. A submit, to a farm or to
    that same store, brings the files; so does a render where nothing can be remembered."""
    monkeypatch.setenv("GRIDFARM_CACHE", str(tmp_path / "cache"))
    file = load_batch_file(local_files, base_dir=tmp_path)
    resolved = resolve(file, Hub(open_store(str(tmp_path / "no-store")), print))
    lists = {sha256 for sha256, content in resolved.assets.items() if isinstance(content, bytes)}
    assert (len(lists), len(resolved.assets)) == (2, 17)

    ended(start(str(local_files)), 0)
    assert in_store(tmp_path / "gridfarm-out" / "store") == lists
    for store in (tmp_path / "farm", tmp_path / "gridfarm-out" / "store"):
        Farm(broker=broker, store=store).submit(str(local_files))
        assert in_store(store) == resolved.assets.keys()
        assert not any(path.stat().st_nlink > 1 for path in (tmp_path / "model").rglob("*.json"))
        Ledger(broker).redis.flushall()

    (tmp_path / "no-folder").touch()
    assert resolved.without_files_in(tmp_path / "no-folder").assets == resolved.assets


def in_store(folder: Path) -> set[str]:
    """The assets that a folder store has."""
    return {path.name for path in (folder / "assets").iterdir()}


def test_a_batch_too_large_for_a_sheet_ends_well(tmp_path: Path) -> None:
    """It has its pictures. What is said instead of a grid is a command that draws a part."""
    file, out = tmp_path / "large.yaml", tmp_path / "gridfarm-out"
    file.write_text("name: large\nmodel: tiny\nprompts: [a wolf]\nseeds: 1..320\n")
    batch = resolve_offline(load_batch_file(file, base_dir=tmp_path), None)
    put_whole(open_store(str(out / "store")), batch, range(320))
    answer, said = ended(start(str(file), "--json"), 0)
    answer = json.loads(answer.splitlines()[-1])
    assert (answer["done"], answer["grid"]) == (320, None)
    assert "no grid is drawn: the sheet would be" in said
    shown, _ = ended(start(str(file)), 0)
    assert "The grid" not in shown
    assert "grid @last --where seed=1\n" in shown


def test_ctrl_c_hands_back_and_the_same_command_goes_on(tmp_path: Path) -> None:
    file, out = write(tmp_path / "local.yaml", steps=SLOW_STEPS), tmp_path / "gridfarm-out"
    process = start(file, "--workers", "2")
    wait_for(out, 1)
    process.send_signal(signal.SIGINT)
    _, said = ended(process, 130)
    assert "the same command goes on" in said
    stored = len(pictures(out))
    assert 1 <= stored < 8
    _, said = ended(start(file, "--workers", "2"), 0)
    assert f"{8 - stored} pictures to render, {stored} stored already" in said
    assert len(pictures(out)) == 8


def test_killed_it_leaves_no_process_behind(tmp_path: Path) -> None:
    """SIGKILL of the command: workers and broker end by themselves."""
    file, out = write(tmp_path / "local.yaml", steps=SLOW_STEPS), tmp_path / "gridfarm-out"
    process = start(file, "--workers", "2")
    wait_for(out, 1)
    family = descendants(process.pid)
    assert len(family) >= 4, "broker, launcher, two workers"
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 60
    while any(alive(pid) for pid in family):
        assert time.monotonic() < deadline, [pid for pid in family if alive(pid)]
        time.sleep(0.1)


def descendants(pid: int) -> list[int]:
    table = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True)
    parents = [tuple(map(int, line.split())) for line in table.stdout.splitlines()]
    found, new = [], [pid]
    while new:
        new = [child for child, parent in parents if parent in new]
        found += new
    return found


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return not state.stdout.strip().startswith("Z")


@pytest.mark.parametrize("what", ["broker away", "broker refuses", "store away"])
def test_a_worker_without_broker_or_store_says_so_and_ends(
    what: str, tmp_path: Path, broker: str
) -> None:
    """Exit code 3 and one clear message, without the secret, no traceback."""
    nowhere = f"127.0.0.1:{free_port()}"
    brokers = {"broker away": f"redis://:very-secret@{nowhere}/0", "store away": broker}
    with valkey(tmp_path / "broker", password="right") as server:
        refusing = server.url.replace(":right@", ":very-secret@")
        environment: dict[str, str] = {
            "GRIDFARM_BROKER": brokers.get(what, refusing),
            "GRIDFARM_STORE": "s3://bucket/x" if what == "store away" else str(tmp_path / "store"),
            "AWS_ENDPOINT_URL_S3": f"http://{nowhere}",
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "very-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        answer = subprocess.run(
            [sys.executable, "-m", "worker.cli"],
            env=os.environ | environment, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    assert answer.returncode == 3, answer.stderr
    assert (f"127.0.0.1:{server.port}" if what == "broker refuses" else nowhere) in answer.stderr
    assert "Traceback" not in answer.stderr
    assert "very-secret" not in answer.stderr
