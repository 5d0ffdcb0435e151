"""A broker's URL, read once, for the ledger's client and for Celery's.

redis-py and kombu read the same URL in different ways (`redis://h/1/2` is database 12 to one and
none to the other; kombu cuts a URL at each `;`), and what they cannot read they quote, password
and all. So both get the URL that is made here, in which nothing can be read in two ways, and what
is refused is refused here, without a part of it in the message that could be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode

from common.errors import BrokerRefused
from common.text import without_password

FORM = "GRIDFARM_BROKER is redis://user:password@host:6379/0, or rediss:// for TLS"
PORT = 6379
#: A cluster spreads keys over its servers; a step of the ledger touches many at once.
ONE_SERVER = (
    "use one Redis or Valkey server that is no cluster (cluster_enabled:0; at a cloud's: "
    "cluster mode disabled); a farm needs little of it"
)
NO_SENTINEL = (
    "name the primary itself, redis://host:6379/0, by a host name or a proxy that follows "
    "a failover; the workers wait meanwhile"
)
NO_SOCKET = "a socket file serves one machine alone: write redis://127.0.0.1:6379/0"

#: Other schemes that Redis' clients know: what is wrong with each, and what to write.
_OTHER_SCHEMES = {
    **dict.fromkeys(("unix", "socket", "redis+socket", "redis-socket"), ("a socket", NO_SOCKET)),
    **{
        f"{name}sentinel": ("Sentinel", NO_SENTINEL)
        for name in ("", "redis+", "rediss+", "redis-", "rediss-")
    },
    **{
        f"{name}cluster": ("a Redis Cluster", ONE_SERVER)
        for name in ("redis+", "rediss+", "redis-", "rediss-")
    },
}
#: As Valkey's own clients write them.
_SAME = {"valkey": "redis", "valkeys": "rediss"}
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_CHOICES = {
    "ssl_cert_reqs": ("required", "optional", "none"),
    "ssl_check_hostname": ("true", "false"),
}
_PARTS = re.compile(
    r"(?P<scheme>[a-z+-]+)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)"
    r"(?P<query>\?[^#]*)?(?P<fragment>#.*)?",
    re.IGNORECASE | re.DOTALL,
)
_SERVER = re.compile(
    r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<host>[a-z0-9_.-]+))(?::(?P<port>\d{1,5}))?",
    re.IGNORECASE | re.ASCII,
)
#: `host:6379`, `redis:/host`, `redis//host`: a server, but for the two slashes before it. A word
#: alone might be a password.
_ALMOST = re.compile(
    r"(?:(?P<scheme>rediss?)(?::/{1,3}|//?)(?P<named>[a-z0-9_.-]+(?::\d{1,5})?)"
    r"|(?P<bare>[a-z0-9_.-]+:\d{1,5}))(?:/(?P<number>\d{0,9}))?",
    re.IGNORECASE | re.ASCII,
)
_DATABASE = re.compile(r"/?|/(?P<number>\d{1,9})", re.ASCII)


@dataclass(frozen=True)
class Address:
    """A broker's URL that is right. `url` is the form in which every client reads the same;
    `place` is what messages say: the URL without login and options."""

    url: str = field(repr=False)
    place: str


def read_url(url: str) -> Address:
    """Raises BrokerRefused, which never quotes what might be a secret."""
    text = url.strip()
    parts = _PARTS.fullmatch(text)
    if not parts or re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", text):
        raise BrokerRefused("the broker's URL is no broker's URL", hint=_meant(text))
    scheme = _scheme(parts["scheme"].lower())
    if "@" in parts["path"] + (parts["query"] or "") + (parts["fragment"] or ""):
        raise BrokerRefused(
            "the broker's URL has a password with / ? or # in it",
            hint="write these as %2F, %3F and %23",
        )
    login, _, server = parts["authority"].rpartition("@")
    where = f"{_server(server)}/{_database(parts['path'])}"
    if parts["fragment"]:
        raise BrokerRefused("the broker's URL has a # in it", hint=FORM)
    options = urlencode(dict(_options(scheme, (parts["query"] or "?")[1:])))
    canonical = f"{scheme}://{_login(login)}{where}" + (f"?{options}" if options else "")
    return Address(canonical, without_password(text))


def _meant(text: str) -> str:
    """What to write instead; of what may hold a password, nothing is said again."""
    if text[:1] in ("'", '"'):
        return f"it begins with a quote: a file of environment variables needs none; {FORM}"
    if text.lower().startswith("s3:"):
        return f"that is a store, for GRIDFARM_STORE; {FORM}"
    if found := _ALMOST.fullmatch(text):
        scheme, server = (found["scheme"] or "redis").lower(), found["named"] or found["bare"]
        return f"did you mean {scheme}://{server}/{found['number'] or 0}?"
    return FORM


def _scheme(scheme: str) -> str:
    if scheme in ("redis", "rediss"):
        return scheme
    if scheme in _SAME:
        return _SAME[scheme]
    if scheme in _OTHER_SCHEMES:
        what, hint = _OTHER_SCHEMES[scheme]
        raise BrokerRefused(f"the broker's URL, {scheme}://…, names {what}", hint=hint)
    raise BrokerRefused("the broker's URL begins with neither redis:// nor rediss://", hint=FORM)


def _login(login: str) -> str:
    """Every character that is more than a letter or a digit as %XX, so that each is a password's
    and none the URL's."""
    if not login:
        return ""
    user, _, password = login.partition(":")
    try:
        user, password = (
            quote(unquote(part, errors="strict"), safe="") for part in (user, password)
        )
    except UnicodeError:
        # The error would quote a part of it.
        raise BrokerRefused(
            "user or password in the broker's URL are no text in UTF-8", hint=FORM
        ) from None
    return f"{user}:{password}@"


def _server(server: str) -> str:
    found = _SERVER.fullmatch(server)
    port = int((found and found["port"]) or PORT)
    if not found or not 0 < port < 65536 or not _is_v6(found["v6"]):
        raise BrokerRefused(
            "the broker's URL names no host, or no port, that can be",
            hint=f"{FORM}; in user and password, write @ as %40",
        )
    host = f"[{found['v6']}]" if found["v6"] else found["host"]
    return f"{host.lower()}:{port}"


def _is_v6(text: str | None) -> bool:
    try:
        return text is None or bool(IPv6Address(text))
    except ValueError:
        return False


def _database(path: str) -> int:
    found = _DATABASE.fullmatch(path)
    if not found:
        raise BrokerRefused(
            "behind the host, the broker's URL has something else than a database's number",
            hint="redis://host:6379/0 is database 0",
        )
    return int(found["number"] or 0)


def _options(scheme: str, query: str) -> Iterator[tuple[str, str]]:
    seen = set()
    for name, value in parse_qsl(query, keep_blank_values=True):
        if scheme != "rediss" or name not in (*_FILES, *_CHOICES) or name in seen:
            shown = f" {name!r}" if re.fullmatch("[a-z_]{1,30}", name) else ""
            again = " twice" if name in seen else ""
            raise BrokerRefused(
                f"the broker's URL has the option{shown}{again}",
                hint=f"its options are those of TLS, behind rediss://: {', '.join(_FILES)}",
            )
        seen.add(name)
        yield name, _option(name, value)


def _option(name: str, value: str) -> str:
    if name in _FILES:
        if not Path(value).is_file():
            raise BrokerRefused(
                f"the broker's URL names the {name} {value!r}, and there is no such file"
            )
        return value
    if value.lower() not in _CHOICES[name]:
        raise BrokerRefused(
            f"the broker's URL has an {name} that is none",
            hint=f"{name} is one of {', '.join(_CHOICES[name])}",
        )
    return value.lower()
