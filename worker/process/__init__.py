"""A worker process: what the launcher starts, one per GPU.

main.py       run: what a process is put together from; main: its errors as exit codes
consumer.py   Celery's consumer, which gives messages to the task
transport.py  what is believed of a message
heartbeat.py  Heartbeat: what a worker says of itself; PeriodicThread
shutdown.py   Shutdown: the ways a process ends
"""

from __future__ import annotations

from worker.process.main import main

__all__ = ["main"]
