"""What starts worker processes on a machine, and what the two say to each other.

Neither torch nor Celery is imported here.

    process_options.py  ProcessOptions: what a process is started with
    exit_codes.py       what it ends with
    machine.py          whether the machine has the GPU and the folders that the options ask for
    slot.py             Slot: a place for one process, and when the next is started in it
    launcher.py         Launcher: all slots of a machine, signals and the cloud's notice
"""

from __future__ import annotations

from worker.supervisor.exit_codes import LEFT, QUARANTINED, RESTART, STALLED
from worker.supervisor.launcher import Launcher
from worker.supervisor.machine import check_cache, check_install, fitted
from worker.supervisor.process_options import ProcessOptions
from worker.supervisor.slot import Slot

__all__ = [
    "LEFT",
    "QUARANTINED",
    "RESTART",
    "STALLED",
    "Launcher",
    "ProcessOptions",
    "Slot",
    "check_cache",
    "check_install",
    "fitted",
]
