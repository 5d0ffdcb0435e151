"""The matrix: a batch's cells, lazy and indexable. Nothing here ever lists a million cells.

`len(m)` is the full product of the axes and `m[i]` the cell at `i`, row-major: the last axis
moves fastest. Excluded cells are holes: `m[i]` is None and no other cell changes its number.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import product
from typing import Any, cast

from pydantic import JsonValue

from common.batch import Axis, Batch, RangeAxis, Value, setting
from common.errors import GridfarmError
from common.job import Job, LoraUse, RefinerUse
from common.schedulers import parse_scheduler

ENUMERATE_UP_TO = 10_000
"""Up to this many cells equal ones are found and rendered once by count; above it nothing is
enumerated, and equal cells meet at their common key in the store."""

_SLOW_SETTINGS = ({"model", "vae", "refiner", "dtype"}, {"loras", "lora_scale"})
_INTEGER_SETTINGS = {"steps"}

Settings = dict[str, JsonValue]


@dataclass(frozen=True)
class Cell:
    """One cell: its number, the label on each axis (in axis order), its settings and its Job."""

    i: int
    labels: dict[str, str]
    settings: Settings
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
        self.lengths = [len(axis) for axis in batch.axes]
        self.strides = [math.prod(self.lengths[at + 1 :]) for at in range(len(self.lengths))]
        self._exclude = [_Condition(condition, self.axes) for condition in batch.exclude]
        self._only = [_Condition(condition, self.axes) for condition in batch.only]
        self._layers = sorted(range(len(self.axes)), key=lambda at: _rank(self.axes[at].name))

    def __len__(self) -> int:
        return math.prod(self.lengths)

    def __getitem__(self, i: int) -> Cell | None:
        values = self._values(i)
        if not self._kept([value.label for value in values]):
            return None
        labels = {axis.name: value.label for axis, value in zip(self.axes, values, strict=True)}
        settings = self._settings(values)
        return Cell(i, labels, settings, job_of(settings, self.batch))

    def __iter__(self) -> Iterator[Cell]:
        """Every cell that is not excluded, in order."""
        return (cell for i in range(len(self)) if (cell := self[i]) is not None)

    @cached_property
    def cells(self) -> int:
        """How many cells are not excluded, counted without enumerating them.

        On each axis, labels that no condition tells apart are one class; the product of the
        classes is small however long the axes are.
        """
        conditions = [*self._exclude, *self._only]
        mentioned = sorted({at for condition in conditions for at in condition.labels})
        classes = [_classes(at, self.axes[at], conditions) for at in mentioned]
        kept = 0
        for combination in product(*(c.items() for c in classes)):
            chosen = dict(zip(mentioned, (label for label, _ in combination), strict=True))
            if self._kept_where(chosen):
                kept += math.prod(count for _, count in combination)
        rest = (n for at, n in enumerate(self.lengths) if at not in mentioned)
        return kept * math.prod(rest)

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
        return {a.name: v.label for a, v in zip(self.axes, self._values(i), strict=True)}

    def _values(self, i: int) -> list[Value]:
        if not 0 <= i < len(self):
            raise IndexError(i)
        places = zip(self.axes, self.lengths, self.strides, strict=True)
        return [axis.value(i // stride % length) for axis, length, stride in places]

    def _settings(self, values: list[Value]) -> Settings:
        settings = dict(self.batch.settings)
        for at in self._layers:
            for name, value in values[at].settings.items():
                settings[name] = _merged(name, settings.get(name), value)
        return complete(settings)

    def _kept(self, labels: list[str]) -> bool:
        return self._kept_where(dict(enumerate(labels)))

    def _kept_where(self, labels: dict[int, str | None]) -> bool:
        if any(condition.matches(labels) for condition in self._exclude):
            return False
        return not self._only or any(condition.matches(labels) for condition in self._only)


class _Condition:
    """One entry of `exclude` or `only`: axis position → the labels that match."""

    def __init__(self, condition: dict[str, tuple[str, ...]], axes: tuple[Any, ...]) -> None:
        positions = {axis.name: at for at, axis in enumerate(axes)}
        self.labels = {positions[name]: frozenset(labels) for name, labels in condition.items()}

    def matches(self, labels: dict[int, str | None]) -> bool:
        return all(labels[at] in allowed for at, allowed in self.labels.items())


def _classes(
    at: int, axis: Axis | RangeAxis, conditions: list[_Condition]
) -> dict[str | None, int]:
    """Labels of axis `at` as classes → how many: each label that a condition names is told
    apart by the conditions that name it; None stands for all that none names."""
    named = {label for c in conditions for label in c.labels.get(at, ()) if axis.has(label)}
    signatures: dict[tuple[bool, ...], str] = {}
    counts: Counter[str | None] = Counter({None: len(axis) - len(named)})
    for label in sorted(named):
        signature = tuple(label in c.labels.get(at, ()) for c in conditions)
        counts[signatures.setdefault(signature, label)] += 1
    return dict(counts)


def _rank(axis: str) -> int:
    """Precedence when two axes set the same setting: a variant overrides a prompt's bundle."""
    return {"prompt": 0, "variant": 2}.get(axis, 1)


def _slowness(axis: Axis | RangeAxis) -> int:
    names = axis.setting_names()
    for rank, slow in enumerate(_SLOW_SETTINGS):
        if names & slow:
            return rank
    return len(_SLOW_SETTINGS)


def _merged(name: str, below: JsonValue, value: JsonValue) -> JsonValue:
    """`refiner` is a group of settings, each overridden alone; every other value is whole."""
    if name == "refiner" and isinstance(below, dict) and isinstance(value, dict):
        return below | value
    if name in _INTEGER_SETTINGS and isinstance(value, str):
        return int(value)  # from a RangeAxis
    return value


def complete(settings: Settings) -> Settings:
    """Fill in the defaults that depend on the cell's model: dtype, VAE and refiner."""
    tiny = settings["model"] == "tiny"
    dtype = settings.get("dtype") or ("fp32" if tiny else "fp16")
    vae = settings.get("vae") or ("fp16-fix" if dtype == "fp16" and not tiny else "own")
    refiner = {"model": "tiny-refiner" if tiny else "sdxl-refiner"}
    written = cast("dict[str, Any]", settings.get("refiner") or {})
    return settings | {"dtype": dtype, "vae": vae, "refiner": refiner | written}


def job_of(settings: Settings, batch: Batch) -> Job:
    """Normalise complete settings: what cannot change a pixel is dropped, so that equal
    pictures have equal keys."""
    width, height = (int(side) for side in str(settings["size"]).split("x"))
    guided = cast(float, settings["guidance_scale"]) > 1
    fields: dict[str, Any] = {
        "model": _model(settings["model"], batch),
        "vae": None if settings["vae"] == "own" else _model(settings["vae"], batch),
        "refiner": _refiner(settings, batch),
        "negative_prompt": settings["negative_prompt"] if guided else None,
        "seed": int(cast(str, settings["seed"])),
        "width": width,
        "height": height,
        "scheduler": parse_scheduler(settings.get("scheduler")),
        "loras": _loras(settings, batch),
    }
    same = ("prompt", "dtype", "noise", "steps", "guidance_scale", "high_noise_frac")
    return Job(**fields, **{name: settings[name] for name in (*same, "long_prompts")})


def _model(written: JsonValue, batch: Batch) -> str:
    return batch.models[str(written)] or f"file:{_stand_in(written)}"


def _stand_in(written: JsonValue) -> str:
    """A hash for what is not resolved yet: an offline plan can still tell equal cells."""
    return hashlib.sha256(f"unresolved:{written}".encode()).hexdigest()


def _refiner(settings: Settings, batch: Batch) -> RefinerUse | None:
    if settings["high_noise_frac"] == 1:
        return None
    written = cast("dict[str, Any]", settings["refiner"])
    return RefinerUse(**written | {"model": _model(written["model"], batch)})


def _loras(settings: Settings, batch: Batch) -> tuple[LoraUse, ...]:
    over_all = settings.get("lora_scale", 1.0)
    uses = []
    for name, scale in cast("dict[str, Any]", settings.get("loras") or {}).items():
        both = isinstance(scale, dict)
        unet = _times(scale.get("unet", 1.0) if both else scale, over_all)
        text = _times(scale.get("text_encoder", 1.0) if both else scale, over_all)
        if unet or text:
            sha256 = batch.loras[name] or _stand_in(name)
            uses.append(LoraUse(sha256=sha256, unet=unet, text_encoder=text))
    if len({use.sha256 for use in uses}) < len(uses):
        raise GridfarmError(
            f"the LoRAs {', '.join(setting(settings, 'loras'))} of one cell are the same file",
            hint="name each LoRA file once in a cell and add up the scales",
        )
    return tuple(sorted(uses, key=lambda use: use.sha256))


def _times(scale: Any, over_all: Any) -> float:
    """In decimals, so that 0.7 × 0.1 is 0.07 and a key does not hang on binary rounding."""
    return float(Decimal(str(scale)) * Decimal(str(over_all))) + 0.0
