"""What a worker process ends with, for its launcher. 1 is any trouble before it listened."""

from __future__ import annotations

LEFT = 0
"""As it was told, by a signal or a notice."""
USAGE, UNREACHABLE = 2, 3
"""Wrong settings; broker or store away, which ends only the very first start."""
UNFIT = 70
"""Several different jobs in a row failed here."""
STALLED = 71
"""A render made no progress."""
RESTART = 75
"""Start me afresh: Celery has ended by itself, or a picture needs a second judge."""

COME_BACK = (UNREACHABLE, UNFIT, STALLED, RESTART)
"""None of these says that the install is broken."""
