"""The frozen batch: what a person ordered, validated and complete enough to be stored.

`batches/<id>/batch.json` is this document. Every worker reads it from the store and computes
cell i of it by itself (`common.batch.matrix`), so a message on the queue is only (batch id, i).
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import cached_property
from math import prod
from typing import Annotated, Literal

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from common.batch.cell_settings import WHOLE_SETTINGS
from common.errors import GridfarmError
from common.text import is_letter, words_of

#: Raised when a reader of the old document would misread a new one.
SCHEMA: Literal[2] = 2

#: A batch's progress is one Redis string of bits, and that ends at 2³².
MAX_CELLS = 1_000_000_000

MAX_AXES = 100
MAX_CONDITIONS = 10_000
#: Of the stored document: axes of 100,000 values fit. Reading the worst takes 2 GB and seconds.
DOCUMENT_BYTES = 32 << 20

Decimals = Annotated[str, Field(pattern=r"^-?\d{1,30}(\.\d{1,15})?$")]
Conditions = Annotated[tuple[dict[str, tuple[str, ...]], ...], Field(max_length=MAX_CONDITIONS)]
Name = Annotated[str, Field(min_length=1, max_length=100)]

#: Hex digits of the hash at the end of a batch's id: 64 bits.
ID_DIGITS = 16

#: Characters, and bytes of UTF-8, of a slug and of an id. An id is a part of names of files, which
#: may have 255 bytes, and 143 on encrypted disks.
SLUG_LENGTH, SLUG_BYTES = 60, 80
ID_LENGTH, ID_BYTES = 80, 100

#: Settings by their flat names, as one value of an axis or the batch itself has them.
Layer = Mapping[str, JsonValue]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Value(_Frozen):
    """One value of an axis: its label and the settings it stands for.

    Settings are flat: a nested one has a dotted name (`refiner.steps`, `loras.style`), and a
    word that prompts are filled in with is `words.<its axis>`.
    """

    label: str
    settings: dict[str, JsonValue]


class Axis(_Frozen):
    """A named, ordered list of values. The name is singular: `prompt`, `seed`, `variant`."""

    name: Name
    values: Annotated[tuple[Value, ...], Field(min_length=1)]

    @property
    def count(self) -> int:
        """How many values it has."""
        return len(self.values)

    def value(self, position: int) -> Value:
        return self.values[position]

    def labels(self) -> Iterator[str]:
        return (value.label for value in self.values)

    def layers(self) -> Iterator[Layer]:
        """What each of its values sets."""
        return (value.settings for value in self.values)

    def setting_names(self) -> set[str]:
        return {name for value in self.values for name in value.settings}


class RangeAxis(_Frozen):
    """An axis of numbers, `first` to `last` inclusive, that is never written out.

    The numbers are decimal strings, so that 0.1 is 0.1 and a seed may reach 2⁶⁴−1. The label of
    a value is its number; the setting it stands for has the axis' name.
    """

    name: Name
    first: Decimals
    last: Decimals
    step: Annotated[str, Field(pattern=r"^\d{1,30}(\.\d{1,15})?$")] = "1"

    @model_validator(mode="after")
    def _goes_forward(self) -> RangeAxis:
        first, last, step = self._units
        if step <= 0 or last < first:
            raise ValueError("a range needs first <= last and a step above 0")
        if self._places and self.name in WHOLE_SETTINGS:
            raise ValueError(f"a range of {self.name} is of whole numbers")
        return self

    @cached_property
    def _places(self) -> int:
        """Digits behind the point that all three numbers fit in."""
        return max(len(number.partition(".")[2]) for number in (self.first, self.last, self.step))

    @cached_property
    def _units(self) -> tuple[int, int, int]:
        """first, last and step as whole numbers of 10^−places: exact at any length."""
        numbers = (self.first, self.last, self.step)
        first, last, step = (_in_units(number, self._places) for number in numbers)
        return first, last, step

    @property
    def count(self) -> int:
        """How many values it has; more than `len()` could say, which ends at 2⁶³."""
        first, last, step = self._units
        return (last - first) // step + 1

    def value(self, position: int) -> Value:
        label = self._label(position)
        return Value.model_construct(label=label, settings={self.name: _number(self.name, label)})

    def labels(self) -> Iterator[str]:
        return (self._label(position) for position in range(self.count))

    def between(self, low: str, high: str) -> range:
        """The positions of the values from `low` to `high` inclusive, both decimal numbers."""
        first, last, step = self._units
        bottom = max(0, -((first - self._exactly(low)) // step))
        top = min((last - first) // step, (self._exactly(high) - first) // step)
        return range(bottom, max(bottom, top + 1))

    def _exactly(self, number: str) -> int | Fraction:
        if len(number.partition(".")[2]) <= self._places:
            return _in_units(number, self._places)
        scale: int = 10**self._places
        return Fraction(number) * scale

    def layers(self) -> Iterator[Layer]:
        """What its first value sets, which stands for all."""
        yield self.value(0).settings

    def setting_names(self) -> set[str]:
        return {self.name}

    def _label(self, position: int) -> str:
        first, _, step = self._units
        return _from_units(first + position * step, self._places)


#: How a cell's values vary along one dimension of the matrix.
AnyAxis = Axis | RangeAxis


def _in_units(number: str, places: int) -> int:
    whole, _, behind = number.partition(".")
    return int(whole + behind.ljust(places, "0"))


def _from_units(units: int, places: int) -> str:
    digits = str(abs(units)).rjust(places + 1, "0")
    whole, behind = digits[: len(digits) - places], digits[len(digits) - places :].rstrip("0")
    return ("-" if units < 0 else "") + whole + (f".{behind}" if behind else "")


def _number(setting: str, text: str) -> JsonValue:
    """A seed stays a text, since JSON's numbers end at 2⁵³."""
    if setting == "seed":
        return text
    return int(text) if setting in WHOLE_SETTINGS else float(text)


class Batch(_Frozen):
    """A whole comparison. The matrix is the product of `axes`, row-major: the last moves fastest.

    `settings` are what every cell starts from. A cell's settings are `settings`, then each
    axis' in order of precedence: `prompt`, then the axes under `axes`, then `variant`.
    `exclude` and `only` are conditions: axis name → labels that match; all axes of one
    condition must match. On a RangeAxis `a..b` stands for the labels from a to b. `models` maps
    every model, VAE or refiner as written to its pinned reference (`common.job.ModelRef`),
    `loras` every LoRA's name to the SHA-256 of its file; None is "not resolved yet", which only
    a plan made offline has.
    """

    schema_number: Literal[2] = 2
    name: Name
    settings: dict[str, JsonValue]
    axes: Annotated[tuple[AnyAxis, ...], Field(max_length=MAX_AXES)]
    exclude: Conditions = ()
    only: Conditions = ()
    models: dict[str, str | None] = {}
    loras: dict[str, str | None] = {}
    gpu: str | None = None

    @model_validator(mode="after")
    def _can_be_counted(self) -> Batch:
        if len({axis.name for axis in self.axes}) < len(self.axes):
            raise ValueError("two axes have one name")
        cells = prod(axis.count for axis in self.axes)
        if cells > MAX_CELLS:
            raise ValueError(f"it has more than {MAX_CELLS:,} cells")
        return self

    def layers(self) -> Iterator[Layer]:
        """Everything that sets something: the settings, then what each value of each axis sets
        (the first one stands for all of a range)."""
        yield self.settings
        for axis in self.axes:
            yield from axis.layers()

    @property
    def unresolved(self) -> list[str]:
        """Models and LoRAs that have no pinned reference yet, as they are written."""
        return [name for refs in (self.models, self.loras) for name, ref in refs.items() if not ref]

    @property
    def id(self) -> str:
        """`<slug of the name>-<16 hex digits of a SHA-256>`, of the document's canonical JSON.

        A field that the batch does not use is left out of that JSON, as from a `Job.key`, so a
        field that comes later never gives another id to a batch from before. A stored batch goes
        by the id it was stored under, whatever this is by now.
        """
        digest = hashlib.sha256(self.canonical).hexdigest()
        return f"{slug(self.name)}-{digest[:ID_DIGITS]}"

    @property
    def canonical(self) -> bytes:
        """The document as its id is computed of it: equal for two that order the same."""
        document = self.model_dump(mode="json", exclude_defaults=True)
        document["schema_number"] = self.schema_number
        return rfc8785.dumps(document)

    def to_bytes(self) -> bytes:
        """Raises GridfarmError for a batch too large to be read again."""
        data = json.dumps(self.model_dump(mode="json"), ensure_ascii=False, indent=1).encode()
        if len(data) > DOCUMENT_BYTES:
            raise GridfarmError(
                f"the batch {self.name!r} takes {len(data):,} bytes; at most {DOCUMENT_BYTES:,}",
                hint="write fewer values, or shorter ones",
            )
        return data

    @classmethod
    def from_bytes(cls, data: bytes, *, source: str) -> Batch:
        """Read a stored document; `source` names it in the error. Raises GridfarmError."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            first = next((one for one in found if one["type"] == "value_error"), found[0])
            place = ".".join(str(part)[:100] for part in first["loc"])[:300] or "the whole"
            raise GridfarmError(
                f"{source} is not a batch document: {place}: {first['msg'][:200]}",
                hint="it may be from another gridfarm version; submit the batch file again",
            ) from error


def slug(name: str) -> str:
    """A name as words of lower-case letters and digits, of any script, joined by hyphens; at most
    SLUG_LENGTH characters and SLUG_BYTES bytes."""
    words = "-".join(words_of(name.lower()))[:SLUG_LENGTH]
    return words.encode()[:SLUG_BYTES].decode(errors="ignore").strip("-") or "batch"


def is_batch_id(text: str) -> bool:
    """Whether a batch's id may look like this: a slug, a hyphen and digits, of which ids of before
    had 8. It is safe in names of objects and files, and on a terminal."""
    return (
        text == unicodedata.normalize("NFC", text).lower()
        and text[:1].isalnum()
        and len(text) <= ID_LENGTH
        and all(char == "-" or is_letter(char) for char in text)
        and len(text.encode()) <= ID_BYTES
    )
