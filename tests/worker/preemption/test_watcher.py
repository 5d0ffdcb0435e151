"""The clouds' notices, against a stub server that speaks their protocols."""

from __future__ import annotations

import pytest

from tests.support.clouds import NOTICE_AT, CloudStub, asked, impatient_metadata
from worker.preemption import NoticeWatcher, gcp


def test_each_cloud_is_found_and_its_notice_heard(cloud: CloudStub, watch) -> None:
    """With the seconds that it leaves, at most what the cloud promises: clocks may be off."""
    watching = watch(cloud)
    asked(cloud, NOTICE_AT[cloud.cloud])
    assert watching.silent
    cloud.take_away(seconds=25)
    notice = watching.notice()
    assert {"aws": "AWS", "gcp": "GCP", "azure": "Azure"}[cloud.cloud] in notice.source
    assert 20 < notice.left_s <= 30


def test_a_notice_of_long_ago_is_heard(
    cloud: CloudStub, watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker started on a machine that is already going: it does not wait for a change."""
    monkeypatch.setattr(gcp, "WAIT_S", 30)
    cloud.take_away(seconds=-5)
    notice = watch(cloud).notice(seconds=10)
    assert notice.left_s == 0 or cloud.cloud == "gcp"  # GCP gives no time


@pytest.mark.parametrize("trouble", ["503", "401", "429", "nonsense", "reset", "hang"])
def test_a_troubled_server_is_asked_again(cloud: CloudStub, watch, trouble: str) -> None:
    watching = watch(cloud)
    asked(cloud, NOTICE_AT[cloud.cloud])
    cloud.trouble = trouble
    asked(cloud, "", times=len(cloud.requests) + (2 if cloud.cloud != "gcp" else 1))
    cloud.take_away(seconds=25)
    assert watching.silent or cloud.cloud == "gcp"  # its answer was under way
    cloud.trouble = ""
    assert watching.notice().left_s > 0


NONSENSE = [
    " ",
    "[]",
    "{}",
    "{",
    '{"Events": 7, "action": 7}',
    '{"Events": [7, {"EventType": ["Preempt"]}]}',
    '{"Events": [{"EventType": "Preempt", "Resources": "farm_3"}]}',
    "é" * 5000,
]


@pytest.mark.parametrize("body", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_is_no_notice(cloud: CloudStub, watch, body: str) -> None:
    cloud.body = body
    cloud.take_away(seconds=25)
    watching = watch(cloud)
    asked(cloud, NOTICE_AT[cloud.cloud], times=2)
    assert watching.silent
    cloud.body = None
    assert watching.notice().left_s > 0


def test_outside_clouds_the_watcher_ends(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody listens there; nothing is said and no thread stays."""
    with CloudStub("none") as stub:
        url = stub.url
    caplog.set_level("INFO")
    NoticeWatcher("auto", impatient_metadata(url)).run(lambda _: pytest.fail("no cloud, no notice"))
    assert caplog.text == ""


def test_a_cloud_that_comes_up_late_is_found(watch) -> None:
    with CloudStub("azure") as stub:
        stub.trouble = "503"
        watching = watch(stub)
        asked(stub, "compute/name", times=1)
        stub.trouble = ""
        stub.take_away(seconds=25)
        assert watching.notice().left_s > 0
