"""Watches for the notice of whichever cloud this machine is in.

Another cloud is a class with the methods of `Cloud` in a file of its own, and a row in `CLOUDS`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from worker.preemption.aws import Aws
from worker.preemption.azure import Azure
from worker.preemption.gcp import Gcp
from worker.preemption.metadata import Metadata, NoAnswer
from worker.preemption.notice import Notice

log = logging.getLogger(__name__)

#: A metadata server may come up after the worker; a cloud is not looked for longer.
DETECT_AGAIN_AFTER_S = (5, 30, 120)
#: After a first, second … poll in a row that failed.
AGAIN_AFTER_S = (0.5, 1, 2, 5, 10)


class Cloud(Protocol):
    """How one cloud says that it will take this machine. `name` is for people, `pause_s` are the
    seconds until the next poll. Both methods raise NoAnswer."""

    name: str

    @property
    def pause_s(self) -> float: ...

    def is_here(self) -> bool:
        """Whether this machine is one of the cloud's."""

    def poll(self) -> Notice | None:
        """Ask once; None as long as the machine stays."""


#: By the names that `gridfarm-worker --cloud` takes.
CLOUDS: Mapping[str, Callable[[Metadata], Cloud]] = {"aws": Aws, "gcp": Gcp, "azure": Azure}


@dataclass
class NoticeWatcher:
    """Watches for a notice in a thread of its own. `cloud` is one of CLOUDS, or `auto`: then the
    thread finds out where it is, and ends where that is no cloud."""

    cloud: str = "auto"
    metadata: Metadata = field(default_factory=Metadata)
    _closing: threading.Event = field(default_factory=threading.Event)

    def start(self, on_notice: Callable[[Notice], None]) -> None:
        """`on_notice` is called once, in that thread."""
        threading.Thread(target=self.run, args=(on_notice,), name="preemption", daemon=True).start()

    def close(self) -> None:
        self._closing.set()

    def run(self, on_notice: Callable[[Notice], None]) -> None:
        cloud = self._detect() if self.cloud == "auto" else CLOUDS[self.cloud](self.metadata)
        if cloud is None:
            return
        log.info("watching for %s's notices that this machine will be taken", cloud.name)
        if notice := self._wait_for_notice(cloud):
            on_notice(notice)

    def _detect(self) -> Cloud | None:
        for pause in (*DETECT_AGAIN_AFTER_S, None):
            for kind in CLOUDS.values():
                cloud = kind(self.metadata)
                if _is_here(cloud):
                    return cloud
            if pause is None or self._closing.wait(pause):
                break
        return None

    def _wait_for_notice(self, cloud: Cloud) -> Notice | None:
        misses = 0
        while not self._closing.is_set():
            try:
                if notice := cloud.poll():
                    return notice
                misses, pause = 0, cloud.pause_s
            except NoAnswer as error:
                if misses == 0:
                    log.warning("%s's metadata server: %s; asking again", cloud.name, error)
                pause = AGAIN_AFTER_S[min(misses, len(AGAIN_AFTER_S) - 1)]
                misses += 1
            self._closing.wait(pause)
        return None


def _is_here(cloud: Cloud) -> bool:
    try:
        return cloud.is_here()
    except NoAnswer:
        return False
