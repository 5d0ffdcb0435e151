"""Celery's consumer: takes messages from the queues and gives each to the task."""

from __future__ import annotations

from celery.exceptions import Reject
from celery.worker import state

from common.dispatch import TASK_NAME, celery_app
from worker.process.transport import TRANSPORT
from worker.tasks import CellTask, ShuttingDown


def consume(
    broker: str, task: CellTask, queues: tuple[str, ...], *, worker: str, threads: int
) -> None:
    """Work as `worker` until `stop_consuming`, or until the broker's death ends Celery."""
    app = celery_app(broker)
    app.conf.broker_transport = TRANSPORT

    @app.task(name=TASK_NAME)  # type: ignore[untyped-decorator]
    def render_cell(batch_id: str, i: int, generation: int) -> None:
        try:
            task(batch_id, i, generation)
        except ShuttingDown:
            raise Reject(requeue=True) from None

    class Consumer(app.Worker):  # type: ignore[misc, name-defined]
        def install_platform_tweaks(self, _: object) -> None:
            """Celery's own signal handlers stay out: its second SIGINT drops what is running."""

    Consumer(
        pool="threads",
        concurrency=threads,
        queues=list(queues),
        hostname=worker,
        loglevel="WARNING",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    ).start()


def stop_consuming() -> None:
    """Take no more messages; `consume` returns once the tasks that run have ended."""
    state.should_stop = 0
