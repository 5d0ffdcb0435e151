"""grid, fetch, show: what was rendered."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click

from common.errors import GridfarmError, NotFound, ObjectMissing
from producer.cli.options import Farm, batch_argument, farm_command
from producer.cli.output import counted

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
    "--rows", metavar="AXES", help="One axis or several joined by commas; default prompt."
)
@click.option("--columns", metavar="AXES", help="Likewise; default variant.")
@click.option("--where", metavar="AXIS=LABEL", multiple=True, help="Only these cells; repeatable.")
@click.option(
    "--cell-size", type=click.IntRange(32, 4096), help="Pixels of a picture's longer side."
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

    One sheet, or several when axes are left over; --rows and --columns choose. Cells that
    are missing or failed are shown as such, so a grid can be made at any time.
    """
    from common.matrix import Matrix

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
    from producer.grid import make_sheets, save, store_lookup

    failures = read_failures(farm.store, batch_id)
    reasons = {cell.key: why for i, why in failures.items() if (cell := matrix[i])}
    lookup = store_lookup(farm.store, reasons)
    chosen = {name: value for name, value in options.items() if value is not None}
    return save(make_sheets(matrix, lookup, **chosen), path)


def parse_where(conditions: tuple[str, ...]) -> dict[str, list[str]] | None:
    """`variant=base` and `variant=lora` together mean either. Raises click.BadParameter."""
    wanted: dict[str, list[str]] = {}
    for condition in conditions:
        axis, equals, label = condition.partition("=")
        if not equals:
            raise click.BadParameter(f"{condition!r} is not AXIS=LABEL", param_hint="--where")
        wanted.setdefault(axis.strip(), []).append(label.strip())
    return wanted or None


@click.command()
@click.argument("batch", metavar="BATCH")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@farm_command
def fetch(farm: Farm, batch: str, folder: Path) -> None:
    """Copy BATCH's pictures to DIR.

    Under readable names: prompt/s<seed>/variant.png. What is there already is not copied
    again.
    """
    from common.matrix import Matrix
    from producer.fetch import fetch as copy

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
    }
    farm.out.result(data, _fetch_text(data))


def _fetch_text(data: dict[str, Any]) -> str:
    parts = [f"{counted(data['written'], 'picture')} written to {data['folder']}"]
    parts += [f"{data['skipped']:,} there already"] if data["skipped"] else []
    parts += [f"{data['missing']:,} not rendered yet"] if data["missing"] else []
    return ", ".join(parts)


@click.command()
@click.argument("what", metavar="IMAGE|BATCH#I")
@farm_command
def show(farm: Farm, what: str) -> None:
    """Say how a picture was made.

    The Job behind a PNG file that gridfarm wrote, or behind cell I of BATCH.
    """
    cell = _CELL.match(what)
    path = Path(what)
    if cell and not path.exists():
        data = _show_cell(farm, cell["batch"], int(cell["i"]))
    else:
        data = _show_file(path)
    farm.out.result(data, json.dumps(data, ensure_ascii=False, indent=2))


def _show_file(path: Path) -> dict[str, Any]:
    from common.picture import decode_meta

    try:
        png = path.read_bytes()
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
    from common import keys
    from common.matrix import Matrix
    from common.picture import decode_meta

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
        return _shown(cell.key, decode_meta(farm.store.get(keys.picture(cell.key)))) | place
    except ObjectMissing:
        return {"key": cell.key, "job": cell.job.to_json(), "fingerprint": None, **place}


def _shown(key: str, meta: Any) -> dict[str, Any]:
    return {
        "key": key,
        "job": meta.job.to_json(),
        "fingerprint": meta.fingerprint,
        "timings": meta.timings,
    }
