"""What the ledger must have written down for its queues, found by a walk over all batches."""

from __future__ import annotations

from typing import Any, cast

from common.dispatch import Ledger

#: Where the ledger keeps it.
TALLIES = ("under_way", "left", "threads")


class Audit:
    """One look at a ledger that stands still meanwhile."""

    def __init__(self, ledger: Ledger) -> None:
        self.redis: Any = ledger.redis
        self.ledger = ledger
        seconds, micros = self.redis.time()
        self.now = seconds * 1000 + micros // 1000
        self.batches = {name: self._batch(name) for name in ledger.active()}

    def _batch(self, batch_id: str) -> dict[str, Any]:
        at = f"gridfarm:batch:{batch_id}"
        fields = {name.decode(): value.decode() for name, value in self.redis.hgetall(at).items()}
        again = self.redis.zrange(f"{at}:again", 0, 0, withscores=True)
        settled = int(fields["done"]) + int(fields["failed"])
        return fields | {
            "left": max(0, int(fields["total"]) - settled),
            "under_way": self.redis.zcard(f"{at}:sent") + self.redis.zcard(f"{at}:leases"),
            "again": again[0][1] if again else None,
            "holders": set(self.redis.hvals(f"{at}:holders")),
        }

    def check(self, queue: str) -> None:
        """Raises AssertionError where a number or a list is another than the walk's."""
        on_it = {name: batch for name, batch in self.batches.items() if batch["queue"] == queue}
        rendering = {name: batch for name, batch in on_it.items() if batch["state"] == "rendering"}
        threads = {w.name: w.threads for w in self.ledger.workers.alive() if queue in w.queues}
        truth = {
            "under_way": {name: batch["under_way"] for name, batch in on_it.items()},
            "left": {name: batch["left"] for name, batch in rendering.items()},
            "threads": threads,
        }
        for tally, members in truth.items():
            self._check_tally(queue, tally, {name: n for name, n in members.items() if n})
        self._check_ready(queue, {name: self._ready_at(batch) for name, batch in rendering.items()})
        over = {name for name, batch in self.batches.items() if batch["left"] == 0}
        assert set(self.ledger.over()) == over

    def holders(self, queue: str) -> int:
        """How many workers hold a cell of the queue."""
        held = [batch["holders"] for batch in self.batches.values() if batch["queue"] == queue]
        return len(set[bytes]().union(*held))

    def _check_tally(self, queue: str, tally: str, truth: dict[str, int]) -> None:
        written = self.redis.hgetall(f"gridfarm:queue:{queue}:{tally}")
        assert {name.decode(): int(n) for name, n in written.items()} == truth, tally
        total = self.redis.hget(f"gridfarm:queue:{queue}", tally)
        assert int(total or 0) == sum(truth.values()), tally

    def _ready_at(self, batch: dict[str, Any]) -> float | None:
        """When it has a cell to send: 0 for now, None for not of itself."""
        if not batch["left"]:
            return None
        if int(batch["cursor"]) < int(batch["length"]):
            return 0
        if batch["again"] is not None:
            return cast(float, batch["again"])
        return None if batch["under_way"] else 0

    def _check_ready(self, queue: str, ready_at: dict[str, float | None]) -> None:
        fed = {n.decode() for n in self.redis.zrange(f"gridfarm:queue:{queue}:fed", 0, -1)}
        later = self.redis.zrange(f"gridfarm:queue:{queue}:later", 0, -1, withscores=True)
        waiting = {name.decode(): at for name, at in later}
        assert fed.isdisjoint(waiting)
        assert fed | set(waiting) == {name for name, at in ready_at.items() if at is not None}
        assert all((ready_at[name] or 0) <= self.now for name in fed)
        assert all(at == ready_at[name] for name, at in waiting.items())
