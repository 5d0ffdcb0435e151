"""Submits and removals, told by the broker too: a store whose listings lag shows an object only
a while after it was written, though whoever knows its name can read it at once.

    gridfarm:submitted    ids of batches
    gridfarm:removing     names of the notes in `removing/`

Both are sorted sets with the second until which a member counts, on Redis' clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from common.dispatch import Ledger

SUBMITTED = "gridfarm:submitted"
REMOVING = "gridfarm:removing"
#: No listing lags for so long.
LIFE_S = 3_600


@dataclass(frozen=True)
class Announcements:
    """Without a broker (None) nothing is told and nothing heard. Methods raise BrokerError."""

    ledger: Ledger | None

    def submit(self, batch_id: str) -> None:
        """Its document is in the store."""
        self._add(SUBMITTED, [batch_id])

    def submitted(self) -> set[str]:
        """Batches of the last hour; some may be removed again."""
        return self._members(SUBMITTED)

    def remove(self, names: Iterable[str]) -> None:
        """These notes are in the store."""
        self._add(REMOVING, names)

    def removing(self) -> set[str]:
        """Notes of the last hour that nobody has withdrawn."""
        return self._members(REMOVING)

    def withdraw(self, names: Iterable[str]) -> None:
        """These notes are not in the store any more."""
        if self.ledger:
            with self.ledger.broker.errors():
                self.ledger.redis.zrem(REMOVING, *names)

    def _add(self, key: str, members: Iterable[str]) -> None:
        if self.ledger:
            with self.ledger.broker.errors():
                until = self._now() + LIFE_S
                self.ledger.redis.zadd(key, dict.fromkeys(members, until))
                self.ledger.redis.expire(key, LIFE_S)

    def _members(self, key: str) -> set[str]:
        if self.ledger is None:
            return set()
        with self.ledger.broker.errors():
            self.ledger.redis.zremrangebyscore(key, "-inf", self._now())
            members = cast("list[bytes]", self.ledger.redis.zrange(key, 0, -1))
        return {member.decode(errors="replace") for member in members}

    def _now(self) -> int:
        assert self.ledger
        answer: Any = self.ledger.redis.time()
        return int(answer[0])
