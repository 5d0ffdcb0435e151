"""The register of workers on a broker: who is alive, and what each says of itself."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields

from common.broker import Broker


@dataclass(frozen=True)
class WorkerReport:
    """What a worker says of itself with each heartbeat.

    `state` is `starting`, `downloading`, `loading`, `retrying`, `listening`, `rendering`, `paused`
    or `leaving`; `message` says what is downloading and how far, what is loading onto which device,
    what failed and is tried again, why the worker is paused or leaves; and `lasts_s` says for how
    many seconds that has been so: a span, as the machines' clocks disagree. `step` of `steps`
    denoising steps, those of both stages, are done of the picture that a worker renders; 0 of 0
    unless it takes long. `store` is the URL of its store, and `store_id` the id of the farm's store
    for which it last found that to be this one, "" before it looked.
    """

    name: str
    machine: str
    queues: tuple[str, ...]
    threads: int
    device: str
    state: str
    message: str = ""
    lasts_s: float = 0.0
    step: int = 0
    steps: int = 0
    store: str = ""
    store_id: str = ""


class WorkerRegister:
    """The workers on one broker. Raises BrokerError."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker

    def heartbeat(self, report: WorkerReport, *, ttl_ms: int) -> str:
        """The worker counts as alive for `ttl_ms` more (the step `beat`). The id of the farm's
        store, "" where the broker knows of none."""
        answer: bytes = self.broker.step("beat", report.name, json.dumps(asdict(report)), ttl_ms)
        return answer.decode(errors="replace")

    def leave(self, worker: str) -> None:
        """The worker of this name is gone, at once."""
        self.broker.step("leave", worker)

    def alive(self) -> list[WorkerReport]:
        """The last reports of the workers that are alive."""
        reports = (_read_report(text) for text in self.broker.step("alive"))
        return [report for report in reports if report]


def _read_report(text: bytes) -> WorkerReport | None:
    """None for what no worker of this version says; what a later one adds is left out."""
    try:
        values = json.loads(text)
        known = {f.name: values[f.name] for f in fields(WorkerReport) if f.name in values}
        report = WorkerReport(**known | {"queues": tuple(map(str, known["queues"]))})
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    whole = (report.threads, report.step, report.steps)
    numbers = all(type(n) is int for n in whole) and type(report.lasts_s) in (int, float)
    of_worker = (report.name, report.machine, report.device, report.state, report.message)
    texts = (*of_worker, report.store, report.store_id)
    return report if numbers and all(isinstance(text, str) for text in texts) else None
