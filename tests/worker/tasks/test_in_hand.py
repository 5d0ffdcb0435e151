"""How cells leave a process, with a ledger of the test's. On a real broker it is in
tests/integration/tasks/test_shutdown.py."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from common.errors import BrokerUnreachable, StoreUnreachable
from worker.preemption import Notice
from worker.tasks import CellAborted, Identity, InHand, LeaseKeeper
from worker.tasks.in_hand import ENDED_AFTER_MS


class StubLedger:
    """Knows what was released, as cell → (pause_ms, undo_attempt)."""

    def __init__(self) -> None:
        self.released: dict[int, tuple[int, bool]] = {}
        self.answer = "ok"
        self.away = False

    def claim(self, *_: Any) -> str:
        return self.answer

    def release(self, _: str, i: int, *__: str, pause_ms: int, undo_attempt: bool) -> None:
        if self.away:
            raise BrokerUnreachable("away")
        assert i not in self.released, "handed back twice"
        self.released[i] = (pause_ms, undo_attempt)


class StubDispatcher:
    fed = 0

    def feed(self) -> None:
        self.fed += 1


@pytest.fixture
def ledger() -> StubLedger:
    return StubLedger()


@pytest.fixture
def in_hand(ledger: Any) -> InHand:
    keeper = LeaseKeeper(ledger, "w")
    dispatcher: Any = StubDispatcher()
    store: Any = None
    return InHand(Identity("w", "m"), store, ledger, dispatcher, keeper)


def claimed(in_hand: InHand, i: int) -> Any:
    lease = in_hand.claim("batch", i, 0, f"k{i}")
    assert lease
    return lease


@pytest.mark.parametrize(("answer", "tried"), [("ok", False), ("tried", True)])
def test_a_claim_is_a_lease(in_hand: InHand, ledger: StubLedger, answer: str, tried: bool) -> None:
    ledger.answer = answer
    assert claimed(in_hand, 3).has_attempts is tried
    ledger.answer = "done"
    assert in_hand.claim("batch", 3, 0, "k3") is None


@pytest.mark.parametrize("error", [StoreUnreachable("503"), CellAborted()])
def test_what_no_cell_is_to_blame_for_goes_back_uncharged(
    in_hand: InHand, ledger: StubLedger, error: Exception
) -> None:
    with pytest.raises(type(error)), in_hand.holding(claimed(in_hand, 1)):
        raise error
    assert ledger.released == {1: (0, True)}
    assert in_hand.leases.held == ()
    assert in_hand.dispatcher.fed == 1  # type: ignore[attr-defined]


def test_a_lease_is_given_back_once_whoever_does_it(in_hand: InHand, ledger: StubLedger) -> None:
    lease = claimed(in_hand, 1)
    threads = [threading.Thread(target=in_hand.hand_back, args=(lease,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.released == {1: (0, False)}


def test_a_notice_leaves_what_is_on_the_gpu(in_hand: InHand, ledger: StubLedger) -> None:
    waiting, drawn = claimed(in_hand, 1), claimed(in_hand, 2)
    in_hand.enter_gpu(drawn)
    with in_hand.leases.holding(waiting), in_hand.leases.holding(drawn):
        in_hand.leave(Notice.within(60, "the cloud takes it"))
        assert ledger.released == {1: (0, True)}
        drawn.check_wanted()
        with pytest.raises(CellAborted):
            waiting.check_wanted()
        with pytest.raises(CellAborted):
            in_hand.enter_gpu(claimed(in_hand, 3))
        in_hand.hand_back_all()
        with pytest.raises(CellAborted):
            drawn.check_wanted()


def test_a_stalled_process_keeps_one_charge_and_sends_nothing(
    in_hand: InHand, ledger: StubLedger
) -> None:
    """That of the latest cell on the GPU; one that is being uploaded is no stalled one."""
    uploaded, hung, waiting = (claimed(in_hand, i) for i in range(3))
    in_hand.enter_gpu(uploaded), in_hand.enter_gpu(hung)
    keep = in_hand.leases.holding
    with keep(uploaded), keep(hung), keep(waiting):
        in_hand.stalled()
    assert ledger.released == {
        0: (ENDED_AFTER_MS, True), 1: (ENDED_AFTER_MS, False), 2: (ENDED_AFTER_MS, True)
    }  # fmt: skip
    assert in_hand.dispatcher.fed == 0  # type: ignore[attr-defined]


def test_a_broker_that_is_away_does_not_keep_a_process_from_its_end(
    in_hand: InHand, ledger: StubLedger
) -> None:
    ledger.away = True
    with in_hand.leases.holding(claimed(in_hand, 1)):
        in_hand.abandon()
