"""Gives a hostile input to everything of gridfarm's that reads such a thing.

Each function ends with ERROR, a clear one, or with RESULT; what else happens it lets through.
"""

from __future__ import annotations

import json
import re
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any, Literal

from common.batch import Batch, Matrix
from common.dispatch import (
    Control,
    opening,
    queue_of,
    read_batch,
    read_control,
    read_done,
    read_failures,
)
from common.errors import BatchFileError, GridfarmError
from common.picture import decode_meta
from common.store import Store, object_names
from producer.batches import list_batches
from producer.catalogue import batch_ids
from producer.cli.main import run
from producer.language import load_batch_file, printed
from producer.pictures import Failed, Picture, store_lookup
from producer.pictures.file_names import cell_paths
from producer.submission import resolve_offline

Ending = Literal["error", "result"]
ERROR: Ending = "error"
RESULT: Ending = "result"

CLEAR_CODES = (0, 1, 2, 3, 4)
BATCH_ID = "night-00000000"
MOST_FETCHED = 100
COMMANDS = ("status", "show", "show#1", "list", "grid", "fetch")
WRITTEN = {"batch.yaml", "store", "drawn", "fetched", "cache"}

#: What a terminal would do something about.
OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


def read_batch_file(data: bytes, folder: Path) -> Ending:
    """As `gridfarm plan` reads it. A file that is right has cells that have keys."""
    (folder / "batch.yaml").write_bytes(data)
    try:
        file = load_batch_file(folder / "batch.yaml", base_dir=folder)
        batch = resolve_offline(file, None)
        _look_at_cells(Matrix(batch))
    except BatchFileError as error:
        _check_message(error)
        assert len(str(error)) < 200_000
        return ERROR
    except GridfarmError as error:
        _check_message(error)
        return ERROR
    assert Batch.from_bytes(batch.to_bytes(), source="itself") == batch
    return RESULT


def command(*arguments: str) -> Ending:
    """A command of `gridfarm`: one of its exit codes, no traceback, nothing for the terminal to
    obey, and JSON on stdout."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run([*arguments, "--json"])
    assert code in CLEAR_CODES, code
    assert "Traceback" not in err.getvalue()
    for text in (out.getvalue(), err.getvalue()):
        assert not OBEYED.search(text), text[:300]
    for line in out.getvalue().splitlines():
        json.loads(line)
    return ERROR if code else RESULT


def look_with(what: str, folder: Path, cells: int) -> Ending:
    """A command that shows a stored batch; `folder` is for what it writes."""
    if what in ("grid", "fetch") and cells > MOST_FETCHED:
        what = "status"
    (folder / "drawn").mkdir(exist_ok=True)
    last = {"grid": ["-o", str(folder / "drawn" / "grid.png")], "fetch": [str(folder / "fetched")]}
    name = [] if what == "list" else [BATCH_ID + ("#1" if what == "show#1" else "")]
    ending = command(what.removesuffix("#1"), *name, *last.get(what, []))
    _check_inside(folder)
    return ending


def _check_inside(folder: Path) -> None:
    """Nothing was written beside the folders that a command was given."""
    assert {path.name for path in folder.iterdir()} <= WRITTEN, list(folder.iterdir())


def read_document(data: bytes, store: Store) -> tuple[Ending, int]:
    """`batch.json`, as worker and producer read it; and its cells."""
    store.put(object_names.batch(BATCH_ID), data)
    store.delete(object_names.control(BATCH_ID))  # of an input before
    try:
        batch = read_batch(store, BATCH_ID)
        matrix = Matrix(batch)
    except GridfarmError as error:
        _check_message(error)
        return ERROR, 0
    with suppress(GridfarmError):
        opening(matrix, BATCH_ID, Control(), b"\xff" * 99, {0: "a", 10**9: "b"})
    with suppress(GridfarmError):
        assert 0 <= matrix.cells <= len(matrix)
    queue_of(batch), matrix.order, batch_ids(store), list_batches(store, None)
    list(zip(range(50), matrix.numbers(), strict=False))
    with suppress(GridfarmError):
        printed(batch, dict.fromkeys(batch.loras, "x"))
    return _look_at_cells_of_a_stranger(matrix), len(matrix)


def _look_at_cells_of_a_stranger(matrix: Matrix) -> Ending:
    ending = RESULT
    for i in {0, 1, len(matrix) // 2, len(matrix) - 1}:
        try:
            cell = matrix[i] if 0 <= i < len(matrix) else None
        except GridfarmError as error:
            _check_message(error)
            ending = ERROR
            continue
        if cell:
            assert len(cell.key) == 64
            (_, path), *_ = cell_paths(matrix, [cell])
            parts = path.parts
            assert ".." not in parts and not path.is_absolute() and max(map(len, parts)) < 120
    return ending


def read_small_document(data: bytes, store: Store) -> Ending:
    """`control.json` and a note in `failures/`; and the same bytes as `done.bitmap`."""
    cells = 6
    for name in (
        object_names.control(BATCH_ID),
        object_names.failure(BATCH_ID, 1),
        object_names.done_bitmap(BATCH_ID),
    ):
        store.put(name, data)
    reasons = read_failures(store, BATCH_ID, cells)
    assert reasons.keys() <= {1} and all(len(reason) <= 4_000 for reason in reasons.values())
    assert sum(byte.bit_count() for byte in read_done(store, BATCH_ID, cells)) <= cells
    try:
        control = read_control(store, BATCH_ID)
    except GridfarmError as error:
        _check_message(error)
        return ERROR
    from producer.cli.commands.list import ago

    ago(control.submitted, 1e9)
    assert Control.from_bytes(control.to_bytes()) == control
    return RESULT


def read_png(data: bytes, store: Store, cell: Any) -> Ending:
    """As `show` reads its metadata and `grid` its pixels; a result is the cell's own picture."""
    store.put(object_names.picture(cell.key), data)
    outcome = store_lookup(store, {})(cell)
    assert isinstance(outcome, Failed | Picture)
    if isinstance(outcome, Picture):
        assert outcome.image.size == (cell.job.width, cell.job.height)
    try:
        meta = decode_meta(data)
    except GridfarmError as error:
        _check_message(error)
        assert isinstance(outcome, Failed)
        return ERROR
    assert meta.job.key == meta.to_json()["key"]
    json.dumps(meta.to_json(), allow_nan=False)
    if meta.job.key != cell.key:
        assert isinstance(outcome, Failed)
    return RESULT if isinstance(outcome, Picture) else ERROR


def _look_at_cells(matrix: Matrix) -> None:
    """At three of them; raises BadInput."""
    for i in {0, len(matrix) // 2, len(matrix) - 1}:
        if cell := matrix[i]:
            assert len(cell.key) == 64


def _check_message(error: GridfarmError) -> None:
    assert error.message.strip()
    assert error.exit_code in CLEAR_CODES
