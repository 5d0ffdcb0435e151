"""How a batch's state is told to people."""

from __future__ import annotations

import pytest

from common.dispatch import LedgerStatus, State


@pytest.mark.parametrize(
    ("state", "done", "failed", "running", "shown"),
    [
        ("rendering", 0, 0, 0, "queued"),
        ("rendering", 1, 0, 0, "rendering"),
        ("rendering", 0, 1, 0, "rendering"),
        ("rendering", 0, 0, 1, "rendering"),
        ("paused", 0, 0, 0, "paused"),
        ("cancelled", 0, 0, 0, "cancelled"),
        ("done", 0, 0, 0, "done"),
    ],
)
def test_a_batch_is_queued_until_something_of_it_happens(
    state: State, done: int, failed: int, running: int, shown: str
) -> None:
    status = LedgerStatus(state, 0, 1, 9, done, failed, "gridfarm.1.1", running)
    assert status.shown_state == shown
