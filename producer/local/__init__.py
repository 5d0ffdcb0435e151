"""This machine as a farm: a broker and workers that live as long as one batch takes.

place     where this machine keeps what it renders
earlier   stores of an earlier time, taken into the one of today
presence  one render at a time works on a store, and others see it
broker    the broker as a child process, and what is said when it ends
workers   the workers as child processes
render    a batch rendered by them
view      its pictures and sheets in a folder that shows this batch alone
"""

from __future__ import annotations

from producer.local.broker import LocalBroker, local_broker
from producer.local.earlier import take_in
from producer.local.place import NAME as PLACE_NAME
from producer.local.place import Place, find_place, from_here, is_store
from producer.local.presence import Presence
from producer.local.render import (
    LocalRender,
    RenderReport,
    Watch,
    need_worker_packages,
    watch_silently,
)
from producer.local.workers import local_workers

__all__ = [
    "PLACE_NAME",
    "LocalBroker",
    "LocalRender",
    "Place",
    "Presence",
    "RenderReport",
    "Watch",
    "find_place",
    "from_here",
    "is_store",
    "local_broker",
    "local_workers",
    "need_worker_packages",
    "take_in",
    "watch_silently",
]
