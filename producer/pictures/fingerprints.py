"""Pictures that another kind of machine, or another version of a library, rendered."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from producer.pictures.outcomes import Outcome, Picture


@dataclass(frozen=True)
class FingerprintGroup:
    """Pictures whose fingerprint differs from the majority's, all in the same way. `mark` is the
    group's letter, `cells` the numbers of their cells."""

    mark: str
    cells: frozenset[int]
    differences: str


def odd_fingerprints(outcomes: Mapping[int, Outcome]) -> list[FingerprintGroup]:
    """The groups of pictures, A, B, …, that do not have the most frequent fingerprint.
    `outcomes` is cell number → outcome; pictures of an unknown fingerprint are in no group."""
    prints = {
        i: json.dumps(dict(outcome.fingerprint), sort_keys=True)
        for i, outcome in outcomes.items()
        if isinstance(outcome, Picture) and outcome.fingerprint
    }
    ranked = [text for text, _ in Counter(prints.values()).most_common()]
    return [
        FingerprintGroup(
            _letter(number),
            frozenset(i for i, text in prints.items() if text == other),
            _differences(json.loads(other), json.loads(ranked[0])),
        )
        for number, other in enumerate(ranked[1:])
    ]


def _letter(number: int) -> str:
    return chr(ord("A") + number) if number < 26 else str(number + 1)


def _differences(ours: dict[str, JsonValue], theirs: dict[str, JsonValue]) -> str:
    """`gpu A10G (the others: L4), torch 2.12 (the others: 2.13)`."""
    names = [name for name in ours | theirs if ours.get(name) != theirs.get(name)]
    return ", ".join(
        f"{n} {_plain(ours.get(n))} (the others: {_plain(theirs.get(n))})" for n in names
    )


def _plain(value: JsonValue) -> str:
    if value is None:
        return "unknown"
    return value if isinstance(value, str) else json.dumps(value)
