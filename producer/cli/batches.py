"""plan, submit, status, watch: what is ordered and how far it is."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from common.errors import BrokerError, StoreError
from producer.cli.options import (
    Farm,
    batch_argument,
    farm_command,
    file_argument,
    model_option,
    read_file,
)
from producer.cli.output import counted

if TYPE_CHECKING:
    from common.batch import Batch
    from common.matrix import Matrix
    from common.store import Store
    from producer.submit import SubmitReport
    from producer.watch import Status

FAILED_CELLS = 4
FIRST_CELLS = 5
SHOWN_FAILURES = 20
SHOWN_LABELS = 72


@click.command()
@file_argument
@model_option
@farm_command
def plan(farm: Farm, file: str, model: str | None) -> None:
    """Show what FILE would render.

    Axes, counts, settings, the first cells; all mistakes of the file at once. Renders and
    uploads nothing and works offline; with a store it also says how many pictures are
    stored already.
    """
    from common.matrix import Matrix
    from producer.resolve import resolve_offline

    batch_file = read_file(file, model, farm.out)
    store = _store_if_reachable(farm)
    batch = resolve_offline(batch_file, store)
    matrix = Matrix(batch)
    stored = _stored(matrix, store)
    data = {
        "batch": batch.id if stored is not None else None,
        "cells": matrix.cells,
        "jobs": matrix.jobs,
        "new": None if stored is None else matrix.jobs - stored,
        "stored": stored,
        "axes": {axis.name: len(axis) for axis in batch.axes},
        "unresolved": [batch_file.lora_sources.get(name, name) for name in batch.unresolved],
    }
    farm.out.result(data, _plan_text(matrix, data))


def _store_if_reachable(farm: Farm) -> Store | None:
    if not farm.settings.store:
        return None
    try:
        farm.store.exists("active")
    except StoreError as error:
        farm.out.say(f"planning without the store: {error.message}")
        return None
    return farm.store


def _stored(matrix: Matrix, store: Store | None) -> int | None:
    from producer.submit import look_up

    if store is None or matrix.batch.unresolved:
        return None
    return look_up(matrix, matrix.batch.id, store).count


def _plan_text(matrix: Matrix, data: dict[str, Any]) -> str:
    lines = [f"{matrix.batch.name}: {_cells_and_jobs(matrix)}", ""]
    width = max((len(axis.name) for axis in matrix.axes), default=0)
    lines += [f"  {a.name:<{width}}  {len(a):>5}  {_some_labels(a)}" for a in matrix.axes]
    lines += ["", "settings", *_settings_lines(matrix), "", "first cells"]
    lines += list(_first_cells(matrix))
    if data["unresolved"]:
        lines += ["", f"looked up at submit: {', '.join(data['unresolved'])}"]
    if data["stored"] is not None:
        lines += ["", f"{data['stored']:,} stored, {data['new']:,} to render ({data['batch']})"]
    return "\n".join(lines)


def _cells_and_jobs(matrix: Matrix) -> str:
    cells, jobs = matrix.cells, matrix.jobs
    if matrix.distinct is None:
        return f"{counted(cells, 'cell')}, so many that equal ones are not counted"
    if cells == jobs:
        return f"{counted(cells, 'cell')}, each a picture of its own"
    return f"{counted(cells, 'cell')}, {counted(jobs, 'different picture')}"


def _some_labels(axis: Any) -> str:
    shown: list[str] = []
    for position in range(len(axis)):
        shown.append(" ".join(axis.value(position).label.split()))
        if len(" · ".join(shown)) > SHOWN_LABELS:
            break
    return textwrap.shorten(" · ".join(shown), SHOWN_LABELS, placeholder=" …")


def _settings_lines(matrix: Matrix) -> list[str]:
    """What all cells have in common, model-dependent defaults included."""
    from common.matrix import complete
    from common.spec_values import as_text

    varying = {name for axis in matrix.axes for name in axis.setting_names()}
    settings = complete(matrix.batch.settings)
    shown = [
        f"{name} {as_text(value)}"
        for name, value in settings.items()
        if name not in varying and value not in (None, {}, "")
        and not (name == "refiner" and settings["high_noise_frac"] == 1)
    ]  # fmt: skip
    text = ", ".join(shown)
    return textwrap.wrap(text, 90, initial_indent="  ", subsequent_indent="  ")


def _first_cells(matrix: Matrix) -> list[str]:
    lines = []
    for cell in matrix:
        labels = [textwrap.shorten(label, 40, placeholder=" …") for label in cell.labels.values()]
        lines.append(f"  #{cell.i:<4} {' · '.join(labels) or 'the only cell'}")
        if len(lines) == FIRST_CELLS:
            break
    if matrix.cells > len(lines):
        lines.append(f"  … {matrix.cells - len(lines):,} more")
    return lines


@click.command()
@file_argument
@model_option
@click.option("--watch", "and_watch", is_flag=True, help="Stay and show the progress.")
@click.option("--gpu", metavar="TYPE", help="Only workers started with --gpu TYPE may render it.")
@farm_command
def submit(farm: Farm, file: str, model: str | None, and_watch: bool, gpu: str | None) -> int:
    """Order FILE from the farm.

    Prints the batch's id. The same file again is the same batch: what is stored is not
    rendered twice, a cancelled batch goes on, failed cells stay failed.
    """
    from common.batch import slug
    from producer.find import remember
    from producer.hub import Hub
    from producer.resolve import resolve
    from producer.submit import submit as place

    batch_file = read_file(file, model, farm.out)
    if gpu:
        pinned = batch_file.batch.model_copy(update={"gpu": slug(gpu)})
        batch_file = replace(batch_file, batch=pinned)
    farm.ledger.ping()
    with farm.out.progress() as progress:
        resolved = resolve(batch_file, Hub(farm.store, farm.out.say))
        report = place(resolved, farm.store, farm.ledger, progress)
    remember(farm.settings, report.batch)
    if not (and_watch and farm.out.as_json):
        farm.out.result(report.__dict__, submit_text(report))
    return follow(farm, report.batch, resolved.batch) if and_watch else 0


def submit_text(report: SubmitReport) -> str:
    if report.queued == 0:
        return f"{report.batch}: nothing to render, {report.stored:,} of {report.jobs:,} stored"
    already = f", {report.stored:,} stored already" if report.stored else ""
    return f"{report.batch}: {counted(report.queued, 'picture')} to render{already}"


@click.command()
@batch_argument
@farm_command
def status(farm: Farm, batch: str) -> None:
    """Say how BATCH stands.

    BATCH is an id, its beginning, a name, a batch file, or @last, which is the default.
    Without a broker, or when it is away, the store answers.
    """
    from producer.watch import Watcher

    batch_id, document = farm.find(batch)
    ledger = farm.ledger_if_any
    try:
        if ledger:
            ledger.ping()
    except BrokerError as error:
        farm.out.say(f"{error.message}; this is what the store knows")
        ledger = None
    seen = Watcher(batch_id, document, farm.store, ledger).status()
    farm.out.result(status_json(seen), status_text(seen))


@click.command()
@batch_argument
@farm_command
def watch(farm: Farm, batch: str) -> int:
    """Follow BATCH until it is done.

    Ctrl-C ends the watching only; the farm goes on. Ends with 4 when cells failed.
    """
    batch_id, document = farm.find(batch)
    farm.ledger.ping()
    return follow(farm, batch_id, document)


def follow(farm: Farm, batch_id: str, document: Batch) -> int:
    """Show a batch's progress to its end; the exit code."""
    from producer.cli.live import show_progress
    from producer.watch import Watcher

    watcher = Watcher(batch_id, document, farm.store, farm.ledger)
    try:
        last = show_progress(watcher.follow(), farm.out)
    except KeyboardInterrupt:
        farm.out.say(f"no longer watching; the farm goes on. gridfarm watch {batch_id} comes back")
        return 0
    if not farm.out.as_json:
        farm.out.result({}, status_text(last))
    return FAILED_CELLS if last.failed else 0


def status_json(seen: Status) -> dict[str, Any]:
    return {
        "batch": seen.batch,
        "state": seen.state,
        "jobs": seen.jobs,
        "done": seen.done,
        "failed": seen.failed,
        "running": seen.running,
        "waiting": seen.waiting,
        "workers": seen.workers,
        "failures": seen.failures,
    }


def status_text(seen: Status) -> str:
    parts = [f"{seen.done:,} of {counted(seen.jobs, 'picture')} stored"]
    parts += [f"{seen.failed:,} failed"] if seen.failed else []
    if not seen.over:
        parts += [f"{seen.running:,} running", f"{seen.waiting:,} waiting"]
        parts += [counted(seen.workers, "worker") if seen.workers else "no worker is listening"]
    lines = [f"{seen.batch}: {seen.state}", f"  {', '.join(parts)}"]
    lines += [f"  paused: {w.name}: {w.message}" for w in seen.listening if w.state == "paused"]
    return "\n".join([*lines, *_failure_lines(seen)])


def _failure_lines(seen: Status) -> list[str]:
    lines = []
    for failure in seen.failures[:SHOWN_FAILURES]:
        labels: Any = failure["labels"]
        place = " · ".join(
            textwrap.shorten(label, 40, placeholder=" …") for label in labels.values()
        )
        lines += ["", f"  failed #{failure['i']} {place}"]
        lines += textwrap.wrap(
            str(failure["reason"]), 90, initial_indent="    ", subsequent_indent="    "
        )
    if seen.failed > SHOWN_FAILURES:
        lines += ["", f"  … {seen.failed - SHOWN_FAILURES:,} more failed; --json has them"]
    return lines
