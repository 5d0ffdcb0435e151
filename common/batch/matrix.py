"""The matrix: a batch's cells, lazy and indexable. Nothing here ever lists a million cells.

`len(m)` is the full product of the axes and `m[i]` the cell at `i`, row-major: the last axis
moves fastest. Excluded cells are holes: `m[i]` is None and no other cell changes its number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from pydantic import ValidationError

from common.batch.cell_settings import CellSettings, traits_of
from common.batch.document import AnyAxis, Batch, Value
from common.batch.filter import Filter
from common.batch.normalise import complete, filled, job_of, laid_over
from common.batch.seeds import image_seed
from common.errors import BadInput, GridfarmError
from common.job import Job

#: Up to this many cells equal ones are found and rendered once by count; above it nothing is
#: enumerated, and equal cells meet at their common key in the store.
ENUMERATE_UP_TO = 10_000

DAMAGED = "the batch document is damaged; submit the batch file again"
#: What comes of settings that are missing or of another type, in a document of a stranger's.
NOT_OURS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)

#: What workers load anew, the slowest first; "" is nothing.
_RELOADS = ("model", "loras", "")


@dataclass(frozen=True)
class Cell:
    """One cell: its number, the label on each axis (in axis order), its settings and its Job."""

    i: int
    labels: dict[str, str]
    settings: CellSettings
    job: Job

    @property
    def key(self) -> str:
        return self.job.key


@dataclass(frozen=True)
class Distinct:
    """Which cells of an enumerated matrix are rendered: `jobs` maps key → the first cell with
    it, `holes` are the excluded cells and those equal to an earlier one, `cells` counts all
    that are not excluded."""

    cells: int
    jobs: dict[str, int]
    holes: frozenset[int]


class Matrix:
    """`batch` as cells. `m[i]` costs O(axes); raises IndexError past the end."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.axes = batch.axes
        self.lengths = [axis.count for axis in batch.axes]
        self.strides = [math.prod(self.lengths[at + 1 :]) for at in range(len(self.lengths))]
        self._filter = Filter(batch.exclude, batch.only, batch.axes)
        self._layers = sorted(range(len(self.axes)), key=lambda at: _rank(self.axes[at].name))

    def __len__(self) -> int:
        return math.prod(self.lengths)

    def __getitem__(self, i: int) -> Cell | None:
        """Raises BadInput for a cell that cannot be: one LoRA file twice, words that make
        too long a prompt; IndexError past the end."""
        positions = self._positions(i)
        if not self._filter.keeps(positions):
            return None
        values = self._values(positions)
        labels = self._labels(values)
        try:
            settings = self._settings(values, labels)
            return Cell(i, labels, settings, job_of(settings, self.batch))
        except GridfarmError as error:
            raise BadInput(_of_cell(i, labels, error.message), hint=error.hint) from error
        except ValidationError as error:
            raise BadInput(_of_cell(i, labels, _first_mistake(error))) from error
        except NOT_OURS as error:
            reason = f"{type(error).__name__}: {error}"
            raise BadInput(_of_cell(i, labels, _not_ours(reason)), hint=DAMAGED) from error

    def __iter__(self) -> Iterator[Cell]:
        """Every cell that is not excluded, in order."""
        return (cell for i in self.numbers() if (cell := self[i]) is not None)

    def numbers(self) -> Iterator[int]:
        """The number of every cell that is not excluded, in order. Holes cost nothing: they are
        passed over in stretches."""
        for positions in self._filter.positions():
            yield sum(at * stride for at, stride in zip(positions, self.strides, strict=True))

    @cached_property
    def cells(self) -> int:
        """How many cells are not excluded."""
        return self._filter.count()

    @cached_property
    def distinct(self) -> Distinct | None:
        """Equal cells told apart by key; None above ENUMERATE_UP_TO cells."""
        if len(self) > ENUMERATE_UP_TO:
            return None
        jobs: dict[str, int] = {}
        holes, cells = set(), 0
        for i in range(len(self)):
            cell = self[i]
            cells += cell is not None
            if cell is None or jobs.setdefault(cell.key, i) != i:
                holes.add(i)
        return Distinct(cells, jobs, frozenset(holes))

    @cached_property
    def jobs(self) -> int:
        """How many distinct pictures; above ENUMERATE_UP_TO cells the number of cells."""
        return len(self.distinct.jobs) if self.distinct else self.cells

    @cached_property
    def order(self) -> list[tuple[int, int]]:
        """(length, stride) of each axis in the order of rendering, slowest first: axes that
        change the model, then those that change LoRAs, then the rest. Numbers do not change."""
        ranked = sorted(range(len(self.axes)), key=lambda at: _slowness(self.axes[at]))
        return [(self.lengths[at], self.strides[at]) for at in ranked]

    def labels(self, i: int) -> dict[str, str]:
        """The label on each axis, also of an excluded cell."""
        return self._labels(self._values(self._positions(i)))

    def _positions(self, i: int) -> list[int]:
        if not 0 <= i < len(self):
            raise IndexError(i)
        places = zip(self.lengths, self.strides, strict=True)
        return [i // stride % length for length, stride in places]

    def _values(self, positions: list[int]) -> list[Value]:
        return [axis.value(at) for axis, at in zip(self.axes, positions, strict=True)]

    def _labels(self, values: list[Value]) -> dict[str, str]:
        return {axis.name: value.label for axis, value in zip(self.axes, values, strict=True)}

    def _settings(self, values: list[Value], labels: dict[str, str]) -> CellSettings:
        settings = dict(self.batch.settings)
        for at in self._layers:
            settings = laid_over(settings, values[at].settings)
        if isinstance(seed := settings["seed"], dict):
            settings["seed"] = image_seed(str(seed["from"]), labels)
        try:
            return CellSettings.model_validate(filled(complete(settings)))
        except ValidationError as error:
            raise BadInput(_not_ours(_first_mistake(error)), hint=DAMAGED) from error


def _first_mistake(error: ValidationError) -> str:
    reason = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, reason['loc'])) or 'the job'}: {reason['msg']}"


def _not_ours(reason: str) -> str:
    return f"its settings are none that gridfarm writes ({reason})"[:300]


def _of_cell(i: int, labels: dict[str, str], message: str) -> str:
    where = ", ".join(f"{axis} {label[:40]}" for axis, label in labels.items())
    return f"cell {i} ({where}): {message}" if where else message


def _rank(axis: str) -> int:
    """Precedence when two axes set the same setting: a variant overrides a prompt's bundle."""
    return {"prompt": 0, "variant": 2}.get(axis, 1)


def _slowness(axis: AnyAxis) -> int:
    ranks = (_RELOADS.index(traits_of(name).reloads) for name in axis.setting_names())
    return min(ranks, default=len(_RELOADS) - 1)
