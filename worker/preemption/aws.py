"""AWS: a spot interruption, 2 minutes ahead.

IMDSv2: a token by PUT, then GET /latest/meta-data/spot/instance-action answers 404, or
{"action": …, "time": …}. A rebalance recommendation says that the risk has grown, not that the
machine goes, perhaps never; it is only logged, since two minutes are enough for what is under
way.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from worker.preemption.metadata import Answer, Metadata, NoAnswer, seconds_until
from worker.preemption.notice import Notice

log = logging.getLogger(__name__)

NOTICE_S = 120.0
TOKEN_TTL_S = 21_600
#: A recommendation to rebalance is looked for at every so many polls.
REBALANCE_EVERY = 20


@dataclass
class Aws:
    metadata: Metadata
    name: str = "AWS"
    _token: str = ""
    _polls: int = 0
    _rebalance_logged: bool = False

    @property
    def pause_s(self) -> float:
        return self.metadata.poll_s

    def is_here(self) -> bool:
        self._renew_token(self.metadata.detect_timeout_s)
        return bool(self._token)

    def poll(self) -> Notice | None:
        if not self._rebalance_logged and self._polls % REBALANCE_EVERY == 0:
            self._look_for_rebalance()
        self._polls += 1
        answer = self._get("/latest/meta-data/spot/instance-action")
        if answer.status == 404:
            return None
        answer.check()
        interruption = answer.json_object()
        action = interruption.get("action")
        if not isinstance(action, str):
            raise NoAnswer("an instance-action without an action")
        seconds = seconds_until(interruption.get("time"), most=NOTICE_S)
        return Notice.within(seconds, f"AWS will {action[:20]} this machine")

    def _look_for_rebalance(self) -> None:
        if self._get("/latest/meta-data/events/recommendations/rebalance").status == 200:
            self._rebalance_logged = True
            log.warning("AWS recommends to rebalance: this machine may be taken soon")

    def _get(self, path: str) -> Answer:
        if not self._token:
            self._renew_token()
        answer = self._get_with_token(path)
        if answer.status == 401:  # the token has run out
            self._renew_token()
            answer = self._get_with_token(path)
        return answer

    def _get_with_token(self, path: str) -> Answer:
        return self.metadata.ask(path, {"X-aws-ec2-metadata-token": self._token})

    def _renew_token(self, timeout_s: float | None = None) -> None:
        self._token = ""
        answer = self.metadata.ask(
            "/latest/api/token",
            {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_TTL_S)},
            method="PUT",
            timeout_s=timeout_s,
        )
        answer.check()
        token = answer.body.strip()
        if not token.isascii() or not token.isprintable():
            raise NoAnswer("the token is none")
        self._token = token
