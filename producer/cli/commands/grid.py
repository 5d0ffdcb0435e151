"""grid: a batch as one labelled PNG or several."""

from __future__ import annotations

import click

from producer.cli.options import batch_argument, farm_command, sheet_options
from producer.cli.output import Output
from producer.farm import Farm


@click.command()
@batch_argument
@click.option(
    "-o",
    "--output",
    default=None,
    type=click.Path(),
    help="The PNG to write, or a folder for it; default NAME-grid.png.",
)
@sheet_options
@farm_command
def grid(
    farm: Farm,
    out: Output,
    batch: str,
    output: str | None,
    rows: str | None,
    columns: str | None,
    where: tuple[str, ...],
    cell_size: int | None,
) -> None:
    """Draw BATCH as a labelled PNG.

    BATCH is an id, its beginning, a name, a batch file, or @last, which is the default.

    Up to 400 cells are one sheet, whose columns are the variants, else the last axis, and whose
    rows all others; a larger batch has a sheet for each value of the axes that are left over.
    --rows and --columns choose otherwise. Cells that are missing or failed are shown as such, so
    a grid can be made at any time.

    \b
      gridfarm grid wrong-lora -o grid.png
      gridfarm grid wrong-lora -o sheets/
      gridfarm grid @last --rows prompt,seed --columns variant --where variant=base
    """
    found = farm.find(batch)
    path = output or f"{found.id.rpartition('-')[0]}-grid.png"
    sheets = farm.save_grid(
        found, path, rows=rows, columns=columns, where=where, cell_size=cell_size
    )
    files = [str(sheet) for sheet in sheets]
    out.result({"batch": found.id, "files": files}, "\n".join(files))
