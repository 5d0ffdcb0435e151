"""Who could take what is in a queue, and who listens instead. All texts about it are made here."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from common.dispatch import WorkerReport, queue_kind
from producer.wording import counted

#: So many kinds of other workers are told apart.
SHOWN_KINDS = 4
#: Characters of a device's name.
SHOWN_DEVICE = 40

_UPDATE = "install the same version on both sides"


@dataclass(frozen=True)
class Listeners:
    """The workers that are alive: those that take `queue`, and those that do not."""

    queue: str
    able: tuple[WorkerReport, ...] = ()
    others: tuple[WorkerReport, ...] = ()
    #: Of a render on this machine, which starts its own.
    local: bool = False

    @classmethod
    def of(cls, queue: str, alive: Iterable[WorkerReport]) -> Listeners:
        alive = tuple(alive)
        able = tuple(worker for worker in alive if queue in worker.queues)
        return cls(queue, able, tuple(worker for worker in alive if queue not in worker.queues))

    @property
    def waits_for(self) -> str:
        """What is missing, and who listens instead; "" where somebody could take it."""
        if self.able:
            return ""
        kind = queue_kind(self.queue) or ""
        return self._for_special(kind) if kind else self._for_any()

    @property
    def hold_ups(self) -> list[str]:
        """A line for each thing that holds the queue up: that nobody could take it, or why some
        are paused, and who."""
        return [self.waits_for] if not self.able else paused_lines(self.able)

    def with_other_names(self, store: str, store_id: str) -> list[str]:
        """A line for each that has another store by its URL, and has not said yet whether it is
        the one with this id: it will within seconds, so this is for who orders just now."""
        return [
            f"{worker.name} has {worker.store} as its store: is that the same as {store}?"
            " gridfarm status says it in a few seconds"
            for worker in self.able
            if worker.state != "paused"
            and worker.store not in ("", store)
            and worker.store_id != store_id
        ]

    def _for_any(self) -> str:
        if self.local and not self.others:
            return "the render on this machine starts its workers"
        if not self.others:
            return "no worker is listening: start one with gridfarm-worker"
        return (
            "no worker of this version of gridfarm is listening;"
            f" {len(self.others)} of another version {_verb(self.others)}: {_UPDATE}"
        )

    def _for_special(self, kind: str) -> str:
        on_cuda = kind == "cuda"
        need = "a worker on CUDA (noise: cuda)" if on_cuda else f"a worker with --gpu {kind}"
        if not self.others:
            how = " on a machine with an NVIDIA GPU" if on_cuda else f" --gpu {kind}"
            return f"waits for {need}, none is listening: start one with gridfarm-worker{how}"
        return f"waits for {need}; {self._who_listens(on_cuda)}"

    def _who_listens(self, on_cuda: bool) -> str:
        """`2 listen on the CPU`, `3 listen: 2 on the CPU, 1 with --gpu a100`."""
        kinds = Counter(_kind(worker, on_cuda) for worker in self.others)
        count = f"{len(self.others)} {_verb(self.others)}"
        if len(kinds) == 1:
            return f"{count} {next(iter(kinds))}"
        shown = [f"{number} {kind}" for kind, number in kinds.most_common(SHOWN_KINDS)]
        rest = [f"{len(kinds) - SHOWN_KINDS} other kinds"] if len(kinds) > SHOWN_KINDS else []
        return f"{count}: {', '.join([*shown, *rest])}"


def paused_line(worker: WorkerReport, others: int = 0) -> str:
    """`others` are paused for the same reason."""
    more = f" and {counted(others, 'other')}" if others else ""
    return f"paused: {worker.name}{more}: {worker.message}"


def paused_lines(workers: Iterable[WorkerReport]) -> list[str]:
    """One for each reason."""
    reasons: dict[str, list[WorkerReport]] = {}
    for worker in workers:
        if worker.state == "paused":
            reasons.setdefault(worker.message, []).append(worker)
    return [paused_line(alike[0], len(alike) - 1) for alike in reasons.values()]


def of_another_version(worker: WorkerReport) -> bool:
    return all(queue_kind(queue) is None for queue in worker.queues)


def gpu_types(worker: WorkerReport) -> list[str]:
    """What it was started with as --gpu."""
    kinds = (queue_kind(queue) for queue in worker.queues)
    return [kind for kind in kinds if kind and kind != "cuda"]


def check_version(alive: Iterable[WorkerReport]) -> str:
    """Who can take nothing that this gridfarm orders; "" where nobody is like that."""
    others = [worker for worker in alive if of_another_version(worker)]
    if not others:
        return ""
    takes = "takes" if len(others) == 1 else "take"
    return f"{counted(len(others), 'worker')} of another version {takes} nothing of it: {_UPDATE}"


def _kind(worker: WorkerReport, on_cuda: bool) -> str:
    """What a worker of the wrong kind is, for cells that need CUDA or a GPU type."""
    if of_another_version(worker):
        return "of another version of gridfarm"
    types = gpu_types(worker)
    if types and not on_cuda:
        return f"with --gpu {', '.join(types)}"
    if "cuda" not in map(queue_kind, worker.queues):
        return "on the CPU"
    return f"on {textwrap.shorten(worker.device, SHOWN_DEVICE, placeholder='…')} without --gpu"


def _verb(workers: tuple[WorkerReport, ...]) -> str:
    return "listens" if len(workers) == 1 else "listen"
