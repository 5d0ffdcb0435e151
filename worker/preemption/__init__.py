"""The clouds' notices that this machine will be taken away, as one signal: a `Notice`.

notice.py     Notice: when the machine or process goes, and why; what SIGTERM leaves
signals.py    heed_signals: those that ask a process to end
metadata.py   Metadata: HTTP to a cloud's metadata server
aws.py, gcp.py, azure.py   each cloud's own way of saying it
watcher.py    NoticeWatcher: finds out which cloud this is, and waits for its notice
"""

from __future__ import annotations

from worker.preemption.metadata import METADATA_URL, Metadata
from worker.preemption.notice import Notice, default_grace
from worker.preemption.signals import heed_signals
from worker.preemption.watcher import CLOUDS, NoticeWatcher

__all__ = [
    "CLOUDS",
    "METADATA_URL",
    "Metadata",
    "Notice",
    "NoticeWatcher",
    "default_grace",
    "heed_signals",
]
