"""Mistakes of a batch file, collected: nobody has to mend one to see the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from pydantic import JsonValue

from common.errors import Problem
from producer.language.yaml import Node

#: Nobody reads more at once; a file with more is not read to its end.
MAX_PROBLEMS = 100


class Mistake(Exception):
    """One or several problems, with paths relative to where the value stands."""

    def __init__(self, message: str, hint: str = "", *, path: str = "") -> None:
        super().__init__(message)
        self.problems = [Problem(path, message, hint)]

    @classmethod
    def of(cls, problems: list[Problem]) -> Mistake:
        mistake = cls(problems[0].message)
        mistake.problems = problems
        return mistake


class EnoughMistakes(Exception):
    """There are MAX_PROBLEMS."""


@contextmanager
def noting(problems: list[Problem], path: str) -> Iterator[None]:
    """Record a Mistake raised inside, with `path` in front, and go on behind the block.

    Raises EnoughMistakes.
    """
    try:
        yield
    except Mistake as mistake:
        for problem in mistake.problems:
            place = ".".join(filter(None, (path, problem.path)))
            problems.append(Problem(place, problem.message, problem.hint))
        if len(problems) >= MAX_PROBLEMS:
            raise EnoughMistakes from None


def read_each(
    written: Mapping[str, Node], read: Callable[[str, Node], JsonValue]
) -> dict[str, JsonValue]:
    """Every entry read; raises one Mistake with the problems of all."""
    problems: list[Problem] = []
    values: dict[str, JsonValue] = {}
    with suppress(EnoughMistakes):
        for name, value in written.items():
            with noting(problems, name):
                values[name] = read(name, value)
    if problems:
        raise Mistake.of(problems)
    return values
