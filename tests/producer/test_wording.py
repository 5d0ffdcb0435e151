"""Numbers as a person reads them."""

from __future__ import annotations

import pytest

from producer.wording import as_rate, counted, how_ended, in_bytes, in_time


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


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.1, "0:01"), (59, "0:59"), (59.2, "1:00"), (754, "12:34"), (3723, "1:02:03"),
     (7.2e6, "2,000:00:00")],
)  # fmt: skip
def test_in_time(seconds: float, text: str) -> None:
    assert in_time(seconds) == text


@pytest.mark.parametrize(
    ("per_minute", "text"),
    [(1200.4, "1,200/min"), (19.2, "19/min"), (2.46, "2.5/min"), (9.99, "10/min"), (0.2, "12/h"),
     (0.01, "0.6/h")],
)  # fmt: skip
def test_as_rate(per_minute: float, text: str) -> None:
    """A GPU draws many a minute, a CPU a few an hour; neither is 0."""
    assert as_rate(per_minute) == text
