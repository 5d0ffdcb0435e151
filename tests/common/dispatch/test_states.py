"""Stored words: batches that are in a store already have them."""

from __future__ import annotations

from typing import get_args

from common.dispatch import PRIORITIES, UNFINISHED, State


def test_the_states_are_those_of_stored_batches() -> None:
    assert get_args(State) == ("rendering", "paused", "cancelled", "done")


def test_a_batch_that_is_over_is_not_unfinished() -> None:
    assert set(get_args(State)) - set(UNFINISHED) == {"cancelled", "done"}


def test_a_higher_number_goes_first() -> None:
    assert sorted(PRIORITIES, key=lambda name: PRIORITIES[name]) == ["low", "normal", "high"]
    assert PRIORITIES["normal"] == 1
