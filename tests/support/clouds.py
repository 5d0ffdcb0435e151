"""A stub of the clouds' metadata servers, speaking their protocols on loopback.

with CloudStub("aws") as cloud:         # cloud.url for --metadata-url
    cloud.take_away(seconds=120)        # from now on the machine is to be taken
    cloud.trouble = "503"               # or "hang", "nonsense", "reset": instead of answers
"""

from __future__ import annotations

import json
import queue
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from worker.preemption import Metadata, Notice, NoticeWatcher

MACHINE = "farm_3"

#: Where each cloud says that a machine will be taken.
NOTICE_AT = {
    "aws": "instance-action",
    "gcp": "instance/preempted",
    "azure": "scheduledevents",
}


def impatient_metadata(url: str) -> Metadata:
    """Half-second timeouts and quick polls."""
    return Metadata(url, timeout_s=0.5, detect_timeout_s=0.5, poll_s=0.05)


class CloudStub:
    """`cloud` is aws, gcp or azure: paths and headers of the others are refused with 404."""

    def __init__(self, cloud: str) -> None:
        self.cloud = cloud
        self.trouble = ""
        # AWS: the only valid token. Raise it and the one that was given has run out.
        self.token = 0
        self.rebalance = False
        # Azure: whom the event is for.
        self.machines = [MACHINE]
        self.event_type = "Preempt"
        self.requests: list[str] = []
        # What to answer in place of the notice.
        self.body: str | None = None
        self._goes_at: datetime | None = None
        self._changed = threading.Condition()
        self._closing = threading.Event()
        stub = self

        class Handler(_Handler):
            cloud = stub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def take_away(self, seconds: float) -> None:
        with self._changed:
            self._goes_at = datetime.now(UTC) + timedelta(seconds=seconds)
            self._changed.notify_all()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, headers: Any) -> tuple[int, str, dict[str, str]]:
        """Status, body and headers."""
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        found = getattr(self, f"_{self.cloud}")(method, parts.path, query, headers)
        return found or (404, "", {})

    def _aws(self, method: str, path: str, _: dict[str, str], headers: Any) -> Any:
        if (method, path) == ("PUT", "/latest/api/token"):
            ttl = headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
            return (200, f"token-{self.token}", {}) if ttl.isdigit() else (400, "", {})
        if headers.get("X-aws-ec2-metadata-token") != f"token-{self.token}":
            return 401, "", {}
        if path == "/latest/meta-data/events/recommendations/rebalance" and self.rebalance:
            return 200, json.dumps({"noticeTime": "2020-10-27T08:22:00Z"}), {}
        if path == "/latest/meta-data/spot/instance-action" and self._goes_at:
            when = self._goes_at.strftime("%Y-%m-%dT%H:%M:%SZ")
            return 200, self.body or json.dumps({"action": "terminate", "time": when}), {}
        return None

    def _gcp(self, _: str, path: str, query: dict[str, str], headers: Any) -> Any:
        if headers.get("Metadata-Flavor") != "Google":
            return 403, "", {}
        marked = {"Metadata-Flavor": "Google"}
        if path == "/computeMetadata/v1/instance/id":
            return 200, "4711", marked
        if path != "/computeMetadata/v1/instance/preempted":
            return None
        known = query.get("last_etag", self._etag)  # as the real one: from now on
        if query.get("wait_for_change") == "true" and known == self._etag:
            self._wait(known, float(query.get("timeout_sec", "3600")))
        value = self.body or ("TRUE" if self._goes_at else "FALSE")
        return 200, value, marked | {"ETag": self._etag}

    @property
    def _etag(self) -> str:
        return "b2" if self._goes_at else "a1"

    def _wait(self, known: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        with self._changed:
            while known == self._etag and not self._closing.is_set():
                if not self._changed.wait(deadline - time.monotonic()):
                    return

    def _azure(self, _: str, path: str, query: dict[str, str], headers: Any) -> Any:
        if headers.get("Metadata") != "true" or "api-version" not in query:
            return 400, "", {}
        if path == "/metadata/instance/compute/name":
            return 200, MACHINE, {}
        if path != "/metadata/scheduledevents":
            return None
        return (
            200,
            self.body or json.dumps({"DocumentIncarnation": 1, "Events": self._events()}),
            {},
        )

    def _events(self) -> list[dict[str, Any]]:
        if not self._goes_at:
            return []
        event = {
            "EventId": "f020ba2e-3bc0-4c40-a10b-86575a9eabd5",
            "EventType": self.event_type,
            "ResourceType": "VirtualMachine",
            "Resources": self.machines,
            "EventStatus": "Scheduled",
            "NotBefore": format_datetime(self._goes_at, usegmt=True),
        }
        return [event]

    def in_trouble(self, handler: BaseHTTPRequestHandler) -> bool:
        """Do what `trouble` says in place of an answer."""
        if self.trouble == "hang":
            self._closing.wait()
        elif self.trouble == "nonsense":
            handler.wfile.write(b"\x00\xff not HTTP at all\r\n\r\n")
        elif self.trouble == "reset":
            handler.connection.close()
        elif self.trouble:
            handler.send_response(int(self.trouble))
            handler.send_header("Content-Length", "0")
            handler.end_headers()
        return bool(self.trouble)


class _Handler(BaseHTTPRequestHandler):
    cloud: CloudStub

    def do_GET(self) -> None:
        self.cloud.requests.append(f"{self.command} {self.path}")
        if self.cloud.in_trouble(self):
            return
        status, body, headers = self.cloud.answer(self.command, self.path, self.headers)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    do_PUT = do_GET  # noqa: N815

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ValueError):
            self.close_connection = True

    def log_message(self, *_: object) -> None: ...


class Watching:
    """A watcher on a stub; `notice` waits for what it reports."""

    def __init__(self, stub: CloudStub, cloud: str = "auto") -> None:
        self._heard: queue.Queue[Notice] = queue.Queue()
        self.watcher = NoticeWatcher(cloud, impatient_metadata(stub.url))
        self.watcher.start(self._heard.put)

    def notice(self, seconds: float = 20) -> Notice:
        return self._heard.get(timeout=seconds)

    @property
    def silent(self) -> bool:
        return self._heard.empty()


def asked(stub: CloudStub, path: str, times: int = 1) -> None:
    """Wait until the stub was asked for a path so often."""
    deadline = time.monotonic() + 20
    while sum(path in request for request in stub.requests) < times:
        assert time.monotonic() < deadline, stub.requests
        time.sleep(0.01)
