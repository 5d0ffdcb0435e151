"""grid: a batch as one labelled PNG or several."""

from __future__ import annotations

from pathlib import Path

import click

from producer.cli import completion
from producer.cli.options import batch_argument, farm_command, where_option
from producer.cli.output import Output
from producer.farm import Farm


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
    shell_complete=completion.axes,
)
@click.option(
    "--columns",
    metavar="AXES",
    help="Likewise; default variant, else the last axis.",
    shell_complete=completion.axes,
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
    out: Output,
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
    found = farm.find(batch)
    path = output or Path(f"{found.id.rpartition('-')[0]}-grid.png")
    sheets = farm.save_grid(
        found, path, rows=rows, columns=columns, where=where, cell_size=cell_size
    )
    files = [str(sheet) for sheet in sheets]
    out.result({"batch": found.id, "files": files}, "\n".join(files))
