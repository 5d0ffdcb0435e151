"""What of Celery's and kombu's words reaches a worker's log."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import logging
from redis.exceptions import ConnectionError
from worker.logs import set_up_logging

set_up_logging("text")
for logger, error in (
    ("celery.worker.consumer", ConnectionError("broker away")),
    ("kombu", ConnectionResetError(104, "cut off")),
    ("celery.app.trace", ValueError("Celery's bug")),
    ("worker.tasks.cell_task", ConnectionError("said by us")),
):
    try:
        raise error
    except Exception:
        logging.getLogger(logger).exception("lost")
"""


def test_a_broker_that_is_away_needs_no_traceback() -> None:
    """What nobody expected keeps its own, and so does what we say ourselves."""
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert ended.stderr.count(" lost\n") == 4
    assert ended.stderr.count("Traceback") == 2
    assert "Celery's bug" in ended.stderr
    assert "said by us" in ended.stderr
