"""Numbers as a person reads them."""

from __future__ import annotations

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


def how_ended(exit_code: int) -> str:
    """How a process ended: `exit code 1`, `SIGKILL`; a signal is its number below zero, as Python
    has it, or above 128, as shells have it."""
    number = exit_code - 128 if exit_code > 128 else -exit_code
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"exit code {exit_code}"
