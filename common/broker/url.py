"""What a broker's URL may be."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from common.errors import BrokerRefused


def check_url(url: str, place: str) -> None:
    """Raises BrokerRefused for what redis-py and Celery would not read alike."""
    parts = urlsplit(url)
    if "@" in parts.path + parts.query + parts.fragment:
        raise BrokerRefused(
            f"the broker's URL {place!r} has a password with / ? or # in it",
            hint="write these as %2F, %3F and %23",
        )
    options = parse_qs(parts.query)
    for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        if name in options and not Path(options[name][0]).is_file():
            raise BrokerRefused(
                f"the broker's URL names the {name} {options[name][0]!r}, and there is no such file"
            )
    wrong = [name for name in options if not name.startswith("ssl_")]
    if wrong:
        raise BrokerRefused(
            f"the broker's URL {place!r} has the option {wrong[0]!r}",
            hint="write redis://user:password@host:6379/0; its options are those of TLS",
        )
