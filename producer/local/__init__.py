"""TODO."""

from __future__ import annotations

from producer.local.servers import LocalWorkers, local_broker, local_workers

__all__ = [
    "LocalWorkers",
    "local_broker",
    "local_workers",
]
