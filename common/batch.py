"""The frozen batch: what a person ordered, validated and complete enough to be stored.

`batches/<id>/batch.json` is this document. Every worker reads it from the store and computes
cell i of it by itself (`common.matrix`), so a message on the queue is only (batch id, i).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from common.errors import GridfarmError

SCHEMA: Literal[1] = 1
"""Raised when a reader of the old document would misread a new one."""

Name = Annotated[str, Field(min_length=1, max_length=100)]
BATCH_ID = re.compile(r"^[a-z0-9][a-z0-9-]{0,79}$")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Value(_Frozen):
    """One value of an axis: its label and the settings it stands for."""

    label: str
    settings: dict[str, JsonValue]


class Axis(_Frozen):
    """A named, ordered list of values. The name is singular: `prompt`, `seed`, `variant`."""

    name: Name
    values: Annotated[tuple[Value, ...], Field(min_length=1)]

    def __len__(self) -> int:
        return len(self.values)

    def value(self, position: int) -> Value:
        return self.values[position]

    def labels(self) -> Iterator[str]:
        return (value.label for value in self.values)

    def has(self, label: str) -> bool:
        return any(value.label == label for value in self.values)

    def setting_names(self) -> set[str]:
        return {name for value in self.values for name in value.settings}


class RangeAxis(_Frozen):
    """An axis of integers, `first` to `last` inclusive, that is never written out.

    The numbers are decimal strings: seeds reach 2⁶⁴−1, and JSON numbers do not.
    The label of a value is the number; the setting it stands for has the axis' name.
    """

    name: Name
    first: Annotated[str, Field(pattern=r"^\d{1,20}$")]
    last: Annotated[str, Field(pattern=r"^\d{1,20}$")]
    step: Annotated[str, Field(pattern=r"^\d{1,20}$")] = "1"

    def __len__(self) -> int:
        return (int(self.last) - int(self.first)) // int(self.step) + 1

    def value(self, position: int) -> Value:
        number = str(int(self.first) + position * int(self.step))
        return Value.model_construct(label=number, settings={self.name: number})

    def labels(self) -> Iterator[str]:
        return (str(n) for n in range(int(self.first), int(self.last) + 1, int(self.step)))

    def has(self, label: str) -> bool:
        numbers = range(int(self.first), int(self.last) + 1, int(self.step))
        return label.isascii() and label.isdecimal() and int(label) in numbers

    def setting_names(self) -> set[str]:
        return {self.name}


class Batch(_Frozen):
    """A whole comparison. The matrix is the product of `axes`, row-major: the last moves fastest.

    `settings` are what every cell starts from. A cell's settings are `settings`, then each
    axis' in order of precedence: `prompt`, then the axes under `axes`, then `variant`.
    `exclude` and `only` are conditions: axis name → labels that match; all axes of one
    condition must match. `models` maps every model, VAE or refiner as written to its pinned
    reference (`common.job.ModelRef`), `loras` every LoRA's name to the SHA-256 of its file;
    None is "not resolved yet", which only a plan made offline has.
    """

    schema_number: Literal[1] = 1
    name: Name
    settings: dict[str, JsonValue]
    axes: tuple[Axis | RangeAxis, ...]
    exclude: tuple[dict[str, tuple[str, ...]], ...] = ()
    only: tuple[dict[str, tuple[str, ...]], ...] = ()
    models: dict[str, str | None] = {}
    loras: dict[str, str | None] = {}
    gpu: str | None = None

    @property
    def unresolved(self) -> list[str]:
        """Models and LoRAs that have no pinned reference yet, as they are written."""
        return [name for refs in (self.models, self.loras) for name, ref in refs.items() if not ref]

    @property
    def id(self) -> str:
        """`<slug of the name>-<8 hex digits of the document's SHA-256>`."""
        digest = hashlib.sha256(rfc8785.dumps(self.model_dump(mode="json"))).hexdigest()
        return f"{slug(self.name)}-{digest[:8]}"

    def to_bytes(self) -> bytes:
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, indent=1).encode()

    @classmethod
    def from_bytes(cls, data: bytes, *, source: str) -> Batch:
        """Read a stored document; `source` names it in the error. Raises GridfarmError."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise GridfarmError(
                f"{source} is not a batch document: {place}: {first['msg']}",
                hint="it may be from another gridfarm version; submit the batch file again",
            ) from error


def slug(name: str) -> str:
    """A name as lower-case ASCII words joined by hyphens, at most 60 characters."""
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return words[:60].strip("-") or "batch"


def setting(data: dict[str, Any], path: str, default: Any = None) -> Any:
    """`setting(s, "refiner.model")`: a setting, or one inside a nested one."""
    for part in path.split("."):
        if not isinstance(data, dict) or part not in data:
            return default
        data = data[part]
    return data
