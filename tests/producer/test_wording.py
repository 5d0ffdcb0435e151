"""Numbers as a person reads them."""

from __future__ import annotations

import pytest

from producer.wording import counted, how_ended, in_bytes


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 cells"), (1, "1 cell"), (15, "15 cells"), (1248, "1,248 cells")]
)
def test_counted(count: int, text: str) -> None:
    assert counted(count, "cell") == text


def test_a_plural_of_its_own() -> None:
    assert counted(2, "copy", "copies") == "2 copies"
    assert counted(1, "copy", "copies") == "1 copy"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9_940, "9.9 kB"), (620_000, "620 kB"),
        (24e6, "24 MB"), (1.6e12, "1.6 TB"), (5e15, "5,000 TB"),
    ],
)  # fmt: skip
def test_in_bytes(size: float, text: str) -> None:
    assert in_bytes(size) == text


@pytest.mark.parametrize(
    ("exit_code", "text"),
    [
        (0, "exit code 0"),
        (1, "exit code 1"),
        (-9, "SIGKILL"),
        (143, "SIGTERM"),
        (255, "exit code 255"),
    ],
)
def test_how_ended(exit_code: int, text: str) -> None:
    assert how_ended(exit_code) == text
