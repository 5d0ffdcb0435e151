"""A broker's URL: what is accepted, redis-py and Celery understand alike; what is refused is
refused in words that hold nothing of a password."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from kombu import Connection
from redis.connection import parse_url

from common.broker import Broker, read_url
from common.config import FarmConfig
from common.dispatch import celery_app
from common.errors import BrokerRefused
from tests.support.servers import Valkey

SECRET = "h;u:s@h"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "is no broker's URL"),
        ("host:6379", "is no broker's URL; did you mean redis://host:6379/0[?]"),
        ("host:6379/2", "is no broker's URL; did you mean redis://host:6379/2[?]"),
        ("redis:/host", "is no broker's URL; did you mean redis://host/0[?]"),
        ("rediss//host:7/1", "is no broker's URL; did you mean rediss://host:7/1[?]"),
        ('"redis://host"', "is no broker's URL; it begins with a quote"),
        ("s3://bucket/x", "that is a store, for GRIDFARM_STORE"),
        ("redis:/:pass/word@host", "is no broker's URL; GRIDFARM_BROKER is redis://"),
        ("pass/word", "is no broker's URL; GRIDFARM_BROKER is redis://"),
        ("redis://host:6379/0\n?", "is no broker's URL"),
        ("redis://:a\tb@host/0", "is no broker's URL"),
        ("http://host", "begins with neither redis:// nor rediss://"),
        ("unix:///run/redis.sock", "a socket.*write redis://127.0.0.1:6379/0"),
        ("redis+socket:///run/redis.sock?db=1", "a socket"),
        ("sentinel://host:26379", "Sentinel.*name the primary itself"),
        ("redis+sentinel://host:26379/mymaster/0", "Sentinel.*name the primary itself"),
        ("rediss+cluster://host", "a Redis Cluster.*one Redis or Valkey server"),
        ("redis://", "names no host"),
        ("redis:///0", "names no host"),
        ("redis://host:0/0", "names no host, or no port"),
        ("redis://host:65536/0", "names no host, or no port"),
        ("redis://host:six/0", "names no host, or no port"),
        ("redis://[::1/0", "names no host"),
        ("redis://[1:2]/0", "names no host"),
        ("redis://one,two:6379/0", "names no host"),
        ("redis://one;redis://two/0", "names no host"),
        ("redis://h/x", "something else than a database's number"),
        ("redis://h/1/2", "something else than a database's number"),
        ("redis://h/-1", "something else than a database's number"),
        ("redis://h/0#1", "has a # in it"),
        ("redis://:pass/word@host:6379/0", "has a password with / [?] or # in it"),
        ("redis://:pass?word@host:6379/0", "has a password with / [?] or # in it"),
        ("redis://:%ff@host/0", "no text in UTF-8"),
        ("redis://:a\udcffb@host/0", "is no broker's URL"),
        ("redis://host/0?db=3", "has the option 'db'"),
        ("redis://host/0?ssl_ca_certs=/dev/null", "has the option 'ssl_ca_certs'.*rediss://"),
        ("rediss://host/0?ssl_colour=red", "has the option 'ssl_colour'"),
        ("rediss://host/0?ssl_cert_reqs=none&ssl_cert_reqs=none", "'ssl_cert_reqs' twice"),
        ("rediss://host/0?ssl_cert_reqs=maybe", "required, optional, none"),
        ("rediss://host/0?ssl_ca_certs=/no/ca.pem", "'/no/ca.pem', and there is no such file"),
        ("rediss://host/0?ssl_ca_certs=", "there is no such file"),
    ],
)
def test_what_cannot_be_meant_is_refused(url: str, reason: str) -> None:
    """Whoever asks: the client, the ledger, Celery."""
    for asked in (read_url, celery_app, lambda text: Broker(text).ping()):
        with pytest.raises(BrokerRefused) as refused:
            asked(url)
        said = f"{refused.value.message}; {refused.value.hint}"
        assert re.search(reason, said), said
        assert "pass/" not in said and "?word" not in said


@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("redis://host", "redis://host:6379/0"),
        (" REDIS://Host:7/\n", "redis://host:7/0"),
        ("valkey://host", "redis://host:6379/0"),
        ("valkeys://host", "rediss://host:6379/0"),
        ("redis://[::1]:6379/3", "redis://[::1]:6379/3"),
        ("redis://user@host/1", "redis://user:@host:6379/1"),
        ("redis://:a;b[c%2Fd@e%zz@host/0", "redis://:a%3Bb%5Bc%2Fd%40e%25zz@host:6379/0"),
        ("redis://u%3Av:p:w@my_host.a-b:1/0", "redis://u%3Av:p%3Aw@my_host.a-b:1/0"),
        ("rediss://h/0?ssl_cert_reqs=None", "rediss://h:6379/0?ssl_cert_reqs=none"),
    ],
)
def test_the_one_form(url: str, form: str) -> None:
    assert read_url(url).url == form


def test_what_is_shown_of_it() -> None:
    url = f"rediss://user:{quote(SECRET, safe='')}@host:7/2?ssl_cert_reqs=none"
    shown = (read_url(url), Broker(url).place, FarmConfig(broker=url))
    assert read_url(url).place == "rediss://host:7/2"
    assert not any(secret in f"{shown!r}" for secret in (SECRET, quote(SECRET, safe=""), "user:"))
    assert Broker("redis://:h/u@s/h").place == "redis://?"


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(user=TEXTS, password=TEXTS, raw=st.booleans(), database=st.integers(0, 99))
@settings(max_examples=300, deadline=None)
def test_redis_py_and_kombu_read_the_same(
    user: str, password: str, raw: bool, database: int
) -> None:
    """Host, port, database, user and password, escaped or as somebody types them; and kombu
    knows of no second broker. What is refused is so without its password."""
    login = f"{user}:{password}" if raw else f"{quote(user, safe='')}:{quote(password, safe='')}"
    try:
        url = read_url(f"redis://{login}@host.example:7/{database}").url
    except BrokerRefused as refused:
        assert raw
        said = refused.message + refused.hint
        assert len(password) < 5 or password not in said
        return
    kombu, read = Connection(url), parse_url(url)
    both = {
        (kombu.hostname, kombu.port, int(kombu.virtual_host), kombu.userid, kombu.password),
        (*(read.get(name) for name in ("host", "port", "db", "username", "password")),),
    }
    if raw:
        user, _, password = (unquote(part) for part in login.partition(":"))
    assert both == {("host.example", 7, database, user or None, password or None)}
    assert kombu.alt == [] or kombu.alt == [url]


@pytest.mark.integration
@given(password=TEXTS.filter(bool), user=st.sampled_from(["default-2", "a;b@c", "ö/%2F"]))
@settings(max_examples=40, deadline=None)
def test_both_log_in(valkey_server: Valkey, password: str, user: str) -> None:
    """To a real server, as the same user and into the same database."""
    assume("\0" not in password)
    with Broker(valkey_server.url).redis as admin:
        rights = ("reset", "on", f">{password}", "~*", "+@all")
        admin.execute_command("ACL", "SETUSER", user, *rights)
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@"
    url = f"redis://{login}127.0.0.1:{valkey_server.port}/3"
    app = celery_app(url)
    with Broker(url).redis as ours, app.connection() as theirs:
        for client in (ours, theirs.default_channel.client):
            info = client.client_info()
            assert (info["user"], info["db"]) == (user, 3)
        assert ":**@" in theirs.as_uri()
    with Broker(valkey_server.url).redis as admin:
        admin.acl_deluser(user)


def test_celery_obeys_no_other_programs_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"):
        monkeypatch.setenv(name, "redis://elsewhere:1/7")
    app = celery_app("redis://host:2/3")
    for made in (app.connection(), app.connection_for_read(), app.connection_for_write()):
        assert (made.hostname, made.port) == ("host", 2)


def test_a_file_of_tls_reaches_both(tmp_path: Path) -> None:
    """However strange its name."""
    ca = tmp_path / "a;b &c=d.pem"
    ca.touch()
    url = f"rediss://host/0?ssl_ca_certs={quote(str(ca))}&ssl_check_hostname=False"
    read, kombu = parse_url(read_url(url).url), celery_app(url).connection()
    assert (read["ssl_ca_certs"], read["ssl_check_hostname"]) == (str(ca), False)
    assert kombu.ssl == {"ssl_ca_certs": str(ca), "ssl_check_hostname": False}
