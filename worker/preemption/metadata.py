"""HTTP to a cloud's metadata server, which knows when this machine will be taken away.

It is asked over plain HTTP on a link-local address (`METADATA_URL`), past any proxy. What it
answers is input like any other: at most `MOST_BYTES` of it are read, and nonsense is no answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

METADATA_URL = "http://169.254.169.254"
TIMEOUT_S = 5.0
#: Of the questions that find out which cloud this is; outside of clouds nobody answers them.
DETECT_TIMEOUT_S = 1.0
#: Each poll is one request to a server on this very host; the clouds allow several a second.
POLL_S = 0.5
MOST_BYTES = 1 << 20


class NoAnswer(Exception):
    """The metadata server gave none, or one that makes no sense."""


@dataclass(frozen=True)
class Answer:
    """`headers` have their names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: str

    def check(self) -> None:
        """Raises NoAnswer for any status but 2xx."""
        if not 200 <= self.status < 300:
            raise NoAnswer(f"the metadata server answers {self.status}")

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object. Raises NoAnswer for anything else."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise NoAnswer(f"no JSON: {self.body[:40]!r}") from error
        if not isinstance(value, dict):
            raise NoAnswer(f"no JSON object: {self.body[:40]!r}")
        return value


@dataclass
class Metadata:
    """The metadata server at `url`; `poll_s` are the seconds between two polls of it."""

    url: str = METADATA_URL
    timeout_s: float = TIMEOUT_S
    detect_timeout_s: float = DETECT_TIMEOUT_S
    poll_s: float = POLL_S

    def ask(
        self,
        path: str,
        headers: dict[str, str],
        *,
        method: str = "GET",
        timeout_s: float | None = None,
    ) -> Answer:
        """Wait `timeout_s` for an answer, by default the server's own. Raises NoAnswer where
        nothing comes, and for a status that is neither 2xx nor 4xx."""
        request = Request(self.url.rstrip("/") + path, headers=headers, method=method)
        timeout_s = self.timeout_s if timeout_s is None else timeout_s
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


def seconds_until(moment: object, *, most: float) -> float:
    """Until `2017-09-18T08:22:00Z` or `Mon, 19 Sep 2016 18:29:47 GMT`, from 0 to `most`: this
    machine's clock may be off. 0 where no time is given, as of what has begun."""
    if not isinstance(moment, str):
        return 0.0
    parse = datetime.fromisoformat if moment[:1].isdigit() else parsedate_to_datetime
    try:
        when = parse(moment)
        seconds = (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError):
        return 0.0
    return max(0.0, min(seconds, most))


def _answer(status: int, response: Any) -> Answer:
    body = response.read(MOST_BYTES).decode("utf-8", errors="replace")
    return Answer(status, {k.lower(): v for k, v in response.headers.items()}, body)
