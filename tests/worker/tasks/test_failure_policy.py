"""What a failure means, with a ledger of the test's. On a real broker, and with what follows for
the cell, it is in tests/integration/tasks/test_failures.py."""

from __future__ import annotations

import errno
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from common.errors import BadInput, GridfarmError, HubError, StoreFull, SuspectPicture
from worker.tasks import FailurePolicy, Identity
from worker.tasks.failure_policy import (
    BAD_AFTER,
    HELD_S,
    RETRY_AFTER_MS,
    SUSPECT_RETRY_AFTER_MS,
    UNMET_EVERY_MS,
    AttemptsExhausted,
    Verdict,
)
from worker.tasks.leases import Lease


@dataclass
class StubLedger:
    """`machines` are those of the attempts so far, `live` those of the live workers."""

    machines: list[str] = field(default_factory=list)
    live: list[str] = field(default_factory=lambda: ["m1"])
    held: bool = True
    suspected_before: bool = False
    #: Where a need of the cell could not be met; None where it was.
    unmet: list[str] | None = field(default_factory=list)

    def record_attempt(self, _: str, __: int, machine: str, ___: str) -> tuple[int, int] | None:
        self.machines.append(machine)
        return (len(self.machines), len(set(self.machines))) if self.held else None

    def attempts_of(self, *_: Any) -> list[str]:
        return self.machines

    def report_unmet_need(
        self, _: str, __: str, machine: str, *, every_ms: int
    ) -> tuple[int, int] | None:
        assert every_ms == UNMET_EVERY_MS
        if self.unmet is None:
            return None
        self.unmet.append(machine)
        return len(self.unmet), len(set(self.unmet))

    def has_unmet_need(self, *_: str) -> bool:
        return bool(self.unmet)

    def status(self, _: str) -> Any:
        return SimpleNamespace(queue="this")

    def report_suspect_picture(self, *_: Any) -> bool:
        return self.suspected_before

    @property
    def workers(self) -> StubLedger:
        return self

    def alive(self) -> list[Any]:
        return [
            SimpleNamespace(
                name=f"w-{machine}",
                machine=machine,
                state="rendering",
                queues=("this",) if machine != "m9" else ("another",),
            )
            for machine in self.live
        ]


@dataclass
class Asked:
    restarts: int = 0
    quarantines: int = 0

    def restart(self) -> None:
        self.restarts += 1

    def quarantine(self) -> None:
        self.quarantines += 1


def policy(ledger: StubLedger, asked: Asked | None = None) -> FailurePolicy:
    asked = asked or Asked()
    return FailurePolicy(
        Identity("w-m1", "m1"),
        ledger,  # type: ignore[arg-type]
        threading.Event(),
        restart=asked.restart,
        quarantine=asked.quarantine,
    )


def lease(key: str = "k", **fields: Any) -> Lease:
    return Lease("batch", 0, key, **fields)


def of_need(error: GridfarmError) -> GridfarmError:
    error.needs = "base someone/model fp16"
    return error


AWAY = of_need(HubError("away", hint="look"))
BROKEN = of_need(BadInput("no weights"))
AGAIN = Verdict(retry_ms=RETRY_AFTER_MS, held_s=HELD_S)
CRASH = RuntimeError("device-side assert")
OFTEN = "RuntimeError: device-side assert (after 3 attempts)"


@pytest.mark.parametrize(
    ("error", "ledger", "verdict"),
    [
        (BadInput("no layer", hint="another"), StubLedger(), Verdict("no layer; another")),
        (AttemptsExhausted("given up"), StubLedger(), Verdict("given up")),
        (CRASH, StubLedger(), Verdict(retry_ms=RETRY_AFTER_MS, machine_suspected=True)),
        (CRASH, StubLedger(["m1", "m1"]), Verdict(OFTEN, machine_suspected=True)),
        (CRASH, StubLedger(["m1", "m1"], live=["m1", "m2"]),
         Verdict(retry_ms=RETRY_AFTER_MS, machine_suspected=True)),
        (CRASH, StubLedger(["m2", "m1"], live=["m1", "m2"]),
         Verdict(OFTEN, machine_suspected=True)),
        (CRASH, StubLedger(["m1", "m1"], live=["m1", "m9"]),
         Verdict(OFTEN, machine_suspected=True)),
        (AWAY, StubLedger(), AGAIN),
        (AWAY, StubLedger(unmet=["m1", "m1"]), Verdict("away; look")),
        (AWAY, StubLedger(unmet=["m1", "m1"], live=["m1", "m2"]), AGAIN),
        (AWAY, StubLedger(unmet=["m2", "m1"], live=["m1", "m2"]), Verdict("away; look")),
        (BROKEN, StubLedger(), Verdict("no weights")),
        (BROKEN, StubLedger(live=["m1", "m2"]), AGAIN),
        (BROKEN, StubLedger(live=["m1", "m9"]), Verdict("no weights")),
        (BROKEN, StubLedger(unmet=["m2"], live=["m1", "m2"]), Verdict("no weights")),
        (BROKEN, StubLedger(unmet=None),
         Verdict(retry_ms=RETRY_AFTER_MS, held_s=HELD_S, machine_suspected=True)),
        (SuspectPicture("black"), StubLedger(),
         Verdict(retry_ms=SUSPECT_RETRY_AFTER_MS, machine_suspected=True)),
        (SuspectPicture("black"), StubLedger(suspected_before=True),
         Verdict("black (two workers agree)")),
        (CRASH, StubLedger(held=False), None),
    ],
    ids=["input", "silence", "first", "third, alone", "third, not alone", "third, two machines",
         "third, the other on another queue", "hub", "hub, third", "hub, third, not alone",
         "hub, third, two machines", "model", "model, not alone",
         "model, the other on another queue", "model, two machines", "model that others have",
         "black", "black, confirmed", "in other hands"],
)  # fmt: skip
def test_an_error_becomes_a_verdict(
    error: Exception, ledger: StubLedger, verdict: Verdict | None
) -> None:
    assert policy(ledger).verdict(lease(), error) == verdict


def test_a_full_disk_is_nobodys_fault() -> None:
    ledger = StubLedger()
    with pytest.raises(StoreFull, match="the disk of m1 is full"):
        policy(ledger).verdict(lease(), OSError(errno.ENOSPC, "No space left on device"))
    assert ledger.machines == [], "no attempt is charged"


def test_what_was_handed_back_meanwhile_is_not_charged() -> None:
    ledger = StubLedger()
    assert policy(ledger).verdict(lease(ended=True), CRASH) is None
    assert ledger.machines == []


def test_what_is_hopeless_is_not_tried_again_until_that_is_asked_for() -> None:
    ledger = StubLedger()
    judge, others = policy(ledger), ["base another fp16"]
    judge.check_needs(lease(), [BROKEN.needs])
    judge.verdict(lease(), BROKEN)
    with pytest.raises(BadInput, match="no weights"):
        judge.check_needs(lease("k2"), [*others, BROKEN.needs])
    judge.check_needs(lease(), others)
    ledger.unmet = []  # as `retry` leaves it
    judge.check_needs(lease(), [BROKEN.needs])


def test_a_cell_is_held_while_it_is_wanted_and_that_is_told() -> None:
    judge, held = policy(StubLedger()), lease()
    verdict = judge.verdict(held, AWAY)
    assert verdict == AGAIN
    assert judge.troubled == "what failed: away"
    held.stop.set()
    judge.hold(held, verdict)
    assert judge.troubled == ""


def test_attempts_are_only_looked_up_for_a_cell_that_has_some() -> None:
    worn = policy(StubLedger(["m1"] * 3))
    worn.check_attempts_left(lease())
    with pytest.raises(AttemptsExhausted, match="given up after 3 attempts"):
        worn.check_attempts_left(lease(has_attempts=True))


def test_a_process_does_not_judge_its_own_black_picture() -> None:
    """A lone one asks for a fresh process, one among others leaves it to them."""
    for live, restarts in ((["m1"], 2), (["m1", "m2"], 0)):
        asked = Asked()
        judge, black = policy(StubLedger(live=live), asked), SuspectPicture("black")
        assert judge.may_retry_suspect("k")
        judge.verdict(lease(), black)
        judge.suspect_machine(lease(), black)
        assert not judge.may_retry_suspect("k")
        assert asked.restarts == restarts


def test_a_quarantine_says_why_once_and_not_to_a_process_that_ends() -> None:
    asked = Asked()
    judge = policy(StubLedger(), asked)
    for n in range(BAD_AFTER - 1):
        judge.suspect_machine(lease(f"k{n}"), CRASH)
    assert (judge.quarantined, asked.quarantines) == ("", 0)
    judge.closing.set()
    judge.suspect_machine(lease("one more"), CRASH)
    assert (judge.quarantined, asked.quarantines) == ("", 0)
    judge.closing.clear()
    judge.suspect_machine(lease("one more"), CRASH)
    assert asked.quarantines == 1
    assert "5 different jobs in a row failed on m1" in judge.quarantined
