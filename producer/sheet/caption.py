"""The words on a sheet: what a value stands for, what its cells share, what is amiss.

Settings are called what the batch file calls them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from pydantic import JsonValue

from common.batch import (
    REFINER,
    TRAITS,
    WORD,
    AnyAxis,
    Cell,
    Value,
    is_drawn,
)
from producer.language import as_it_stands, left_alone, short_labels
from producer.language.settings import DEFAULTS, as_text
from producer.pictures import Failed, FingerprintGroup, Outcome

#: What a caption names when all cells of the sheet have it alike, in this order.
SHARED = tuple(name for name, traits in TRAITS.items() if traits.captioned)

NO_FONT = "letters that no font on this machine has are written as \\u…"


def details(axis: str, value: Value) -> tuple[str, ...]:
    """What a label stands for, as paragraphs: a prompt's text, then the other settings.

    Empty where the label says it all: `30` on the axis `steps`.
    """
    others = {n: v for n, v in value.settings.items() if n != "prompt" and not is_drawn(n, v)}
    prompt = value.settings.get("prompt")
    paragraphs = [] if prompt is None or prompt == value.label else [str(prompt)]
    if others.keys() <= {axis, WORD + axis} and others:
        [own] = others.values()
        return (*paragraphs, *([] if as_text(own) == value.label else [text(own)]))
    return (*paragraphs, *([" · ".join(_named(others))] if others else []))


def contrasted(
    axis: AnyAxis, values: Mapping[int, Value], cells: Sequence[Cell]
) -> dict[int, Value]:
    """The values of the axis as headings tell them, by their positions: each also with what others
    set and it leaves alone, where all its `cells` have that alike, so that the base beside
    `guidance_scale 12` says 7; a random seed under its first digits."""
    short = short_labels(axis)
    layers = [value.settings for value in values.values()]
    own: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        own[cell.labels[axis.name]].append(cell)
    told = {}
    for at, value in values.items():
        kept = _alike(left_alone(value.settings, layers), own[value.label])
        label = short.get(value.label, value.label)
        told[at] = Value(label=label, settings=value.settings | kept)
    return told


def _alike(names: Iterable[str], cells: Sequence[Cell]) -> dict[str, JsonValue]:
    """Those of the settings that all `cells` have alike."""
    found: dict[str, JsonValue] = {}
    for name in names:
        first = cells[0].settings[name] if cells else None
        if all(cell.settings[name] == first for cell in cells):
            found |= as_it_stands(name, first)
    return found


def facts(cells: Sequence[Cell], said: Iterable[str], excluded: int) -> tuple[str, ...]:
    """The settings that all cells share, without those already `said`."""
    unsaid = set(said)
    shown = {name: value for name, value in shared(cells).items() if name not in unsaid}
    struck = (f"{_count(excluded, 'cell')} left out (blank)",) if excluded else ()
    return (*_named(shown), *struck)


def shared(cells: Sequence[Cell]) -> dict[str, JsonValue]:
    """The settings that all cells have alike, without those that say nothing."""
    first = cells[0].settings
    same = {n: first[n] for n in SHARED if all(cell.settings[n] == first[n] for cell in cells)}
    _drop_what_says_nothing(same, cells)
    return same


def context(values: Mapping[str, Value], cells: Sequence[Cell]) -> tuple[str, ...]:
    """Which part of the batch a sheet shows: the values of the axes that are not on it, and
    the prompt if there is only one."""
    parts = [_with_details(axis, value) for axis, value in values.items() if axis != "prompt"]
    prompts = {cell.settings.prompt for cell in cells}
    paragraphs = ["   ·   ".join(parts)] if parts else []
    if "prompt" in values:
        value = values["prompt"]
        return (*paragraphs, value.label, *details("prompt", value))
    return (*paragraphs, *prompts) if len(prompts) == 1 else tuple(paragraphs)


def notes(
    cells: int, outcomes: Mapping[int, Outcome], marked: Sequence[FingerprintGroup]
) -> tuple[str, ...]:
    """What is missing or failed of `cells`, and how the marked pictures differ."""
    missing = sum(outcome is None for outcome in outcomes.values())
    failed = sum(isinstance(outcome, Failed) for outcome in outcomes.values())
    counts = [f"{missing} not rendered yet"] * bool(missing) + [f"{failed} failed"] * bool(failed)
    incomplete = [f"{', '.join(counts)} of {_count(cells, 'cell')}"] if counts else []
    return (*incomplete, *(_difference(group) for group in marked))


def text(value: JsonValue) -> str:
    """A setting's value as labels have it; a text of several words in quotes."""
    return f"“{value}”" if isinstance(value, str) and " " in value else as_text(value)


def _named(settings: Mapping[str, JsonValue]) -> list[str]:
    """`name value` for each; a word is called what the batch file calls it."""
    return [f"{name.removeprefix(WORD)} {text(value)}" for name, value in settings.items()]


def _with_details(axis: str, value: Value) -> str:
    more = " · ".join(details(axis, value))
    return f"{axis} {value.label}" + (f" ({more})" if more else "")


def _drop_what_says_nothing(same: dict[str, JsonValue], cells: Sequence[Cell]) -> None:
    """Defaults that change nothing: no refiner, no LoRA, noise from the CPU."""
    unsaid = [name for name in same if TRAITS[name].unsaid]
    for name in unsaid:
        if same[name] in (DEFAULTS.get(name), {}):
            del same[name]
    if all(cell.job.refiner is None for cell in cells):
        for name in [name for name in same if name.startswith(REFINER)]:
            del same[name]
    for name in [name for name, value in same.items() if value is None]:
        del same[name]


def _difference(group: FingerprintGroup) -> str:
    return f"{group.mark}: {_count(len(group.cells), 'picture')} rendered with {group.differences}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
