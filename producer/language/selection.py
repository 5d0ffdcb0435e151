"""Some values of an axis, as a person names them on a command line: `prompt=wolf`, `seed>9`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType

from common.batch import AnyAxis, Batch, RangeAxis, Spans
from common.errors import UsageError
from common.text import COMPARED, closest, suggestion
from producer.language.axes import BundleReader, in_full
from producer.language.conditions import Conditions
from producer.language.mends import problem_of
from producer.language.mistakes import Mistake
from producer.language.settings import Scope, find_setting
from producer.language.words import words_of
from producer.language.yaml import plain

_COMPARED = re.compile(r"\s*[<>!]")
_SIGN = re.compile(r"(\s*!?=?\s*)(.*)", re.DOTALL)
_WRITTEN = re.compile(r"(?P<axis>[^=<>!]+?)\s*(?P<sign>>=|<=|!=|=|>|<)(?P<value>.*)", re.DOTALL)


def parse_where(
    options: Iterable[str], axes: Mapping[str, AnyAxis] = MappingProxyType({})
) -> dict[str, list[str]]:
    """`prompt=wolf`, `guidance_scale>9`, `variant!=base`: axis → what its values must be: any of
    those that are named, and all comparisons. Raises UsageError, which says what was probably
    meant of `axes`."""
    where: dict[str, list[str]] = {}
    for option in options:
        match = _WRITTEN.fullmatch(option.strip())
        if match is None:
            raise UsageError(
                f"--where {option!r} is not AXIS=VALUE",
                hint=f"write --where {_meant(option.strip(), axes)}",
            )
        sign = "" if match["sign"] == "=" else match["sign"]
        where.setdefault(match["axis"].strip(), []).append(sign + match["value"].strip())
    return where


def written_where(where: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """What `parse_where` reads as `where`."""
    return tuple(
        f"{axis}{text}" if _COMPARED.match(text) else f"{axis}={text}"
        for axis, texts in where.items()
        for text in texts
    )


def find_axis(written: str, known: Iterable[str]) -> str | None:
    """The axis that is called so, else the only one of which that is the plural or the singular:
    batch files write `prompts:` and `seeds:` for the axes prompt and seed."""
    names = list(known)
    if written in names:
        return written
    alike = [n for n in names if written in _plurals(n) or n in _plurals(written)]
    return alike[0] if len(alike) == 1 else None


def _plurals(name: str) -> set[str]:
    return {f"{name}s", f"{name}es", *([f"{name[:-1]}ies"] if name.endswith("y") else [])}


def find_where(batch: Batch, options: Iterable[str]) -> dict[str, Spans]:
    """Where on each axis that `--where` options name the values are that they keep.

    Raises UsageError.
    """
    axes = {axis.name: axis for axis in batch.axes}
    values: dict[str, list[str]] = {}
    for written, texts in parse_where(options, axes).items():
        name = find_axis(written, axes)
        if name is None:
            message = f"--where: there is no axis {written!r}"
            raise UsageError(message, hint=_axis_meant(written, axes))
        values.setdefault(name, []).extend(texts)
    return {name: find_values(axes[name], texts, batch) for name, texts in values.items()}


def _meant(option: str, axes: Mapping[str, AnyAxis]) -> str:
    """A value without its axis, an axis without its value, or both with another sign between."""
    word, _, rest = (part.strip() for part in re.split(r"([:\s])", f"{option} ", maxsplit=1))
    for axis in axes.values():
        label = next((label for label in _first(axis) if label.casefold() == option.casefold()), "")
        if label:
            return shlex.quote(f"{axis.name}={label}")
    if name := closest(word, axes):
        return shlex.quote(f"{name}={rest or next(_first(axes[name]))}")
    return "prompt=wolf"


def _first(axis: AnyAxis) -> Iterator[str]:
    return islice(axis.labels(), COMPARED)


def _axis_meant(name: str, axes: Mapping[str, AnyAxis]) -> str:
    hint = suggestion(name, axes)
    if hint.startswith("known") and find_setting(name):
        return f"{hint}; --set gives a setting the same value everywhere"
    return hint


def find_values(axis: AnyAxis, written: Sequence[str], batch: Batch) -> Spans:
    """Where on the axis the values are that a person names by label, value, range (`0..9`),
    comparison (`> 9`), several of them with commas, a part of their labels, or the first digits
    of a random seed. Any of those that are named, and all comparisons.

    Raises UsageError.
    """
    scope = Scope(dict.fromkeys(batch.loras, ""), frozenset(words_of(batch)))
    conditions = Conditions([axis], BundleReader(scope, [], []))
    named = [text for text in written if not _COMPARED.match(text)]
    kept = Spans(span for text in named for span in _named(conditions, axis, text).ranges)
    for text in written:
        if _COMPARED.match(text):
            compared = _named(conditions, axis, text)
            kept = compared if not (kept or named) else kept & compared
            named.append(text)
    return kept


def _named(conditions: Conditions, axis: AnyAxis, text: str) -> Spans:
    sign, value = _SIGN.fullmatch(text).groups()  # type: ignore[union-attr]  # it always matches
    text = sign + (in_full(axis, value) or value)
    try:
        return conditions.spans(axis, plain(text))
    except Mistake as mistake:
        if "," in text:
            parts = [part for part in text.split(",") if part.strip()]
            return Spans(s for part in parts for s in _named(conditions, axis, part.strip()).ranges)
        if partly := _partly(axis, text):
            return partly
        problem = problem_of(mistake.findings[0])
        about = "" if axis.name in problem.message else f"{axis.name}: "
        raise UsageError(about + problem.message, hint=problem.hint) from None


def _partly(axis: AnyAxis, text: str) -> Spans:
    """The values that have the text in their labels, whatever its case."""
    if isinstance(axis, RangeAxis) or not text.strip():
        return Spans([])
    part = text.casefold()
    positions = (i for i, label in enumerate(axis.labels()) if part in label.casefold())
    return Spans(range(i, i + 1) for i in positions)
