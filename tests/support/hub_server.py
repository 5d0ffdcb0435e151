"""A server on this machine that speaks the Hugging Face hub's protocol, as far as models need it.

GET  /api/models/<id>/tree/<commit>         the files with their sizes
GET  /api/models/<id>/revision/<commit>     their names
HEAD /<id>/resolve/<commit>/<file>          a file's commit, ETag and size
GET  the same                               its bytes, all or from an offset on
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

LIST = re.compile(r"/api/models/([\w.-]+/[\w.-]+)/(tree|revision)/(\w+)")
FILE = re.compile(r"/([\w.-]+/[\w.-]+)/resolve/(\w+)/(.+)")

Files = dict[str, bytes]


@dataclass
class Hub:
    """`repositories` are files by `owner/name@commit`; `sent` is what was downloaded, in order.
    `gated` files are not given away."""

    repositories: dict[str, Files]
    url: str = ""
    sent: list[str] = field(default_factory=list)
    requests: int = 0
    gated: bool = False


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, hub: Hub, *args: Any) -> None:
        self.hub = hub
        super().__init__(*args)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.hub.requests += 1
        path = self.path.split("?")[0]
        if files := LIST.fullmatch(path):
            self._list(f"{files[1]}@{files[3]}", names_only=files[2] == "revision")
        elif file := FILE.fullmatch(path):
            self._file(f"{file[1]}@{file[2]}", file[3])
        else:
            self._answer(404, b"{}", {})

    def _list(self, name: str, *, names_only: bool) -> None:
        files = self.hub.repositories.get(name)
        if files is None:
            self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            return
        answer: Any = [
            {"type": "file", "path": path, "size": len(data), "oid": _oid(data)}
            for path, data in files.items()
        ]
        if names_only:
            siblings = [{"rfilename": path} for path in files]
            hub_id, _, commit = name.partition("@")
            answer = {"id": hub_id, "sha": commit, "siblings": siblings}
        self._answer(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _file(self, name: str, path: str) -> None:
        if self.hub.gated:
            self._answer(403, b"{}", {"X-Error-Code": "GatedRepo"})
            return
        data = self.hub.repositories.get(name, {}).get(path)
        if data is None:
            self._answer(404, b"{}", {"X-Error-Code": "EntryNotFound"})
            return
        headers = {"ETag": f'"{_oid(data)}"', "X-Repo-Commit": name.partition("@")[2]}
        start = int(re.sub(r"\D", "", self.headers.get("Range", "")) or 0)
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        if self.command == "GET":
            self.hub.sent.append(path)
        self._answer(206 if start else 200, data[start:], headers)

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            with suppress(OSError):  # the client may have had enough
                self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


def _oid(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


def files_of(folder: Path) -> Files:
    """A folder as a repository's files."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@contextmanager
def connected(
    repositories: dict[str, Files], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hub]:
    """The hub, and huggingface_hub in this process talking to it with an empty `cache`."""
    from huggingface_hub import constants, hf_api

    with serving(repositories) as hub:
        resolve = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", resolve)
        monkeypatch.setattr(hf_api.api, "endpoint", hub.url)
        yield hub


@contextmanager
def serving(repositories: dict[str, Files]) -> Iterator[Hub]:
    hub = Hub(repositories)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, hub))
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield hub
    server.shutdown()
    server.server_close()
