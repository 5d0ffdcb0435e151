"""An S3 server in trouble: an HTTP proxy on loopback in front of a healthy one.

with TroubledS3(s3.port) as trouble:
    os.environ["AWS_ENDPOINT_URL_S3"] = trouble.url
    trouble.begin("503", every=3)      # a third of all requests
    trouble.begin("read-only")         # all that would change something
    trouble.end()

Requests are passed on as they came, so signatures are checked by the server behind it.
"""

from __future__ import annotations

import http.client
import itertools
import socket
import struct
import threading
from collections import Counter
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from botocore.config import Config

#: The product asks five times, with pauses that grow.
IMPATIENT = Config(retries={"mode": "standard", "total_max_attempts": 2})
#: Python that makes a worker's process so.
BECOME_IMPATIENT = (
    "from common.store import s3; from tests.support.troubled_s3 import IMPATIENT; "
    "s3.CONFIG = s3.CONFIG.merge(IMPATIENT)"
)
RESET = struct.pack("ii", 1, 0)  # SO_LINGER for 0 seconds: close() sends a RST
ANSWERS = {
    "503": (503, "SlowDown"),
    "500": (500, "InternalError"),
    "read-only": (403, "AccessDenied"),
    "full": (507, "XMinioStorageFull"),
    "wrong key": (403, "InvalidAccessKeyId"),
    "forbidden": (403, "AccessDenied"),
    "cold": (403, "InvalidObjectState"),
}
CHANGES = ("PUT", "POST", "DELETE")
HOP_BY_HOP = ("transfer-encoding", "connection", "date", "server")


class TroubledS3:
    """What it does to a request: `503` and `500` answer so; `reset` cuts the connection, half of
    the time after the server has done what was asked; `stall` never answers; `read-only` and
    `full` refuse changes; `wrong key` and `forbidden` refuse all; `cold` is what archive storage
    says; `portal` answers with a web page and 200, `web server` with an ETag too."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.trouble = ""
        self.every = 1
        self.only = ""
        self.hit = 0
        self.seen: Counter[str] = Counter()
        self._count = itertools.count(1)
        self._ended = threading.Event()
        troubled = self

        class Handler(_Handler):
            server_in_trouble = troubled

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def begin(self, trouble: str, *, every: int = 1, only: str = "") -> None:
        """From now on, in every so-manieth request; `only` in those with this in their path."""
        self._ended.clear()
        self.every, self.only, self.trouble = every, only, trouble

    def end(self) -> None:
        self.trouble = ""
        self._ended.set()

    def strikes(self, method: str, path: str) -> str:
        """What goes wrong with this request, "" for nothing."""
        self.seen[method] += 1
        spared = self.trouble in ("read-only", "full") and method not in CHANGES
        spared = spared or self.only not in path
        if not self.trouble or spared or next(self._count) % self.every:
            return ""
        self.hit += 1
        return self.trouble

    def stall(self) -> None:
        self._ended.wait()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server_in_trouble: TroubledS3
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        trouble = self.server_in_trouble.strikes(self.command, self.path)
        if trouble == "stall":
            self.server_in_trouble.stall()
        if trouble in ("reset", "stall"):
            self._reset(body)
        elif trouble == "portal":
            self._send(200, {"Content-Type": "text/html"}, b"<html>Welcome to our Wi-Fi</html>")
        elif trouble == "web server":
            headers = {"Content-Type": "text/html", "ETag": '"5d41402abc4b2a76b9719d911017c592"'}
            self._send(200, headers, b"<html>It works!</html>")
        elif trouble:
            status, code = ANSWERS[trouble]
            self._send(status, {}, f"<Error><Code>{code}</Code></Error>".encode())
        else:
            self._send(*self._pass_on(body))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

    def _pass_on(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        server = http.client.HTTPConnection("127.0.0.1", self.server_in_trouble.target, timeout=30)
        server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name != "Expect":
                server.putheader(name, value)
        server.endheaders(body)
        with closing(server), server.getresponse() as answer:
            headers = {n: v for n, v in answer.getheaders() if n.lower() not in HOP_BY_HOP}
            return answer.status, headers, answer.read()

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "content-length" not in {name.lower() for name in headers} and status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _reset(self, body: bytes) -> None:
        """At once, or when the server has done what was asked; a GET breaks off in the middle."""
        if self.server_in_trouble.hit % 2:
            status, headers, data = self._pass_on(body)
            if self.command == "GET":
                headers["Content-Length"] = str(len(data))
                self._send(status, headers, data[: len(data) // 2])
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.connection.close()
        self.close_connection = True

    def handle(self) -> None:
        with suppress(OSError, ValueError):
            super().handle()

    def finish(self) -> None:
        with suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *_: object) -> None: ...
