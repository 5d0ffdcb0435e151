"""The Celery app, its settings, the queue's name and the message on it. No tasks live here.

Why each setting stands here: Celery on Redis delivers a task more or less than once, so the
ledger decides who may render what, and Celery only carries messages: one per thread at a time,
acknowledged after the work, never retried or delayed by Celery itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from common.batch import SCHEMA, Batch
from common.broker import read_url
from common.job import RENDERER_EPOCH

if TYPE_CHECKING:
    from celery import Celery

TASK_NAME = "gridfarm.render_cell"
_HOUR = 3600


def queue_name(kind: str = "") -> str:
    """`gridfarm.<schema>.<epoch>`, so that a worker takes only what it would read and draw as
    the producer meant. `kind` is a GPU type, or `cuda` for cells whose noise is drawn on one."""
    base = f"gridfarm.{SCHEMA}.{RENDERER_EPOCH}"
    return f"{base}.{kind}" if kind else base


def queue_kind(queue: str) -> str | None:
    """The `kind` that a queue was named with; None for one of another version."""
    base = queue_name()
    if queue != base and not queue.startswith(f"{base}."):
        return None
    return queue.removeprefix(base).removeprefix(".")


def queue_of(batch: Batch) -> str:
    """The queue a batch is fed to."""
    return queue_name(batch.gpu or ("cuda" if _needs_cuda(batch) else ""))


def _needs_cuda(batch: Batch) -> bool:
    return any(layer.get("noise") == "cuda" for layer in batch.layers())


def celery_app(broker: str) -> Celery:
    """The app that workers consume with. The producer needs none: the ledger's `feed` script
    pushes Celery messages by task name. Raises BrokerRefused for a URL that is none."""
    from celery import Celery

    ours = read_url(broker).url

    class App(Celery):  # type: ignore[misc]
        """Celery of itself prefers CELERY_BROKER_URL and CELERY_RESULT_BACKEND in the
        environment, which are another program's."""

        backend_cls = "disabled"

        def connection_for_read(self, url: str | None = None, **options: Any) -> Any:
            return super().connection_for_read(url or ours, **options)

        def connection_for_write(self, url: str | None = None, **options: Any) -> Any:
            return super().connection_for_write(url or ours, **options)

        def connection(self, hostname: str | None = None, **options: Any) -> Any:
            return super().connection(hostname or ours, **options)

    app = App("gridfarm", broker=ours)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=_transport_options(),
        # Nobody here sends remote commands, and whoever may write to Redis could.
        worker_enable_remote_control=False,
        # Of itself Celery believes any certificate where a rediss:// has no options.
        broker_use_ssl={"ssl_cert_reqs": "required"} if ours.startswith("rediss:") else None,
    )
    return app


def _transport_options() -> dict[str, Any]:
    names = ("unacked_key", "unacked_index_key", "unacked_mutex_key")
    return {
        # A backstop only: the ledger finds lost tasks within seconds.
        "visibility_timeout": 6 * _HOUR,
        "unacked_restore_interval": 300,
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": 10,
        # A connection that nothing comes through any more is noticed within 1 + 2 × 5 s.
        "health_check_interval": 5,
        "socket_keepalive": True,
        "socket_timeout": 5,
        "socket_connect_timeout": 5,
        # One list per queue: gridfarm's own priorities are decided when a cell is sent.
        "priority_steps": [0],
        **{name: f"gridfarm:{name}" for name in names},
    }
