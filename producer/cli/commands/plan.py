"""plan: what a batch file would render, before anything is."""

from __future__ import annotations

import math
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import click

from common.batch import (
    REFINER,
    TRAITS,
    WORD,
    AnyAxis,
    Cell,
    Layer,
    Matrix,
    complete,
)
from producer.cli.options import farm_command
from producer.cli.output import Output
from producer.cli.trial_options import BatchOptions, batch_options
from producer.farm import Farm
from producer.language import as_it_stands, left_alone, short_labels
from producer.language.settings import DEFAULTS, SETTINGS, as_text
from producer.submission import Plan
from producer.wording import counted, in_bytes

FIRST_CELLS = 5
SHOWN_LABELS = 72
MOST_LABELS = 100
SHOWN_VALUES = 8
SHOWN_WIDTH = 96


@click.command()
@batch_options
@click.option(
    "--exact",
    is_flag=True,
    help="Count equal cells and stored pictures of any number of cells, and hash local files anew.",
)
@farm_command
def plan(farm: Farm, out: Output, options: BatchOptions, exact: bool) -> None:
    """Show what FILE would render.

    Axes, overrides, the first cells, how many pictures and how much disk; or the mistakes of the
    file together, but for those that show when others are mended. Renders and uploads nothing
    and works offline; with a store it also says how many pictures are stored already. FILE is
    batch.yaml if none is named, or - for standard input.

    \b
      gridfarm plan batch.yaml
      gridfarm plan batch.yaml --where prompt=wolf --limit 4
      gridfarm plan --prompt "a wolf in Yosemite" --seeds 1..4 --set steps=30
    """
    planned = farm.plan(options.read(out.say), exact=exact, **options.trial)
    out.result(planned.to_json(), "\n".join(_lines(planned, exact)))


def _lines(plan: Plan, exact: bool) -> Iterator[str]:
    matrix = plan.matrix
    yield f"{matrix.batch.name}: {_cells_and_jobs(matrix, plan.jobs, exact)}"
    yield from _axis_lines(matrix)
    yield from _part("in every cell", _common_settings(matrix))
    yield from _part("overrides", _overrides(matrix))
    yield from _part("first cells", _first_cells(matrix))
    yield from _first_prompt(matrix)
    if plan.unresolved:
        yield from ("", f"looked up at submit: {', '.join(plan.unresolved)}")
    yield from ("", _disk(plan.bytes, plan.store))
    if plan.stored is not None:
        yield f"{plan.stored:,} stored already, {plan.new:,} to render ({plan.batch})"


def _part(title: str, lines: list[str]) -> list[str]:
    return ["", title, *lines] if lines else []


def _cells_and_jobs(matrix: Matrix, jobs: int, exact: bool) -> str:
    cells = matrix.cells
    if matrix.distinct is None and not exact:
        return f"{counted(cells, 'cell')}, so many that equal ones are not counted (--exact does)"
    if cells == jobs:
        each = ", each a picture of its own" if cells > 1 else ""
        return f"{counted(cells, 'cell')}{each}"
    return f"{counted(cells, 'cell')}, {counted(jobs, 'different picture')}"


def _axis_lines(matrix: Matrix) -> Iterator[str]:
    rows = [(axis.name, f"{axis.count:,}", _some_labels(axis)) for axis in matrix.axes]
    if excluded := math.prod(matrix.lengths) - matrix.cells:
        rows.append(("excluded", f"{excluded:,}", "cell" if excluded == 1 else "cells"))
    if rows:
        yield ""
    names, counts = (max((len(row[at]) for row in rows), default=0) for at in (0, 1))
    for name, count, labels in rows:
        yield f"  {name:<{names}}  {count:>{counts}}  {labels}"


def _some_labels(axis: AnyAxis) -> str:
    shown: list[str] = []
    short = short_labels(axis)
    if axis.count > MOST_LABELS:
        first, last = (axis.value(at).label for at in (0, axis.count - 1))
        return f"{_short(short.get(first, first))} … {_short(short.get(last, last))}"
    for label in axis.labels():
        shown.append(_short(short.get(label, label)))
        if len(" · ".join(shown)) > SHOWN_LABELS:
            break
    return _short(" · ".join(shown), SHOWN_LABELS)


def _short(text: str, width: int = 40) -> str:
    """One line of at most `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 1].rstrip()}…"


def _common_settings(matrix: Matrix) -> list[str]:
    """What all cells have in common, model-dependent defaults included."""
    varying = {name for axis in matrix.axes for name in axis.setting_names()}
    settings = complete(matrix.batch.settings)
    refines = "high_noise_frac" in varying or settings["high_noise_frac"] != 1
    refines = refines or any("refiner.strength" in names for names in (varying, settings))
    says_nothing: tuple[Any, ...] = (None, {}, "")
    shown = [
        f"{name} {as_text(settings[name])}"
        for name in SETTINGS
        if name in settings and name not in varying and settings[name] not in says_nothing
        and not (name.startswith(REFINER) and not refines)
        and not (TRAITS[name].unsaid == "everywhere" and settings[name] == DEFAULTS.get(name))
    ]  # fmt: skip
    text = ", ".join(_short(setting, 60) for setting in shown)
    return textwrap.wrap(text, 90, initial_indent="  ", subsequent_indent="  ")


def _overrides(matrix: Matrix) -> list[str]:
    """What the values of an axis set besides what the axis is named after."""
    lines: list[str] = []
    for axis in matrix.axes:
        values = [axis.value(at) for at in range(min(axis.count, 1000))]
        if any(_besides(axis.name, value.settings) for value in values):
            layers = [value.settings for value in values]
            kept = _settled(matrix, axis.name)
            set_by = {v.label: _set_by(axis.name, v.settings, layers, kept) for v in values}
            lines += _value_lines(axis.name, set_by)
    return lines


def _settled(matrix: Matrix, axis: str) -> Layer:
    """What every cell has whose value on that axis sets nothing."""
    others = {n for other in matrix.axes if other.name != axis for n in other.setting_names()}
    settings = {"scheduler": None, "loras": {}, **DEFAULTS, **complete(matrix.batch.settings)}
    return {n: v for n, v in settings.items() if not any(_is_of(o, n) for o in others)}


def _is_of(name: str, collection: str) -> bool:
    return name == collection or name.startswith(f"{collection}.")


def _set_by(axis: str, settings: Layer, layers: Sequence[Layer], kept: Layer) -> str:
    """`guidance_scale 12`, and of what sets nothing `nothing (guidance_scale 7)`: what it leaves
    alone that others set."""
    stands = [as_it_stands(n, kept[n]) for n in left_alone(settings, layers) if n in kept]
    left = ", ".join(text for one in stands for text in _besides(axis, one))
    return (", ".join(_besides(axis, settings)) or "nothing") + (f" ({left})" if left else "")


def _besides(axis: str, settings: Layer) -> list[str]:
    own = {axis, WORD + axis}
    return [f"{name} {as_text(value)}" for name, value in settings.items() if name not in own]


def _value_lines(axis: str, set_by: dict[str, str]) -> Iterator[str]:
    shown = [*set_by.items()][:SHOWN_VALUES]
    width = max(len(_short(label, 24)) for label, _ in shown)
    for number, (label, named) in enumerate(shown):
        title = axis if number == 0 else " " * len(axis)
        line = f"  {title}  {_short(label, 24):<{width}}  {named}"
        yield line if len(line) <= SHOWN_WIDTH else f"{line[: SHOWN_WIDTH - 1]}…"
    if len(set_by) > len(shown):
        yield f"  {' ' * len(axis)}  … {len(set_by) - len(shown):,} more"


def _first_cells(matrix: Matrix) -> list[str]:
    cells: list[Cell] = [*islice(matrix, FIRST_CELLS)]
    width = max((len(str(cell.i)) for cell in cells), default=1)
    short = {axis.name: short_labels(axis) for axis in matrix.axes}
    lines = []
    for cell in cells:
        shown = (short[axis].get(label, label) for axis, label in cell.labels.items())
        labels = " · ".join(map(_short, shown))
        lines.append(f"  #{cell.i:<{width}}  {labels or 'the only cell'}")
    if matrix.cells > len(cells):
        lines.append(f"  … {matrix.cells - len(cells):,} more")
    return lines


def _first_prompt(matrix: Matrix) -> Iterator[str]:
    """The text that the first cell draws, where its label does not say it: filled in with
    words, emphasised, or behind a name."""
    cell = next(iter(matrix))
    if cell and cell.job.prompt not in cell.labels.values():
        yield from textwrap.wrap(
            f"prompt of #{cell.i}: {_short(cell.job.prompt, 300)}",
            SHOWN_WIDTH, initial_indent="  ", subsequent_indent="    ",
        )  # fmt: skip


def _disk(size: int, store: str) -> str:
    """How much is written, and whether a folder has room for it."""
    text = f"about {in_bytes(size)} of pictures"
    folder = Path(store) if store and "://" not in store else None
    if folder is None or not folder.exists():
        return text
    free = shutil.disk_usage(folder).free
    enough = "" if free > size else ", which is not enough"
    return f"{text}; {folder} has {in_bytes(free)} free{enough}"
