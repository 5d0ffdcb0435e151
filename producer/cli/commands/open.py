"""open: a batch's grid on this machine's screen."""

from __future__ import annotations

import os
import sys

import click

from producer.cli.options import batch_argument, farm_command, sheet_options
from producer.cli.output import Output
from producer.farm import Farm


@click.command("open")
@batch_argument
@sheet_options
@farm_command
def open_grid(
    farm: Farm,
    out: Output,
    batch: str,
    rows: str | None,
    columns: str | None,
    where: tuple[str, ...],
    cell_size: int | None,
) -> None:
    """Draw BATCH and show it on this machine's screen.

    BATCH is an id, its beginning, a name, a batch file, or @last, which is the default.

    The grid is drawn anew into the cache folder, as by `gridfarm grid`, and opened with the
    system's viewer. A batch that is not finished shows what there is. Without a screen the path
    is printed alone.

    \b
      gridfarm open
      gridfarm open wrong-lora
      gridfarm open --rows seed --columns prompt --where variant=base
    """
    found = farm.find(batch)
    path = farm.config.cache_dir / "grids" / f"{found.id}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    sheets = farm.save_grid(
        found, path, rows=rows, columns=columns, where=where, cell_size=cell_size
    )
    files = [str(sheet) for sheet in sheets]
    out.result({"batch": found.id, "grid": files[0], "files": files}, "\n".join(files))
    if not _show_on_screen(files[0]):
        out.say("there is no screen or no viewer here to open it with")


def _show_on_screen(file: str) -> bool:
    # Without a screen xdg-open would look for a browser that draws in the terminal.
    if sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return False
    return click.launch(file) == 0
