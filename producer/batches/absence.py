"""A broker that does not answer who follows a batch: it is said, waited for, and given up."""

from __future__ import annotations

import time

from common.errors import BrokerError
from producer.progress import Say

#: Who follows a batch gives up when the broker has not answered for so long.
BROKER_AWAY_S = 60.0


class Absence:
    """What is told to `say`: at once that the broker is away, since when and for how long it is
    waited for; later that it is back."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self._since: float | None = None

    def goes_on(self, error: BrokerError, *, since: float) -> None:
        """The broker did not answer a question that was asked at `since`, of time.monotonic().
        Raises the error when that has been so for BROKER_AWAY_S."""
        if self._since is None:
            self._since = since
            self.say(
                f"{_clock(since)} {error.message.rstrip('.')}; trying again until"
                f" {_clock(since + BROKER_AWAY_S)}"
            )
        if since - self._since > BROKER_AWAY_S:
            raise error

    def over(self) -> None:
        """The broker has answered."""
        if self._since is not None:
            now, began = time.monotonic(), self._since
            self._since = None
            self.say(f"{_clock(now)} the broker answers again, after {now - began:.0f} s")


def _clock(moment: float) -> str:
    """The time of day at `moment`, of time.monotonic()."""
    return time.strftime("%H:%M:%S", time.localtime(time.time() + moment - time.monotonic()))
