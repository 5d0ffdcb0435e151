"""When the next process is started in a slot, on a clock of the test's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from worker.supervisor import LEFT, QUARANTINED, STALLED, ProcessOptions, Slot
from worker.supervisor import slot as slots
from worker.supervisor.exit_codes import COME_BACK
from worker.supervisor.slot import BACK_OFF_S, HEALTHY_AFTER_S, QUARANTINED_AGAIN_WITHIN_S


@pytest.fixture
def slot(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Slot, list[float]]]:
    """A slot on a clock of the test's; [0] is the time."""
    clock = [1000.0]
    monkeypatch.setattr(slots.time, "monotonic", lambda: clock[0])
    return Slot(ProcessOptions(), {}), clock


def die(slot: Slot, clock: list[float], code: int, after: float) -> float:
    slot.started_at = clock[0]
    clock[0] += after
    slot.died(code)
    return slot.start_at - clock[0]


@pytest.mark.parametrize("code", [-9, LEFT, STALLED, 1])
def test_the_pause_grows_and_is_forgotten(slot, code: int) -> None:
    pauses = [die(*slot, code, after=1) for _ in range(len(BACK_OFF_S) + 1)]
    assert pauses == [*BACK_OFF_S, BACK_OFF_S[-1]]
    assert die(*slot, code, after=HEALTHY_AFTER_S + 1) == BACK_OFF_S[0]


@pytest.mark.parametrize("code", [*COME_BACK, LEFT, -9])
def test_only_an_unknown_end_soon_after_the_start_is_a_broken_install(slot, code: int) -> None:
    die(*slot, 1, after=1), die(*slot, 1, after=1)
    assert slot[0].broken == 2
    die(*slot, code, after=1)
    assert slot[0].broken == 0


def test_a_machine_that_was_mended_may_fail_again(slot) -> None:
    """Quarantined once an hour is restarted; twice within one is not."""
    for _ in range(3):
        die(*slot, QUARANTINED, after=QUARANTINED_AGAIN_WITHIN_S + 1)
        assert not slot[0].given_up
    die(*slot, QUARANTINED, after=60)
    assert slot[0].given_up
