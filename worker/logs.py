"""What the worker prints on stderr: a line of text or a JSON object for each job."""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from datetime import UTC, datetime

from common.text import escaped, without_login

FORMATS = ("text", "json")
_STANDARD = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "data"}


class JsonLines(logging.Formatter):
    """One object a line: time (UTC), level, message, and what else the record carries (a
    rendered cell: batch, cell, key, seconds); `traceback` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if record.name.startswith("worker"):
            line |= {k: v for k, v in record.__dict__.items() if k not in _STANDARD}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return without_login(escaped(json.dumps(line, ensure_ascii=False, default=str)))


class Lines(logging.Formatter):
    """What prompts and labels carry into a message stays on its line; no URL shows its login."""

    def format(self, record: logging.LogRecord) -> str:
        return without_login(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        record.message = escaped(record.message).replace("\n", "\\n")
        return super().formatMessage(record)


def _tells(record: logging.LogRecord) -> bool:
    """Without what Celery 6 may do when a connection is lost, and without the traceback of a
    broker that is away, which Celery's own words are enough for."""
    if record.name.startswith(("celery", "kombu")) and record.exc_info:
        error = record.exc_info[1]
        if isinstance(error, OSError) or type(error).__module__.startswith("redis."):
            record.exc_info = record.exc_text = None
    return record.name != "py.warnings" or "In Celery 5.1" not in record.getMessage()


def set_up_logging(form: str) -> None:
    """One line per job; Celery and transformers only where something is wrong."""
    handler = logging.StreamHandler(sys.stderr)
    text = Lines("%(asctime)s %(message)s", datefmt="%H:%M:%S")
    handler.addFilter(_tells)
    handler.setFormatter(JsonLines() if form == "json" else text)
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("worker").setLevel(logging.INFO)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    # Containers run as root; the queue carries JSON only, which is what the warning is about.
    warnings.filterwarnings("ignore", message=".*superuser privileges")
