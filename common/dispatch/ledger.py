"""A batch's progress in Redis. A method is one atomic step of the script in `lua/` and has its
name; where it has another, its text says which step it is.

Redis is traffic, not truth: everything here can be rebuilt from the store (`Dispatcher`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from common.broker import Broker
from common.dispatch.states import PRIORITIES, State
from common.dispatch.workers import WorkerRegister

if TYPE_CHECKING:
    from redis import Redis

#: The files of the script, in this order; each uses what stands in those before it.
SCRIPT = tuple(
    Path(__file__).parent / "lua" / f"{name}.lua"
    for name in (
        "names",
        "queues",
        "workers",
        "messages",
        "cells",
        "batches",
        "feeding",
        "sweeping",
        "steps",
    )
)

LEASE_MS = 15_000
LOST_AFTER_MS = 15_000
SWEEP_EVERY_MS = 2_000
#: What is done or cancelled is forgotten after a day; the store knows it.
KEEP_FINISHED_MS = 24 * 3600 * 1000
#: So many cells are looked at in one call of `feed`, and so many messages in one of `withdraw`, so
#: that Redis is held up for milliseconds only.
FEED_STEPS = 1_000
WITHDRAWN_AT_ONCE = 100

LOCAL = "gridfarm:local"

#: What `open`, `control`, `retry` and `aside` answer where messages are to be taken back.
WITHDRAW = 2

Claim = Literal[
    "ok",  # the worker holds the cell
    "tried",  # likewise, and attempts were recorded before: `attempts_of` says which
    "done",  # it is stored, failed or excluded already
    "stale",  # it was asked for in an earlier generation, or the batch is not rendering
    "leased",  # somebody holds it
    "elsewhere",  # a cell of another batch that has the same key is being rendered
    "unknown",  # the ledger does not know the batch
]


@dataclass(frozen=True)
class Opening:
    """What a batch enters the ledger with. `total` counts the jobs: cells without the holes."""

    batch_id: str
    queue: str
    length: int
    total: int
    order: list[tuple[int, int]]
    generation: int = 0
    state: State = "rendering"
    priority: int = PRIORITIES["normal"]
    done: bytes = b""
    holes: bytes = b""
    failures: Mapping[int, str] | None = None


@dataclass(frozen=True)
class LedgerStatus:
    """How a batch stands; counts are of jobs."""

    state: State
    generation: int
    priority: int
    total: int
    done: int
    failed: int
    queue: str
    running: int
    #: Why its document cannot be read, so that nothing of it is sent; "" where it can.
    aside: str = ""
    #: Of `done`, those that workers found in the store since the ledger has the batch.
    found: int = 0

    @property
    def shown_state(self) -> str:
        """The state as people are told it: `queued` while a batch that may render has nothing
        done, failed or running."""
        waits = self.state == "rendering" and not self.done + self.failed + self.running
        return "queued" if waits else self.state


class Ledger:
    """The ledgers of all batches on one broker, by its URL, e.g. `redis://:secret@host:6379/0`.
    Every method raises BrokerError."""

    def __init__(self, broker: str | Broker) -> None:
        self.broker = Broker(broker) if isinstance(broker, str) else broker
        self.broker.script = SCRIPT
        self.workers = WorkerRegister(self.broker)

    @cached_property
    def is_local(self) -> bool:
        """Whether this is the broker of a render on somebody's machine: it knows what it was told
        and is never rebuilt from the store."""
        with self.broker.errors():
            return bool(self.redis.exists(LOCAL))

    def become_local(self) -> None:
        """Before anything is ordered from a broker that was just started."""
        with self.broker.errors():
            self.redis.set(LOCAL, 1)

    @property
    def redis(self) -> Redis:
        """For what is only read, without a step of its own."""
        return self.broker.redis

    def open(self, opening: Opening) -> bool:
        """Load a batch; False when the ledger knows it already."""
        fields = {
            "state": opening.state,
            "generation": opening.generation,
            "priority": opening.priority,
            "queue": opening.queue,
            "length": opening.length,
            "total": opening.total,
            "order": json.dumps(opening.order),
        }
        failures = {str(i): reason for i, reason in (opening.failures or {}).items()}
        bits = (opening.done, opening.holes)
        answer = self.broker.step(
            "open", opening.batch_id, json.dumps(fields), *bits, json.dumps(failures)
        )
        return self._withdraw(answer, opening.queue, opening.priority)

    def feed(self, queues: str | Sequence[str], task: str) -> int:
        """Fill one or more queues up to their windows; how many tasks were sent."""
        names = [queues] if isinstance(queues, str) else queues
        total, more = 0, 1
        while more:
            sent, more = self.broker.step("feed", task, FEED_STEPS, *names)
            total += sent
        return total

    def claim(self, batch_id: str, i: int, generation: int, key: str, worker: str) -> Claim:
        """Lease a cell to a worker for LEASE_MS, if nothing is against it."""
        word = self._word("claim", batch_id, i, generation, key, worker, LEASE_MS)
        return cast(Claim, word)

    def renew(self, batch_id: str, i: int, key: str, worker: str) -> bool:
        """Keep the lease for another LEASE_MS; False: stop rendering this cell."""
        return self._word("renew", batch_id, i, key, worker, LEASE_MS) == "ok"

    def done(self, batch_id: str, i: int, key: str) -> bool:
        """The cell is stored. True when that was the last of the batch."""
        return self._word("done", batch_id, i, key) == "finished"

    def fail(self, batch_id: str, i: int, key: str, worker: str, reason: str) -> bool:
        """The cell cannot be rendered. True when that was the last of the batch."""
        return self._word("fail", batch_id, i, key, worker, reason) == "finished"

    def skip(self, batch_id: str, i: int) -> bool:
        """The cell is excluded, which nobody had looked at before. True when it was the last."""
        return self._word("skip", batch_id, i) == "finished"

    def release(
        self,
        batch_id: str,
        i: int,
        key: str,
        worker: str,
        *,
        pause_ms: int = 0,
        undo_attempt: bool = False,
    ) -> None:
        """Hand a claimed cell back, to be sent again after `pause_ms`; with `undo_attempt` as if
        this attempt, if it was recorded, had not been."""
        self.broker.step("release", batch_id, i, key, worker, pause_ms, int(undo_attempt))

    def record_attempt(
        self, batch_id: str, i: int, machine: str, worker: str
    ) -> tuple[int, int] | None:
        """An attempt enters the GPU: (attempts so far, on how many machines). The same attempt
        counts once. None: `worker` does not hold the cell. The step `charge`."""
        counts = self.broker.step("charge", batch_id, i, machine, worker)
        return (counts[0], counts[1]) if counts else None

    def recording_attempt(
        self, batch_id: str, i: int, machine: str, worker: str
    ) -> AbstractContextManager[Callable[[], None]]:
        """For a GPU that does not wait for the broker: the block gets a function that records an
        attempt without waiting for the answer. When the function returns, the record has left
        this process, so the attempt counts even if it kills the process. The step `charge`."""
        return self.broker.sending("charge", batch_id, i, machine, worker)

    def attempts_of(self, batch_id: str, i: int) -> list[str]:
        """The machines on whose GPUs the cell's attempts began, each as often as they did."""
        with self.broker.errors():
            machines = self.redis.hget(_part(batch_id, "charges"), str(i))
        return list(json.loads(cast("bytes | None", machines) or b"[]"))

    def report_suspect_picture(self, batch_id: str, i: int, process: str) -> bool:
        """`process` drew NaN or black; True when another process had said so before. The step
        `suspect`."""
        return self._word("suspect", batch_id, i, process) == "agreed"

    def report_unmet_need(
        self, batch_id: str, need: str, machine: str, *, every_ms: int
    ) -> tuple[int, int] | None:
        """A model or LoRA that cells need cannot be had or loaded on `machine`, which counts once
        in `every_ms`: (times so far, on how many machines). None: some machine has it. The step
        `unmet`."""
        counts = self.broker.step("unmet", batch_id, need, machine, every_ms)
        return (counts[0], counts[1]) if counts else None

    def report_met_needs(self, batch_id: str, needs: Sequence[str]) -> None:
        """A machine has these and has loaded them. The step `met`."""
        self.broker.step("met", batch_id, *needs)

    def has_unmet_need(self, batch_id: str, need: str) -> bool:
        """Whether trouble with it was reported, and nobody has it."""
        with self.broker.errors():
            noted = self.redis.hget(_part(batch_id, "needs"), need)
        return noted not in (None, b"met")

    def lost(self, batch_id: str, cells: Sequence[int], *, most: int, reason: str) -> list[int]:
        """These cells are not done after all: their pictures are not in the store. Each is sent
        again, and fails with `reason` when that happened `most` times; which ones did."""
        answer = self.broker.step("lost", batch_id, most, reason, *cells)
        return [int(i) for i in answer]

    def note_read(self, batch_id: str) -> None:
        """Its document was just read by a worker. The step `read`."""
        self.broker.step("read", batch_id)

    def set_aside(self, batch_id: str, reason: str) -> bool:
        """Its document cannot be read: no cell of it is sent for a while, which is longer each
        time, and ends when a worker can read it. False where others have just read it, so that
        this machine is at fault. The step `aside`."""
        return self._withdraw_for(self.broker.step("aside", batch_id, reason), batch_id)

    def sweep(self, queue: str) -> bool:
        """Put back what is lost. False when somebody just did."""
        return bool(self.broker.step("sweep", queue, LOST_AFTER_MS, SWEEP_EVERY_MS, LEASE_MS))

    def control(self, batch_id: str, *, generation: int, state: State, priority: int) -> bool:
        """Change state or priority; False when the ledger does not know the batch, or knows it
        as done."""
        change = (generation, state, priority, KEEP_FINISHED_MS)
        answer = self.broker.step("control", batch_id, *change)
        return self._withdraw_for(answer, batch_id)

    def retry(
        self, batch_id: str, *, generation: int, priority: int, done: bytes | None = None
    ) -> bool:
        """Render the failed cells again, with `done` everything that this bitmap lacks; False
        as from `control`."""
        change = (generation, priority, int(done is not None), done or b"")
        return self._withdraw_for(self.broker.step("retry", batch_id, *change), batch_id)

    def finish(self, batch_id: str) -> bool:
        """The batch is over; False when more of it was asked for meanwhile."""
        return bool(self.broker.step("finish", batch_id, KEEP_FINISHED_MS))

    def sound(self, batch_id: str) -> bool:
        """False for a ledger that lost a part of itself, or all: only a rebuild is right."""
        return bool(self.broker.step("sound", batch_id))

    def mend(self, batch_id: str) -> bool:
        """Put an unfinished batch back among the active ones, if it is missing there, and what
        else its ledger can mend of itself; then as `sound`."""
        return bool(self.broker.step("mend", batch_id, LEASE_MS))

    def drop(self, batch_id: str) -> None:
        """Forget a batch altogether, so that it can be opened anew."""
        self.broker.step("drop", batch_id)

    def status(self, batch_id: str) -> LedgerStatus | None:
        """None when the ledger does not know the batch."""
        row = self.broker.step("status", batch_id)
        if not row:
            return None
        state, queue = row[0].decode(), row[6].decode()
        generation, priority, total, done, failed = (int(cell) for cell in row[1:6])
        counts = (total, done, failed, queue, row[7])
        more = {"aside": row[8].decode(), "found": row[9]}
        return LedgerStatus(state, generation, priority, *counts, **more)

    def unsaved(self) -> dict[str, int]:
        """Batches whose done bits changed since they were copied, and by how many changes; each
        is told once in half a minute, to whoever asks first, until `saved`."""
        return {batch_id.decode(): int(count) for batch_id, count in self.broker.step("unsaved")}

    def saved(self, batch_id: str, changes: int) -> None:
        """The done bits as they were after so many changes, or later ones, are in the store."""
        self.broker.step("saved", batch_id, changes)

    def over(self) -> list[str]:
        """The active batches that have no open cell: their end is to be written down. Read
        without a step, as are the following."""
        return self._members("gridfarm:over")

    def known(self, batch_id: str) -> bool:
        """Whether the ledger knows the batch."""
        with self.broker.errors():
            return bool(self.redis.exists(f"gridfarm:batch:{batch_id}"))

    def active(self) -> list[str]:
        """The ids of the batches that are not finished, sorted."""
        return self._members("gridfarm:active")

    def being_rendered(self) -> list[str]:
        """The ids of the active batches of which somebody holds a cell, sorted."""
        ids: set[str] = set()
        for queue in self._members("gridfarm:queues"):
            with self.broker.errors():
                found = self.redis.hkeys(f"gridfarm:queue:{queue}:under_way")
            ids |= {batch_id.decode() for batch_id in cast("list[bytes]", found)}
        return [name for name in sorted(ids) if (seen := self.status(name)) and seen.running]

    def left(self) -> dict[str, int]:
        """Queue → how many cells it has to be rendered, those of paused batches too; no step, and
        only queues that have some."""
        found = {}
        for queue in self._members("gridfarm:queues"):
            with self.broker.errors():
                found[queue] = int(self.redis.hget(f"gridfarm:queue:{queue}", "left") or 0)
        return {queue: count for queue, count in found.items() if count > 0}

    def done_bitmap(self, batch_id: str) -> bytes:
        """The cells that are stored (`common.dispatch.bitmap`); may be shorter than the batch."""
        with self.broker.errors():
            return cast(bytes, self.redis.get(_part(batch_id, "done")) or b"")

    def failures(self, batch_id: str, *, most: int | None = None) -> dict[int, str]:
        """Cell → reason; any `most` of them."""
        with self.broker.errors():
            reasons = self.redis.hscan_iter(_part(batch_id, "failed"), count=1_000)
            return {int(i): reason.decode() for i, reason in islice(reasons, most)}

    def _members(self, name: str) -> list[str]:
        with self.broker.errors():
            members = cast("set[bytes]", self.redis.smembers(name))
        return sorted(member.decode() for member in members)

    def _withdraw_for(self, answer: int, batch_id: str) -> bool:
        """For a batch that was changed: before it renders, what is of a lower priority."""
        if answer == WITHDRAW and (status := self.status(batch_id)):
            renders = status.state == "rendering" and not status.aside
            lower_than = status.priority if renders else 0
            self._withdraw(answer, status.queue, lower_than)
        return bool(answer)

    def _withdraw(self, answer: int, queue: str, lower_than: int) -> bool:
        """Take back what is stale or of a lower priority. Who is cut off here leaves messages
        that are refused when they are claimed, or cells that are rendered sooner than others."""
        if answer == WITHDRAW:
            with self.broker.errors():
                queued = int(self.redis.llen(queue))
            for seen in range(0, queued, WITHDRAWN_AT_ONCE):
                count = min(WITHDRAWN_AT_ONCE, queued - seen)
                self.broker.step("withdraw", queue, lower_than, count)
        return bool(answer)

    def _word(self, step: str, *arguments: str | bytes | int) -> str:
        return cast(bytes, self.broker.step(step, *arguments)).decode()


def _part(batch_id: str, part: str) -> str:
    return f"gridfarm:batch:{batch_id}:{part}"
