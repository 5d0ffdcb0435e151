"""render and doctor: this machine as a farm, and what works on it."""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from common.errors import UsageError
from producer.cli.options import (
    Farm,
    farm_command,
    local_command,
)
from producer.cli.output import counted
from producer.cli.trial import Trial, read_trial, trial_command

if TYPE_CHECKING:
    from common.batch import Batch, Matrix
    from producer.batches import Status
    from producer.local import LocalWorkers
    from producer.submission import Resolved

NOTHING_WORKS = 3


@click.command()
@trial_command
@click.option(
    "--out",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where grid, pictures and the store go; default gridfarm-out/NAME.",
)
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(1, 64),
    help="Worker processes; default one per GPU.",
)
@local_command
def render(farm: Farm, trial: Trial, folder: Path | None, workers: int | None) -> int:
    """Render FILE on this machine.

    FILE is a batch file, or - for standard input; --prompt renders without one. A broker,
    workers and a folder as the store are started and ended with it; nothing is installed or
    configured first. Leaves DIR/images and, unless a sheet would be too large to open,
    DIR/grid.png. The same command again renders only what is new.

    \b
      gridfarm render batch.yaml
      gridfarm render batch.yaml --model tiny --out trial
      gridfarm render --prompt "a wolf in Yosemite" --seeds 1..4 --set steps=30

    Ends with 4 when cells failed. Ctrl-C hands running cells back and ends with 130; the same
    command goes on.
    """
    from common.batch import slug

    _need_worker_packages()
    batch_file = read_trial(farm, trial)
    folder = folder or Path("gridfarm-out") / slug(batch_file.batch.name)
    farm.settings = replace(farm.settings, store=str((folder / "store").absolute()))
    try:
        resolved, seen = _render(farm, batch_file, folder, workers)
    except KeyboardInterrupt:
        farm.out.say("interrupted: running cells were handed back; the same command goes on")
        raise
    from producer.cli.batches import FAILED_CELLS

    _show_result(farm, resolved.batch, seen, folder)
    return FAILED_CELLS if seen.failed else 0


def _need_worker_packages() -> None:
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("diffusers") is None:
        raise UsageError(
            "this is a producer-only install: it has no torch to render with",
            hint="pip install 'gridfarm[local]', or gridfarm submit to a farm",
        )


def _render(
    farm: Farm, batch_file: Any, folder: Path, workers: int | None
) -> tuple[Resolved, Status]:
    from producer.batches import remember
    from producer.local import local_broker
    from producer.submission import Hub, resolve, submit

    with local_broker() as broker:
        farm.settings = replace(farm.settings, broker=broker)
        with farm.out.progress() as progress:
            resolved = resolve(batch_file, Hub(farm.store, farm.out.say))
            _forget_failures(farm, resolved.batch.id)
            report = submit(resolved, farm.store, farm.ledger, progress)
        remember(farm.settings, report.batch)
        from producer.cli.batches import submit_text

        farm.out.say(submit_text(report))
        if report.queued == 0:
            return resolved, _look(farm, report.batch, resolved.batch)
        return resolved, _work(farm, report.batch, resolved.batch, folder, workers)


def _forget_failures(farm: Farm, batch_id: str) -> None:
    """What failed is tried again: on a person's own machine they gave the command to that end."""
    from common.store import object_names

    failed = list(farm.store.list(object_names.failures(batch_id)))
    if failed:
        farm.out.say(f"{len(failed):,} failed before and are tried again")
    for name in failed:
        farm.store.delete(name)


def _look(farm: Farm, batch_id: str, document: Batch) -> Status:
    from producer.batches import Watcher

    return Watcher(batch_id, document, farm.store, None).status()


def _work(farm: Farm, batch_id: str, document: Batch, folder: Path, workers: int | None) -> Status:
    from producer.batches import Watcher
    from producer.cli.live import show_progress
    from producer.local import local_workers

    settings = farm.settings
    log = folder / "workers.log"
    with local_workers(
        settings.broker, settings.store, log, workers=workers, cache=str(settings.cache_dir)
    ) as local:
        watcher = Watcher(batch_id, document, farm.store, farm.ledger)
        statuses = _while_alive(watcher.follow(), local)
        return show_progress(statuses, farm.out, nobody="starting workers")


def _while_alive(statuses: Iterator[Status], workers: LocalWorkers) -> Iterator[Status]:
    for status in statuses:
        yield status
        if not status.over:
            workers.check()


def _show_result(farm: Farm, document: Batch, seen: Status, folder: Path) -> None:
    from common.batch import Matrix
    from producer.cli.batches import status_json, status_text
    from producer.pictures import fetch

    matrix = Matrix(document)
    fetch(matrix, farm.store, folder / "images")
    sheets = _sheets(farm, matrix, seen.batch, folder)
    data = status_json(seen) | {"out": str(folder), "grid": str(sheets[0]) if sheets else None}
    if farm.out.as_json:
        farm.out.result(data, "")
        return
    text = (
        status_text(seen) if seen.failed else f"{counted(seen.done, 'picture')} in {folder}/images"
    )
    farm.out.result(data, "\n".join([text, *_next_steps(matrix, sheets, folder)]))


def _sheets(farm: Farm, matrix: Matrix, batch_id: str, folder: Path) -> list[Path]:
    """None if they would be too large: every picture is there, so that is no failure."""
    from producer.cli.pictures import all_rows, write_grid
    from producer.sheet import SheetTooLarge

    try:
        return write_grid(farm, matrix, batch_id, folder / "grid.png", rows=all_rows(matrix))
    except SheetTooLarge as too_large:
        farm.out.say(f"no grid is drawn: {too_large.message}")
        return []


def _next_steps(matrix: Matrix, sheets: list[Path], folder: Path) -> list[str]:
    images = sorted((folder / "images").rglob("*.png"))
    varying = [axis.name for axis in matrix.axes if axis.count > 1]
    lines = ["", "The grid:", *(f"  {sheet}" for sheet in sheets)] if sheets else []
    lines += ["", "Try next:"]
    gridfarm = _as_called()
    if images:
        lines.append(f"  {gridfarm} show {_quoted(images[0])}")
    if not sheets:
        return [*lines, f"  {gridfarm} grid @last {_a_part(matrix)}"]
    lines.append(f"  {gridfarm} open @last")
    if len(varying) > 1:
        rows, columns = varying[-1], ",".join(varying[:-1])
        turned = f"--rows {rows} --columns {columns} -o {_quoted(folder / 'turned.png')}"
        lines.append(f"  {gridfarm} grid @last {turned}")
    return lines


def _a_part(matrix: Matrix) -> str:
    """Options that draw the first value of the longest axis alone."""
    longest = max(matrix.axes, key=lambda axis: axis.count)
    return f"--where {shlex.quote(f'{longest.name}={next(longest.labels())}')}"


def _as_called() -> str:
    """`gridfarm`, or the path to it where it is not on the PATH, so that lines can be pasted."""
    return "gridfarm" if shutil.which("gridfarm") else _quoted(Path(sys.argv[0]))


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


@click.command()
@farm_command
def doctor(farm: Farm) -> int:
    """Say what works here and what does not.

    Broker, store, workers, GPU, packages, and what to do about each that is not well.

    \b
      gridfarm doctor
      gridfarm doctor --broker redis://broker:6379/0 --store s3://bucket/renders

    Ends with 3 when a configured broker or store does not answer.
    """
    from producer.doctor import examine

    checks = examine(farm.settings)
    ok = all(check.ok for check in checks)
    data = {"ok": ok, "checks": [check.__dict__ for check in checks]}
    farm.out.result(data, "\n".join(_check_line(check) for check in checks))
    return 0 if ok else NOTHING_WORKS


def _check_line(check: Any) -> str:
    mark = click.style("ok  ", fg="green") if check.ok else click.style("BAD ", fg="red")
    return f"{mark} {check.name:<9} {check.message}"
