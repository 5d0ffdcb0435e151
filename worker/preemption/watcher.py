"""The clouds' notices that this machine will be taken away, as one signal: a Notice.

    AWS    spot interruption, 2 minutes ahead; IMDSv2: a token by PUT, then GET
           /latest/meta-data/spot/instance-action: 404, or {"action": …, "time": …}.
           A rebalance recommendation says that the risk has grown, not that the machine goes,
           perhaps never; it is only logged, since two minutes are enough for what is under way.
    GCP    30 seconds; /computeMetadata/v1/instance/preempted?wait_for_change=true: TRUE
    Azure  30 seconds or more; /metadata/scheduledevents, EventType Preempt or Terminate, for
           this machine's name: a scale set's events are shown to all of it.

Each is asked over plain HTTP on a link-local address (`METADATA_URL`), past any proxy. What a
metadata server answers is input like any other: nonsense is asked for again.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, get_args
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

log = logging.getLogger(__name__)

METADATA_URL = "http://169.254.169.254"
Cloud = Literal["aws", "gcp", "azure"]
CLOUDS: tuple[str, ...] = get_args(Cloud)

DETECT_TIMEOUT_S = 1.0
#: A metadata server may come up after the worker; a cloud is not looked for longer.
DETECT_AGAIN_AFTER_S = (5, 30, 120)
TIMEOUT_S = 5.0
#: Each look is one request to a server on this very host; the clouds allow several a second.
POLL_S = 0.5
REBALANCE_EVERY = 20
#: How long GCP's server is asked to wait for a change, and how late its answer may be.
GCP_WAIT_S, GCP_PATIENCE_S = 60, 5
TOKEN_TTL_S = 21_600
AGAIN_AFTER_S = (0.5, 1, 2, 5, 10)
MOST_BYTES = 1 << 20

#: What is left after SIGTERM unless told otherwise, less what a last step and the hand-back need:
#: 90 s by systemd, 15 s by GKE's spot nodes for ordinary pods, whatever these ask for.
GRACE_S, POD_GRACE_S = 80.0, 12.0
AWS_NOTICE_S, GCP_NOTICE_S, AZURE_NOTICE_S = 120.0, 30.0, 30.0
AZURE_EVENTS = ("Preempt", "Terminate")
AZURE_NAME = "/metadata/instance/compute/name?api-version=2021-02-01&format=text"
AZURE_SCHEDULED = "/metadata/scheduledevents?api-version=2020-07-01"


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


class NoAnswer(Exception):
    """The metadata server gave none, or one that makes no sense."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: str


@dataclass
class Metadata:
    """HTTP to a cloud's metadata server."""

    url: str = METADATA_URL

    def ask(
        self, path: str, headers: dict[str, str], *, method: str = "GET", timeout_s: float
    ) -> Answer:
        """Raises NoAnswer where nothing comes, and for a status that is neither 2xx nor 4xx."""
        request = Request(self.url.rstrip("/") + path, headers=headers, method=method)
        try:
            with build_opener(ProxyHandler({})).open(request, timeout=timeout_s) as response:
                return _answer(response.status, response)
        except HTTPError as error:
            if 400 <= error.code < 500:
                return Answer(error.code, {}, "")
            raise NoAnswer(f"{path} answers {error.code}") from error
        except (OSError, ValueError) as error:
            raise NoAnswer(f"{path}: {error}") from error
        except Exception as error:  # http.client's own tree: what is no HTTP at all
            raise NoAnswer(f"{path} answers nonsense: {error}") from error


def _answer(status: int, response: Any) -> Answer:
    body = response.read(MOST_BYTES).decode("utf-8", errors="replace")
    return Answer(status, {k.lower(): v for k, v in response.headers.items()}, body)


@dataclass
class Aws:
    metadata: Metadata
    name: str = "AWS"
    pause_s: float = field(default_factory=lambda: POLL_S)
    _token: str = ""
    _looks: int = 0
    _recommended: bool = False

    def here(self) -> bool:
        self._renew_token(DETECT_TIMEOUT_S)
        return bool(self._token)

    def look(self) -> Notice | None:
        if not self._recommended and self._looks % REBALANCE_EVERY == 0:
            self._look_for_rebalance()
        self._looks += 1
        answer = self._get("/latest/meta-data/spot/instance-action")
        if answer.status == 404:
            return None
        _expect(answer)
        said = _object(answer.body)
        action = said.get("action")
        if not isinstance(action, str):
            raise NoAnswer("an instance-action without an action")
        seconds = _seconds_until(said.get("time"), most=AWS_NOTICE_S)
        return Notice.within(seconds, f"AWS will {action[:20]} this machine")

    def _look_for_rebalance(self) -> None:
        if self._get("/latest/meta-data/events/recommendations/rebalance").status == 200:
            self._recommended = True
            log.warning("AWS recommends to rebalance: this machine may be taken soon")

    def _get(self, path: str) -> Answer:
        if not self._token:
            self._renew_token(TIMEOUT_S)
        answer = self._get_with_token(path)
        if answer.status == 401:  # the token has run out
            self._renew_token(TIMEOUT_S)
            answer = self._get_with_token(path)
        return answer

    def _get_with_token(self, path: str) -> Answer:
        headers = {"X-aws-ec2-metadata-token": self._token}
        return self.metadata.ask(path, headers, timeout_s=TIMEOUT_S)

    def _renew_token(self, timeout_s: float) -> None:
        self._token = ""
        answer = self.metadata.ask(
            "/latest/api/token",
            {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_TTL_S)},
            method="PUT",
            timeout_s=timeout_s,
        )
        _expect(answer)
        token = answer.body.strip()
        if not token.isascii() or not token.isprintable():
            raise NoAnswer("the token is none")
        self._token = token


@dataclass
class Gcp:
    metadata: Metadata
    name: str = "GCP"
    pause_s: float = 0.0
    _etag: str = "0"

    def here(self) -> bool:
        answer = self._get("/computeMetadata/v1/instance/id", DETECT_TIMEOUT_S)
        return answer.status == 200 and answer.headers.get("metadata-flavor") == "Google"

    def look(self) -> Notice | None:
        """Waits for a change of what was seen last, on the server's side."""
        began = time.monotonic()
        waits = f"wait_for_change=true&timeout_sec={GCP_WAIT_S}&last_etag={self._etag}"
        answer = self._get(
            f"/computeMetadata/v1/instance/preempted?{waits}", GCP_WAIT_S + GCP_PATIENCE_S
        )
        _expect(answer)
        etag = answer.headers.get("etag", "")
        self._etag = etag if etag.isalnum() else "0"
        # A server that does not wait is not asked in a hot loop.
        self.pause_s = 0.0 if time.monotonic() - began > POLL_S else POLL_S
        if answer.body.strip() == "TRUE":
            return Notice.within(GCP_NOTICE_S, "GCP preempts this machine")
        if answer.body.strip() != "FALSE":
            raise NoAnswer(f"instance/preempted is {answer.body[:40]!r}")
        return None

    def _get(self, path: str, timeout_s: float) -> Answer:
        return self.metadata.ask(path, {"Metadata-Flavor": "Google"}, timeout_s=timeout_s)


@dataclass
class Azure:
    metadata: Metadata
    name: str = "Azure"
    pause_s: float = field(default_factory=lambda: POLL_S)
    _machine: str = ""

    def here(self) -> bool:
        answer = self._get(AZURE_NAME, DETECT_TIMEOUT_S)
        self._machine = answer.body.strip() if answer.status == 200 else ""
        return bool(self._machine)

    def look(self) -> Notice | None:
        if not self._machine:  # told to be on Azure, and not detected
            self.here()
        answer = self._get(AZURE_SCHEDULED, TIMEOUT_S)
        _expect(answer)
        events = _object(answer.body).get("Events")
        for event in events if isinstance(events, list) else []:
            if isinstance(event, dict) and self._is_ours(event):
                seconds = _seconds_until(event.get("NotBefore"), most=AZURE_NOTICE_S)
                return Notice.within(seconds, f"Azure: {event['EventType']} of this machine")
        return None

    def _is_ours(self, event: dict[str, Any]) -> bool:
        resources = event.get("Resources")
        named = isinstance(resources, list) and (self._machine in resources or not self._machine)
        return event.get("EventType") in AZURE_EVENTS and named

    def _get(self, path: str, timeout_s: float) -> Answer:
        return self.metadata.ask(path, {"Metadata": "true"}, timeout_s=timeout_s)


Source = Aws | Gcp | Azure
SOURCES: dict[str, type[Aws] | type[Gcp] | type[Azure]] = {"aws": Aws, "gcp": Gcp, "azure": Azure}


def _expect(answer: Answer) -> None:
    if not 200 <= answer.status < 300:
        raise NoAnswer(f"the metadata server answers {answer.status}")


def _object(body: str) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise NoAnswer(f"no JSON: {body[:40]!r}") from error
    if not isinstance(found, dict):
        raise NoAnswer(f"no JSON object: {body[:40]!r}")
    return found


def _seconds_until(when: object, *, most: float) -> float:
    """Of `2017-09-18T08:22:00Z` or `Mon, 19 Sep 2016 18:29:47 GMT`, from 0 to `most`: this
    machine's clock may be off. None left where no time is given, as of what has begun."""
    if not isinstance(when, str):
        return 0.0
    try:
        moment = datetime.fromisoformat(when) if when[:1].isdigit() else parsedate_to_datetime(when)
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError):
        return 0.0
    return max(0.0, min(seconds, most))


@dataclass
class Watcher:
    """Looks for a notice in a thread of its own. `cloud` is one of CLOUDS, or `auto`: then the
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
        source = self._find() if self.cloud == "auto" else SOURCES[self.cloud](self.metadata)
        if source is None:
            return
        log.info("watching for %s's notices that this machine will be taken", source.name)
        if notice := self._wait_for(source):
            on_notice(notice)

    def _find(self) -> Source | None:
        for pause in (*DETECT_AGAIN_AFTER_S, None):
            for kind in SOURCES.values():
                source = kind(self.metadata)
                if _is_here(source):
                    return source
            if pause is None or self._closing.wait(pause):
                break
        return None

    def _wait_for(self, source: Source) -> Notice | None:
        misses = 0
        while not self._closing.is_set():
            try:
                if notice := source.look():
                    return notice
                misses, pause = 0, source.pause_s
            except NoAnswer as error:
                if misses == 0:
                    log.warning("%s's metadata server: %s; asking again", source.name, error)
                pause = AGAIN_AFTER_S[min(misses, len(AGAIN_AFTER_S) - 1)]
                misses += 1
            self._closing.wait(pause)
        return None


def _is_here(source: Source) -> bool:
    try:
        return source.here()
    except NoAnswer:
        return False
