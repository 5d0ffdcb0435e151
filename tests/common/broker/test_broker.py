"""The broker: what it refuses, what its errors mean, and what is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import exceptions

from common.broker import Broker
from common.errors import BrokerError, BrokerRefused, BrokerUnreachable
from tests.support.servers import free_port, valkey


@pytest.mark.integration
def test_a_refused_password_says_so_without_showing_it(tmp_path: Path) -> None:
    with valkey(tmp_path, password="right") as server:
        wrong = server.url.replace(":right@", ":wrong-secret@")
        with pytest.raises(BrokerRefused) as refused:
            Broker(wrong).ping()
    assert "wrong-secret" not in refused.value.message + refused.value.hint


def test_a_broker_that_is_down_is_named() -> None:
    port = free_port()
    with pytest.raises(BrokerUnreachable, match=f"127.0.0.1:{port}"):
        Broker(f"redis://127.0.0.1:{port}/0").ping()


@pytest.mark.integration
def test_what_is_asked_of_it(broker: str) -> None:
    server = Broker(broker)
    server.ping()
    server.probe()
    assert server.memory_policy() == "noeviction"


@pytest.mark.integration
def test_once_is_for_one_of_all_who_ask(broker: str) -> None:
    """Until its time is over, and for each name by itself."""
    first, second = Broker(broker), Broker(broker)
    assert first.once("snapshot:b-1", every_ms=60_000)
    assert not second.once("snapshot:b-1", every_ms=60_000)
    assert second.once("snapshot:b-2", every_ms=60_000)
    first.redis.delete("gridfarm:once:snapshot:b-1")
    assert second.once("snapshot:b-1", every_ms=60_000)


@pytest.mark.integration
def test_a_servers_clock_that_went_back_stops_nobody(broker: str) -> None:
    """It leaves a turn that would last an hour, as this one does."""
    asked = Broker(broker)
    asked.redis.set("gridfarm:once:reconcile", 1, px=3_600_000)
    assert asked.once("reconcile", every_ms=10_000)
    assert not asked.once("reconcile", every_ms=10_000)
    assert asked.redis.pttl("gridfarm:once:reconcile") <= 10_000


@pytest.mark.integration
def test_a_broker_that_is_shut_down_is_away(tmp_path: Path) -> None:
    with valkey(tmp_path) as server:
        broker = Broker(server.url)
        broker.shut_down()
        with pytest.raises(BrokerUnreachable):
            broker.ping()
        broker.shut_down()  # and again is no error


@pytest.mark.parametrize(
    ("error", "ours", "words"),
    [
        (exceptions.AuthenticationError("no"), BrokerRefused, "refuses the credentials"),
        (exceptions.NoPermissionError("no"), BrokerRefused, "refuses the credentials"),
        (exceptions.BusyLoadingError("no"), BrokerUnreachable, "still loading"),
        (exceptions.OutOfMemoryError("no"), BrokerRefused, "is full"),
        (exceptions.ReadOnlyError("no"), BrokerRefused, "read-only replica"),
        (exceptions.ConnectionError("no"), BrokerUnreachable, "cannot be reached"),
        (exceptions.TimeoutError("no"), BrokerUnreachable, "cannot be reached"),
        (OSError("no"), BrokerUnreachable, "cannot be reached"),
        (exceptions.MasterDownError("no"), BrokerRefused, "has lost its primary"),
        (exceptions.ClusterDownError("no"), BrokerRefused, "is a Redis Cluster"),
        (exceptions.MovedError("7 host:1"), BrokerRefused, "is a Redis Cluster"),
        (exceptions.ClusterCrossSlotError("no"), BrokerRefused, "is a Redis Cluster"),
        (exceptions.ResponseError("MISCONF no"), BrokerRefused, "cannot save to its disk"),
        (exceptions.ResponseError("NOREPLICAS no"), BrokerRefused, "too few replicas"),
        (exceptions.ResponseError("BUSY no"), BrokerUnreachable, "busy with somebody's long"),
        (exceptions.ResponseError("no"), BrokerError, "answered: no"),
        (exceptions.ResponseError("is MISCONF a word?"), BrokerError, "answered: is MISCONF"),
        (  # Redis 6, from a script
            exceptions.ResponseError(
                "Error running script (call to f_ab): @user_script:9: "
                "@user_script: 9: -OOM command not allowed"
            ),
            BrokerRefused,
            "is full",
        ),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, Exception) else "",
)
def test_each_error_keeps_its_meaning(
    error: Exception, ours: type[BrokerError], words: str
) -> None:
    with pytest.raises(ours, match=words) as raised, Broker("redis://:hush@host/0").errors():
        raise error
    assert type(raised.value) is ours
    assert "redis://host/0" in raised.value.message


def test_an_untrusted_certificate_is_told_how_to_trust_it() -> None:
    with pytest.raises(BrokerUnreachable) as raised, Broker("rediss://host/0").errors():
        raise exceptions.ConnectionError("[SSL: CERTIFICATE_VERIFY_FAILED]")
    assert "ssl_ca_certs" in raised.value.hint


def test_what_is_not_the_brokers_passes() -> None:
    with pytest.raises(KeyError), Broker("redis://host/0").errors():
        raise KeyError
