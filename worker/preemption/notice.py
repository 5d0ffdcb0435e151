"""That this machine or process will be ended, and how much time is left."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

#: What is left after SIGTERM unless told otherwise, less what a last step and the hand-back need:
#: 90 s by systemd, 15 s by GKE's spot nodes for ordinary pods, whatever these ask for.
GRACE_S, POD_GRACE_S = 80.0, 12.0


@dataclass(frozen=True)
class Notice:
    """This machine or process goes at `deadline` (of time.monotonic()); `source` says why."""

    deadline: float
    source: str

    @property
    def left_s(self) -> float:
        return max(0.0, self.deadline - time.monotonic())

    @classmethod
    def within(cls, seconds: float, source: str) -> Notice:
        return cls(time.monotonic() + seconds, source)


def default_grace() -> float:
    """Seconds between SIGTERM, which is a notice too, and the end."""
    return POD_GRACE_S if "KUBERNETES_SERVICE_HOST" in os.environ else GRACE_S
