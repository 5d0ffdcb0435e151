"""render: a batch on this machine."""

from __future__ import annotations

import shlex
import signal
from functools import partial
from pathlib import Path

import click

from common.batch import Matrix
from producer.cli.interrupts import like_ctrl_c
from producer.cli.options import as_called, json_command, servers_as_given, store_option
from producer.cli.output import Output
from producer.cli.progress_display import FAILED_CELLS, show_progress
from producer.cli.status_text import status_json, status_text
from producer.cli.trial_options import BatchOptions, batch_options
from producer.farm import Farm
from producer.local import RenderReport, from_here
from producer.wording import counted


@click.command()
@batch_options
@click.option(
    "--out",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where grid and pictures go; default gridfarm-out/NAME, of a trial one in that.",
)
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(1, 64),
    help="Worker processes; default one per GPU.",
)
@store_option
@json_command
def render(
    out: Output,
    options: BatchOptions,
    folder: Path | None,
    workers: int | None,
    store: str | None,
) -> int:
    """Render FILE on this machine.

    FILE is a batch file, batch.yaml if none is named, or - for standard input; --prompt renders
    without one. A broker and workers are started and ended with it; nothing is installed or
    configured first. The same command again renders only what is new, and so does any other
    batch with pictures in common.

    Pictures are stored in the store that is named or configured, and so shared with a farm, else
    in gridfarm-out/store of this folder or the nearest above that has one. DIR shows this batch
    alone: DIR/images has links to its pictures and DIR/grid.png is all of them on a sheet, unless
    that would be too large to open. What is tried out of a batch (--set, --where, --limit,
    --model) is shown in a folder of its own.

    Another render on the same store at the same time gives its batch to the first one's workers,
    and goes on by itself when that ends. `gridfarm status` and `watch` follow it.

    \b
      gridfarm render batch.yaml
      gridfarm render batch.yaml --model tiny
      gridfarm render --prompt "a wolf in Yosemite" --seeds 1..4 --set steps=30

    Ends with 4 when cells failed, or when stored pictures are damaged, which the same command
    then draws again. Ctrl-C, SIGTERM or a closed terminal hand running cells back and end it with
    130, 143 or 129; the same command goes on.
    """
    with like_ctrl_c(signal.SIGTERM, signal.SIGHUP):
        report = Farm(store=store, say=out.say, progress=out.progress).render(
            options.read(out.say),
            out=folder,
            workers=workers,
            watch=partial(show_progress, out=out, nobody="starting workers"),
            **options.trial,
        )
    _show_result(report, out, servers_as_given())
    return FAILED_CELLS if report.status.failed else 0


def _show_result(report: RenderReport, out: Output, store: str) -> None:
    """`store` is how the command line named it, for those that are advised."""
    status, grid = report.status, str(report.sheets[0]) if report.sheets else None
    data = status_json(status) | {"out": str(report.folder), "grid": grid}
    pictures = f"{counted(status.done, 'picture')} in {from_here(report.images)}"
    text = status_text(status, on_a_farm=False) if status.failed else pictures
    out.result(data, "\n".join([text, *_flaws(report), *_next_steps(report, store)]))


def _flaws(report: RenderReport) -> list[str]:
    """The status names them, with what failed."""
    if not report.flaws:
        return []
    count = counted(len(report.flaws), "stored picture")
    return ["", f"{count} not taken; the same command draws what is lost"]


def _next_steps(report: RenderReport, store: str) -> list[str]:
    matrix, sheets, folder = report.matrix, report.sheets, report.folder
    varying = [axis.name for axis in matrix.axes if axis.count > 1]
    lines = ["", "The grid:", *(f"  {from_here(sheet)}" for sheet in sheets)] if sheets else []
    lines += ["", "Try next:"]
    gridfarm = as_called()
    if report.files:
        lines.append(f"  {gridfarm} show {_quoted(min(report.files))}")
    if not sheets:
        return [*lines, f"  {gridfarm} grid @last {_a_part(matrix)}{store}"]
    lines.append(f"  {gridfarm} open @last{store}")
    if len(varying) > 1:
        rows, columns = varying[-1], ",".join(varying[:-1])
        turned = f"--rows {rows} --columns {columns} -o {_quoted(folder / 'turned.png')}"
        lines.append(f"  {gridfarm} grid @last {turned}{store}")
    return lines


def _a_part(matrix: Matrix) -> str:
    """Options that draw the first value of the longest axis alone."""
    longest = max(matrix.axes, key=lambda axis: axis.count)
    return f"--where {shlex.quote(f'{longest.name}={next(longest.labels())}')}"


def _quoted(path: Path) -> str:
    return shlex.quote(from_here(path))
