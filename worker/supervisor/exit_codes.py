"""What a worker process ends with, for its launcher. 1 is any trouble before it listened."""

from __future__ import annotations

#: As it was told, by a signal or a notice.
LEFT = 0
#: Wrong settings; broker or store away, which ends only the very first start.
USAGE, UNREACHABLE = 2, 3
#: Several different jobs in a row failed here.
QUARANTINED = 70
#: A render made no progress.
STALLED = 71
#: Start me afresh: Celery has ended by itself, or a picture needs a second judge.
RESTART = 75

#: None of these says that the install is broken.
COME_BACK = (UNREACHABLE, QUARANTINED, STALLED, RESTART)
