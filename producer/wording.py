"""Numbers as a person reads them."""

from __future__ import annotations

import math
import signal


def counted(count: int, one: str, many: str = "") -> str:
    """`1 cell`, `15 cells`, `1,248 cells`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def in_bytes(size: float) -> str:
    """`620 kB`, `24 MB`, `1.6 TB`: powers of 1,000, as disks are sold."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:,.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"


def in_time(seconds: float) -> str:
    """`0:05`, `12:30`, `1:02:03`; rounded up, so that what is left is never nothing."""
    minutes, seconds = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def as_rate(per_minute: float) -> str:
    """`1,200/min`, `2.5/min`, `12/h`."""
    if per_minute < 1:
        return f"{60 * per_minute:.2g}/h"
    return f"{per_minute:,.0f}/min" if per_minute >= 9.95 else f"{per_minute:.1f}/min"


def how_ended(exit_code: int) -> str:
    """How a process ended: `exit code 1`, `SIGKILL`; a signal is its number below zero, as Python
    has it, or above 128, as shells have it."""
    number = exit_code - 128 if exit_code > 128 else -exit_code
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"exit code {exit_code}"
