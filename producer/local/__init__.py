"""This machine as a farm: a broker and workers that live as long as one batch takes.

broker    the broker as a child process, and what is said when it ends
workers   the workers as child processes
render    a batch rendered by them, its pictures and sheets in a folder
"""

from __future__ import annotations

from producer.local.broker import LocalBroker, local_broker
from producer.local.render import (
    LocalRender,
    RenderReport,
    Watch,
    need_worker_packages,
    watch_silently,
)
from producer.local.workers import local_workers

__all__ = [
    "LocalBroker",
    "LocalRender",
    "RenderReport",
    "Watch",
    "local_broker",
    "local_workers",
    "need_worker_packages",
    "watch_silently",
]
