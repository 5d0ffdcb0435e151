"""The register of workers: alive while the heartbeats come; nothing read there is believed."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from typing import Any

import pytest

from common.dispatch import Ledger, WorkerReport
from common.dispatch.workers import _read_report

REPORT = WorkerReport("w1", "m1", ("gridfarm.1.1",), 3, "cpu", "loading", "sdxl", 12.5, 3, 50)


@pytest.mark.integration
def test_a_worker_without_heartbeats_is_gone(broker: str) -> None:
    register, deadline = Ledger(broker).workers, time.monotonic() + 20
    register.heartbeat(REPORT, ttl_ms=40)
    assert register.alive() in ([REPORT], [])
    while register.alive():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    register.heartbeat(REPORT, ttl_ms=60_000)
    assert register.alive() == [REPORT]
    register.leave("w1")
    assert register.alive() == []


def test_what_a_later_version_adds_is_left_out() -> None:
    text = json.dumps(asdict(REPORT) | {"temperature": 71})
    assert _read_report(text.encode()) == REPORT


def test_what_an_earlier_version_did_not_say_is_none() -> None:
    earlier = {name: value for name, value in asdict(REPORT).items() if "step" not in name}
    assert _read_report(json.dumps(earlier).encode()) == replace(REPORT, step=0, steps=0)


@pytest.mark.parametrize(
    "change",
    [
        {"queues": None},
        {"threads": "3"},
        {"threads": True},
        {"lasts_s": "long"},
        {"step": "12"},
        {"steps": 50.0},
        {"name": 7},
        {"message": ["x"]},
    ],
    ids=str,
)
def test_a_report_that_is_none_is_left_out(change: dict[str, Any]) -> None:
    assert _read_report(json.dumps(asdict(REPORT) | change).encode()) is None


@pytest.mark.parametrize("text", [b"", b"null", b"[]", b"{}", b"\xff", b"[" * 100_000])
def test_what_is_no_report_is_left_out(text: bytes) -> None:
    assert _read_report(text) is None
