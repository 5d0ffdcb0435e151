"""grid, open, fetch, show: what was rendered."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from common.errors import GridfarmError, NotFound, ObjectMissing
from producer.cli import complete
from producer.cli.options import Farm, batch_argument, farm_command, where_option
from producer.cli.output import counted

if TYPE_CHECKING:
    from common.batch import Batch

#: Cells that `open` puts on one sheet.
ONE_SHEET_UP_TO = 400

_CELL = re.compile(r"^(?P<batch>.+)#(?P<i>\d+)$")


@click.command()
@batch_argument
@click.option(
    "-o",
    "--output",
    default=None,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The PNG to write; default NAME-grid.png.",
)
@click.option(
    "--rows",
    metavar="AXES",
    help="One axis or several joined by commas; default prompt, else the longest axis.",
    shell_complete=complete.axes,
)
@click.option(
    "--columns",
    metavar="AXES",
    help="Likewise; default variant, else the last axis.",
    shell_complete=complete.axes,
)
@where_option
@click.option(
    "--cell-size",
    type=click.IntRange(32, 4096),
    help="Pixels of a picture's longer side; default what fits a screen.",
)
@farm_command
def grid(
    farm: Farm,
    batch: str,
    output: Path | None,
    rows: str | None,
    columns: str | None,
    where: tuple[str, ...],
    cell_size: int | None,
) -> None:
    """Draw BATCH as a labelled PNG.

    BATCH is an id, its beginning, a name, a batch file, or @last, which is the default.

    One sheet, or several when axes are left over; --rows and --columns choose. Cells that
    are missing or failed are shown as such, so a grid can be made at any time.

    \b
      gridfarm grid wrong-lora -o grid.png
      gridfarm grid @last --rows prompt,seed --columns variant --where variant=base
    """
    from common.batch import Matrix
    from producer.trial import parse_where

    batch_id, document = farm.find(batch)
    path = output or Path(f"{batch_id.rpartition('-')[0]}-grid.png")
    written = write_grid(
        farm,
        Matrix(document),
        batch_id,
        path,
        rows=rows,
        columns=columns,
        where=parse_where(where),
        cell_size=cell_size,
    )
    files = [str(file) for file in written]
    farm.out.result({"batch": batch_id, "files": files}, "\n".join(files))


def write_grid(farm: Farm, matrix: Any, batch_id: str, path: Path, **options: Any) -> list[Path]:
    from common.dispatch import read_failures
    from producer.sheet import make_sheets, save, store_lookup

    failures = read_failures(farm.store, batch_id, len(matrix))
    reasons = {cell.key: why for i, why in failures.items() if (cell := matrix[i])}
    lookup = store_lookup(farm.store, reasons)
    chosen = {name: value for name, value in options.items() if value is not None}
    return save(make_sheets(matrix, lookup, **chosen), path)


@click.command("open")
@batch_argument
@farm_command
def open_grid(farm: Farm, batch: str) -> None:
    """Draw BATCH and show it on this machine's screen.

    BATCH is an id, its beginning, a name, a batch file, or @last, which is the default.

    The grid is drawn anew into the cache folder, all axes on one sheet up to 400 cells, and
    opened with the system's viewer. A batch that is not finished shows what there is. Without
    a screen the path is printed alone.

    \b
      gridfarm open
      gridfarm open wrong-lora
    """
    from common.batch import Matrix

    batch_id, document = farm.find(batch)
    matrix = Matrix(document)
    path = farm.settings.cache_dir / "grids" / f"{batch_id}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    files = [
        str(sheet) for sheet in write_grid(farm, matrix, batch_id, path, rows=all_rows(matrix))
    ]
    farm.out.result({"batch": batch_id, "grid": files[0], "files": files}, "\n".join(files))
    if not _show_on_screen(files[0]):
        farm.out.say("there is no screen or no viewer here to open it with")


def _show_on_screen(file: str) -> bool:
    # Without a screen xdg-open would look for a browser that draws in the terminal.
    if sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return False
    return click.launch(file) == 0


def all_rows(matrix: Any) -> str | None:
    """Every axis but the last becomes rows, so that one sheet holds all cells; None leaves a
    batch too large for that to the defaults, which make several sheets."""
    varying = [axis.name for axis in matrix.axes if axis.count > 1]
    if len(varying) < 3 or matrix.cells > ONE_SHEET_UP_TO:
        return None
    columns = "variant" if "variant" in varying else varying[-1]
    return ",".join(name for name in varying if name != columns)


@click.command()
@click.argument("batch", metavar="BATCH", shell_complete=complete.batches)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@farm_command
def fetch(farm: Farm, batch: str, folder: Path) -> None:
    """Copy BATCH's pictures to DIR.

    BATCH is an id, its beginning, a name, a batch file, or @last.

    Under readable names: prompt/s<seed>/variant.png. What is there already is not copied
    again, and what is not rendered yet comes with the next call.

    \b
      gridfarm fetch wrong-lora pictures
    """
    from common.batch import Matrix
    from producer.pictures import fetch as copy

    batch_id, document = farm.find(batch)
    with farm.out.progress() as progress:
        report = copy(
            Matrix(document),
            farm.store,
            folder,
            on_file=lambda done, of: progress("fetching pictures", done, of),
        )
    data = {
        "batch": batch_id,
        "folder": str(folder),
        "written": len(report.written),
        "skipped": len(report.skipped),
        "missing": len(report.missing),
        "damaged": len(report.damaged),
    }
    farm.out.result(data, _fetch_text(data))


def _fetch_text(data: dict[str, Any]) -> str:
    parts = [f"{counted(data['written'], 'picture')} written to {data['folder']}"]
    parts += [f"{data['skipped']:,} there already"] if data["skipped"] else []
    parts += [f"{data['missing']:,} not rendered yet"] if data["missing"] else []
    some = f"{data['damaged']:,} not taken: what is stored for them is damaged"
    parts += [some] if data["damaged"] else []
    return ", ".join(parts)


@click.command()
@click.argument("what", metavar="IMAGE|BATCH#I|BATCH", shell_complete=complete.pictures)
@farm_command
def show(farm: Farm, what: str) -> None:
    """Say how a picture or a batch was made.

    IMAGE is a PNG file that gridfarm wrote, and needs no store; BATCH#I is cell I of a batch.
    Shown are the Job, which is everything that decides the pixels, the machine and library
    versions that drew it, and how long that took. BATCH alone is shown as the batch file that
    orders it again.

    \b
      gridfarm show pictures/wolf/s3/base.png
      gridfarm show wrong-lora#3
      gridfarm show @last > again.yaml
    """
    cell = _CELL.match(what)
    path = Path(what)
    if path.suffix.lower() == ".png" or (path.exists() and path.suffix not in complete.ENDINGS):
        data = _show_file(path)
    elif cell:
        data = _show_cell(farm, cell["batch"], int(cell["i"]))
    else:
        batch_id, document = farm.find(what)
        data = {"batch": batch_id, "file": _as_file(batch_id, document)}
    farm.out.result(data, data.get("file") or json.dumps(data, ensure_ascii=False, indent=2))


def _as_file(batch_id: str, document: Batch) -> str:
    """The batch file, with what was pinned as comments: a batch keeps no paths."""
    from producer.language import printed

    pins = [f"{name} is {ref}" for name, ref in document.models.items() if ref != name]
    pins += [f"./{name}.safetensors has the SHA-256 {ref}" for name, ref in document.loras.items()]
    files = {name: f"./{name}.safetensors" for name in document.loras}
    notes = [f"# {' '.join(pin.split())}" for pin in (batch_id, *pins)]  # a comment is one line
    return "\n".join([*notes, printed(document, files).rstrip()])


def _show_file(path: Path) -> dict[str, Any]:
    from common.picture import decode_meta
    from common.store import GET_BYTES

    try:
        with path.open("rb") as file:
            png = file.read(GET_BYTES)
    except OSError as error:
        raise NotFound(
            f"{path}: {error.strerror}", hint="name a PNG that gridfarm wrote, or a cell as BATCH#3"
        ) from error
    try:
        meta = decode_meta(png)
    except GridfarmError as error:
        raise NotFound(f"{path}: {error.message}", hint=error.hint) from error
    return _shown(meta.job.key, meta)


def _show_cell(farm: Farm, batch: str, i: int) -> dict[str, Any]:
    from common.batch import Matrix
    from common.picture import decode_meta
    from common.store import object_names

    batch_id, document = farm.find(batch)
    matrix = Matrix(document)
    if i >= len(matrix):
        raise NotFound(f"{batch_id} has no cell {i}", hint=f"its cells are 0 to {len(matrix) - 1}")
    cell = matrix[i]
    if cell is None:
        raise NotFound(
            f"cell {i} of {batch_id} is excluded", hint="see exclude and only in its file"
        )
    place = {"batch": batch_id, "i": i, "labels": cell.labels}
    try:
        meta = decode_meta(farm.store.get(object_names.picture(cell.key)))
        if meta.job.key != cell.key:
            raise NotFound(
                f"what is stored for cell {i} of {batch_id} is another cell's picture",
                hint="delete that object and submit the batch file again",
            )
        return _shown(cell.key, meta) | place
    except ObjectMissing:
        return {"key": cell.key, "job": cell.job.to_json(), "fingerprint": None, **place}


def _shown(key: str, meta: Any) -> dict[str, Any]:
    return {
        "key": key,
        "job": meta.job.to_json(),
        "fingerprint": meta.fingerprint,
        "timings": meta.timings,
    }
