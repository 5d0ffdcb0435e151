"""How a metadata server is asked."""

from __future__ import annotations

import pytest

from tests.support.clouds import CloudStub
from worker.preemption.metadata import seconds_until


def test_no_proxy_is_asked(watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A metadata server is on this very host; a proxy would answer for its own."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with CloudStub("gcp") as stub:
        stub.take_away(seconds=25)
        assert watch(stub).notice().left_s > 0


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [
        ("2017-09-18T08:22:00Z", 0),
        ("Mon, 19 Sep 2016 18:29:47 GMT", 0),
        ("2999-01-01T00:00:00Z", 30),
        ("Tue, 01 Jan 2999 00:00:00 GMT", 30),
        ("soon", 0),
        ("99", 0),
        (None, 0),
        (7, 0),
    ],
)
def test_a_time_is_a_span_from_0_to_the_most(moment: object, seconds: float) -> None:
    """In either cloud's notation; nonsense means now."""
    assert seconds_until(moment, most=30) == seconds
