"""GCP: a preemption, 30 seconds ahead.

GET /computeMetadata/v1/instance/preempted?wait_for_change=true answers TRUE or FALSE, when that
changes or after the time that it was asked to wait.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from worker.preemption.metadata import Answer, Metadata, NoAnswer
from worker.preemption.notice import Notice

NOTICE_S = 30.0
#: How long the server is asked to wait for a change, and how late its answer may be.
WAIT_S, PATIENCE_S = 60, 5


@dataclass
class Gcp:
    metadata: Metadata
    name: str = "GCP"
    pause_s: float = 0.0
    _etag: str = "0"

    def is_here(self) -> bool:
        answer = self._get("/computeMetadata/v1/instance/id", self.metadata.detect_timeout_s)
        return answer.status == 200 and answer.headers.get("metadata-flavor") == "Google"

    def poll(self) -> Notice | None:
        """Waits, on the server's side, for a change of what was answered last."""
        answer = self._wait_for_change()
        answer.check()
        etag = answer.headers.get("etag", "")
        self._etag = etag if etag.isalnum() else "0"
        if answer.body.strip() == "TRUE":
            return Notice.within(NOTICE_S, "GCP preempts this machine")
        if answer.body.strip() != "FALSE":
            raise NoAnswer(f"instance/preempted is {answer.body[:40]!r}")
        return None

    def _wait_for_change(self) -> Answer:
        began = time.monotonic()
        waits = f"wait_for_change=true&timeout_sec={WAIT_S}&last_etag={self._etag}"
        answer = self._get(f"/computeMetadata/v1/instance/preempted?{waits}", WAIT_S + PATIENCE_S)
        # A server that does not wait is not asked in a hot loop.
        poll_s = self.metadata.poll_s
        self.pause_s = 0.0 if time.monotonic() - began > poll_s else poll_s
        return answer

    def _get(self, path: str, timeout_s: float) -> Answer:
        return self.metadata.ask(path, {"Metadata-Flavor": "Google"}, timeout_s=timeout_s)
