"""Input from strangers ends in a clear error or in a result; the short form of `make chaos`' fuzz.

The inputs are the same in each run. Each crash that fuzzing found stands below as a row.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from common.assets import FileHashes, check_lora_file
from common.batch import Batch, Matrix, fill
from common.config import load_config
from common.dispatch import Control, read_done, read_failures
from common.errors import BadInput, GridfarmError, InputFileError, TooLarge, UsageError
from common.job import HubName
from common.store import Store, object_names, open_store
from common.text import escaped
from producer.language import printed
from producer.pictures import BatchRecipe, Failed, Picture, fetch_pictures, store_lookup
from producer.submission.hub import record_name, recorded_commit
from tests.fuzz import hostile, readers
from tests.support.orders import frozen


def examples(number: int) -> settings:
    return settings(
        max_examples=number,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def stored(folder: Path) -> Store:
    return open_store(str(folder / "store"))


@given(hostile.batch_files())
@examples(60)
def test_batch_files(folder: Path, data: bytes) -> None:
    readers.read_batch_file(data, folder)


@given(hostile.batch_documents())
@examples(60)
def test_batch_documents(stored: Store, data: bytes) -> None:
    readers.read_document(data, stored)


@given(hostile.small_documents())
@examples(40)
def test_small_documents(stored: Store, data: bytes) -> None:
    readers.read_small_document(data, stored)


@given(hostile.sidecars().map(hostile.with_text) | hostile.pngs())
@examples(60)
def test_pngs_and_sidecars(stored: Store, data: bytes) -> None:
    readers.read_png(data, stored, hostile.stored_cell())


@given(hostile.batch_documents(), st.sampled_from(readers.COMMANDS))
@examples(20)
def test_commands_on_stored_batches(folder: Path, stored: Store, data: bytes, what: str) -> None:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("GRIDFARM_STORE", str(folder / "store"))
        environment.setenv("GRIDFARM_CACHE", str(folder / "cache"))
        _, cells = readers.read_document(data, stored)
        readers.look_with(what, folder, cells)


# --- what was found: each of these was a traceback, a hang or worse


def stored_batch() -> dict[str, Any]:
    return json.loads(json.dumps(hostile.stored_batch()))


def read(document: dict[str, Any]) -> Batch:
    return Batch.from_bytes(json.dumps(document).encode(), source="batch.json")


LONG_RANGE = {"name": "seed", "first": "0", "last": "9" * 30, "step": "1"}
PROMPT = {"name": "prompt", "values": [{"label": "a", "settings": {}}]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"axes": [LONG_RANGE]}, "more than 1,000,000,000 cells"),
        ({"axes": [PROMPT, PROMPT]}, "two axes have one name"),
        ({"axes": [LONG_RANGE | {"name": f"x{n}", "last": "0"} for n in range(101)]}, "100"),
        ({"axes": [LONG_RANGE | {"last": "1", "step": "0.5"}]}, "whole numbers"),
        ({"exclude": [{"seed": ["1"]}] * 10_001}, "10000"),
    ],
    ids=["cells", "names", "axes", "half a seed", "conditions"],
)
def test_documents_that_cannot_be_counted(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(GridfarmError, match=said):
        read(stored_batch() | changes)


@pytest.mark.parametrize(
    "settings",
    [{}, {"size": [1]}, {"size": "9" * 5000}, {"model": "other"}, {"loras": {"x": 1}},
     {"loras": {"x": "abc"}}, {"seed": {}}, {"seed": "x"}, {"steps": "many"},
     {"scheduler": {"name": "ddim", "x": 2**70}}, {"guidance_scale": None}],
    ids=str,
)  # fmt: skip
def test_settings_that_none_writes(settings: dict[str, Any]) -> None:
    """The cells cannot be, which is said; the batch can be shown, or says why not."""
    document = stored_batch() | {"axes": [{"name": "x", "values": [{"label": "", "settings": {}}]}]}
    document |= {"exclude": []}
    words = {"prompt": "a wolf"} | settings
    document["settings"] = document["settings"] | words if settings else {}
    batch = read(document)
    with pytest.raises(BadInput, match="cell 0"):
        Matrix(batch)[0]
    with suppress(GridfarmError):
        printed(batch, {})


def test_words_do_not_fill_the_memory() -> None:
    """32 MB of `{a}` where a has 20,000 characters are 200 GB."""
    with pytest.raises(GridfarmError, match="more than 20,000 characters"):
        fill("{a}" * 1_000_000, {"a": "x" * 20_000})


def test_conditions_do_not_fill_the_memory() -> None:
    axis = {"name": "seed", "first": "0", "last": "999999999", "step": "1"}
    many = [str(2 * n) for n in range(22)]
    batch = read(stored_batch() | {"axes": [axis], "exclude": [{"seed": many}] * 10_000})
    with pytest.raises(GridfarmError, match="too many ways"):
        Matrix(batch)


def test_what_is_too_large_is_not_read(store: Store) -> None:
    store.put("batches/x/batch.json", b" " * 2_000)
    with pytest.raises(TooLarge, match="2,000 bytes; at most 1,000"):
        store.get("batches/x/batch.json", most=1_000)
    assert len(store.get("batches/x/batch.json", most=2_000)) == 2_000


@pytest.mark.parametrize("submitted", ["NaN", "Infinity", "1e300", "-1", "true"])
def test_times_that_no_calendar_has(submitted: str) -> None:
    with pytest.raises(GridfarmError, match="submitted is"):
        Control.from_bytes(f'{{"submitted": {submitted}}}'.encode())


def test_failures_and_bits_of_cells_that_are_not_there(stored: Store) -> None:
    id_ = "short-00000000"
    for i in ("1", "6", "²", "1e3", "9" * 200):
        stored.put(f"batches/{id_}/failures/{i}.json", b'{"reason": "why"}')
    stored.put(object_names.done_bitmap(id_), b"\xff" * 100)
    assert read_failures(stored, id_, 6) == {1: "why"}
    assert read_done(stored, id_, 6) == b"\xfc"
    assert read_done(stored, id_, 8) == b"\xff"


@pytest.mark.parametrize("data", hostile.PURPOSEFUL_PNGS.values(), ids=hostile.PURPOSEFUL_PNGS)
def test_pngs_with_a_purpose(stored: Store, data: bytes) -> None:
    """Bombs, and another cell's picture, are shown as what cannot be read."""
    cell = hostile.stored_cell()
    stored.put(object_names.picture(cell.key), data)
    outcome = store_lookup(stored, {})(cell)
    assert isinstance(outcome, Failed)
    assert len(outcome.reason) < 400


def test_pictures_that_are_right_are_shown(stored: Store) -> None:
    cell = hostile.stored_cell()
    stored.put(object_names.picture(cell.key), hostile.stored_png())
    outcome = store_lookup(stored, {})(cell)
    assert isinstance(outcome, Picture) and isinstance(outcome.image, Image.Image)


def test_fetch_takes_no_other_picture(
    stored: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One cell has its picture, one another's, one no PNG, one more bytes than any picture."""
    matrix = Matrix(frozen("fetched", more="settings: {size: 64x64, steps: 2}"))
    cells = [cell for cell in matrix if cell]
    right = hostile.picture_of(cells[0].job)
    for cell, png in zip(cells, (right, right, b"GIF89a", right + b" " * 10_000), strict=True):
        stored.put(object_names.picture(cell.key), png)
    monkeypatch.setattr("producer.pictures.examine.GET_BYTES", len(right))
    report = fetch_pictures(matrix, stored, tmp_path / "out")
    assert (len(report.written), len(report.damaged)) == (1, 3)
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [*report.written]


def test_a_pipe_is_no_lora(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.safetensors")
    with pytest.raises(InputFileError, match="is no file"):
        check_lora_file(tmp_path / "x.safetensors")


IMPATIENT = """
import sys
from producer.cli.main import run
from producer.language.axes import tables
tables.LOOK_S = 0.2
sys.exit(run(["plan", sys.argv[1]]))
"""


def test_a_walk_through_all_disks_ends(tmp_path: Path) -> None:
    """With the command: nothing ends the walk itself, and in this process it would go on."""
    file = tmp_path / "a.yaml"
    file.write_text("prompts: [a]\naxes: {model: {files: '/**/*.none'}}")
    ended = subprocess.run(
        [sys.executable, "-c", IMPATIENT, file], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 2
    assert "takes more than 0.2 s" in ended.stderr


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([["a.json", "0" * 64]], "is no manifest"),
        ({"A.json": "0" * 64, "a.json": "1" * 64}, "take for one"),
        ({"é.json": "0" * 64, "e\u0301.json": "1" * 64}, "take for one"),
        ({"../a.json": "0" * 64}, "no file inside it"),
        ({"/a.json": "0" * 64}, "no file inside it"),
        ({"a.json": "../../x"}, "has no SHA-256"),
    ],
)
def test_manifests_that_lead_elsewhere(files: Any, said: str) -> None:
    from worker.assets.cache import _manifest

    with pytest.raises(BadInput, match=said):
        _manifest(json.dumps({"files": files}).encode(), "0" * 64)


@pytest.mark.parametrize("record", [b"[]", b"x", b'{"revision": "main"}', b'{"revision": [1]}'])
def test_records_of_the_hub_that_pin_nothing(stored: Store, record: bytes) -> None:
    name = HubName("me/mine")
    stored.put(record_name(name), record)
    assert recorded_commit(stored, name, "revision") is None


def test_settings_files_do_not_tell_passwords(tmp_path: Path) -> None:
    (tmp_path / "gridfarm.toml").write_text('brokr = "redis://:secret@host"')
    with pytest.raises(UsageError) as refused:
        load_config({}, folder=tmp_path)
    assert "brokr" in refused.value.message and "secret" not in refused.value.message


def test_a_terminal_is_told_nothing() -> None:
    said = "\x1b[31mred\x1b[0m \x1b[2J\x1b]0;title\x07 \x9b31m \u202egnp.exe\r\udc80 ok\n\tñ"
    assert escaped(said) == (
        "\x1b[31mred\x1b[0m \\u001b[2J\\u001b]0;title\\u0007 \\u009b31m \\u202egnp.exe"
        "\\u000d\\udc80 ok\n\tñ"
    )
    assert json.loads(escaped(json.dumps("\x9b\x7f", ensure_ascii=False))) == "\x9b\x7f"


def test_a_comment_of_a_printed_batch_stays_one_line() -> None:
    document = stored_batch()
    document["models"]["tiny\nprompts: [mine]\u2028model: theirs"] = "tiny@3"
    lines = BatchRecipe.of_batch(
        "night-00000000", read(document), FileHashes(None)
    ).file.splitlines()
    assert lines[1].startswith("# ") and "prompts: [mine] model: theirs" in "".join(lines[:4])
    assert not any(line.startswith("prompts: [mine]") for line in lines)


def test_nothing_here_reads_pickles() -> None:
    """Nor YAML with tags, nor code that comes with a model. The tiny model's training alone goes
    on from a checkpoint of its own, which torch reads as tensors and nothing else."""
    own = re.compile(r"torch\.load\([^()]*weights_only=True")
    banned = re.compile(
        r"torch\.load\(|\bpickle\.|import pickle|yaml\.(unsafe_|full_)?load\(|shell=True"
        r"|trust_remote_code=True|\beval\((?!\))|\bexec\(|use_safetensors=False"
    )
    root = Path(__file__).parents[3]
    files = [
        path for room in ("common", "producer", "worker") for path in (root / room).rglob("*.py")
    ]
    texts = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in files}
    for path in texts:
        if path.startswith("worker/tiny/train/"):
            texts[path] = own.sub("", texts[path])
    assert len(files) > 80 and not [path for path in texts if banned.search(texts[path])]
