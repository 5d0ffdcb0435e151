"""The clouds' notices, against a stub server that speaks their protocols."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator

import pytest

from tests.support.clouds import CloudStub
from worker.preemption import Metadata, Notice, Watcher, watcher
from worker.tasks.step_timer import CAUTION, SPARE_S, UNKNOWN_TAIL_S, Pace

CLOUDS = ["aws", "gcp", "azure"]


@pytest.fixture(params=CLOUDS)
def cloud(request: pytest.FixtureRequest) -> Iterator[CloudStub]:
    with CloudStub(request.param) as stub:
        yield stub


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half-second timeouts and quick repetitions."""
    monkeypatch.setattr(watcher, "TIMEOUT_S", 0.5)
    monkeypatch.setattr(watcher, "DETECT_TIMEOUT_S", 0.5)
    monkeypatch.setattr(watcher, "AGAIN_AFTER_S", (0.02,))
    monkeypatch.setattr(watcher, "DETECT_AGAIN_AFTER_S", (0.05, 0.05))
    monkeypatch.setattr(watcher, "GCP_WAIT_S", 1)
    monkeypatch.setattr(watcher, "GCP_PATIENCE_S", 0.5)
    monkeypatch.setattr(watcher, "POLL_S", 0.05)


class Watching:
    """A watcher on a stub; `notice` waits for what it reports."""

    def __init__(self, stub: CloudStub, cloud: str = "auto") -> None:
        self._heard: queue.Queue[Notice] = queue.Queue()
        self.watcher = Watcher(cloud, Metadata(stub.url))
        self.watcher.start(self._heard.put)

    def notice(self, seconds: float = 20) -> Notice:
        return self._heard.get(timeout=seconds)

    @property
    def silent(self) -> bool:
        return self._heard.empty()


@pytest.fixture
def watch() -> Iterator[type[Watching] | object]:
    made: list[Watching] = []

    def start(stub: CloudStub, cloud: str = "auto") -> Watching:
        made.append(Watching(stub, cloud))
        return made[-1]

    yield start
    for watching in made:
        watching.watcher.close()


def asked(stub: CloudStub, path: str, times: int = 1) -> None:
    """Wait until the stub was asked for a path so often."""
    deadline = time.monotonic() + 20
    while sum(path in request for request in stub.requests) < times:
        assert time.monotonic() < deadline, stub.requests
        time.sleep(0.01)


NOTICE_AT = {
    "aws": "instance-action",
    "gcp": "instance/preempted",
    "azure": "scheduledevents",
}


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
    monkeypatch.setattr(watcher, "GCP_WAIT_S", 30)
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


@pytest.mark.parametrize("cloud", ["aws"], indirect=True)
def test_an_expired_token_is_renewed(cloud: CloudStub, watch) -> None:
    watching = watch(cloud)
    asked(cloud, "instance-action")
    cloud.token += 1
    asked(cloud, "PUT /latest/api/token", times=2)
    cloud.take_away(seconds=25)
    assert watching.notice().left_s > 0


@pytest.mark.parametrize("cloud", ["aws"], indirect=True)
def test_a_rebalance_recommendation_is_only_logged(
    cloud: CloudStub, watch, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.rebalance = True
    watching = watch(cloud)
    asked(cloud, "instance-action", times=2)
    assert watching.silent
    assert caplog.text.count("AWS recommends to rebalance") == 1


@pytest.mark.parametrize("cloud", ["azure"], indirect=True)
@pytest.mark.parametrize(
    ("event_type", "machines"),
    [("Preempt", ["farm_4"]), ("Freeze", ["farm_3"]), ("Reboot", ["farm_3"])],
    ids=["another machine of the scale set", "freeze", "reboot"],
)
def test_what_does_not_take_this_machine_is_ignored(
    cloud: CloudStub, watch, event_type: str, machines: list[str]
) -> None:
    cloud.event_type, cloud.machines = event_type, machines
    cloud.take_away(seconds=25)
    watching = watch(cloud)
    asked(cloud, "scheduledevents", times=2)
    assert watching.silent


def test_outside_clouds_the_watcher_ends(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody listens there; nothing is said and no thread stays."""
    with CloudStub("none") as stub:
        url = stub.url
    caplog.set_level("INFO")
    Watcher("auto", Metadata(url)).run(lambda _: pytest.fail("no cloud, no notice"))
    assert caplog.text == ""


def test_a_cloud_that_comes_up_late_is_found(watch) -> None:
    with CloudStub("azure") as stub:
        stub.trouble = "503"
        watching = watch(stub)
        asked(stub, "compute/name", times=1)
        stub.trouble = ""
        stub.take_away(seconds=25)
        assert watching.notice().left_s > 0


def test_no_proxy_is_asked(watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A metadata server is on this very host; a proxy would answer for its own."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with CloudStub("gcp") as stub:
        stub.take_away(seconds=25)
        assert watch(stub).notice().left_s > 0


def test_what_fits_is_told_from_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step has the prompts' encoding in it; the tail is decoding and upload."""
    now = 0.0
    monkeypatch.setattr("worker.tasks.step_timer.time.monotonic", lambda: now)

    def after(seconds: float) -> None:
        nonlocal now
        now += seconds

    pace = Pace()
    pace.begin()
    after(1.0), pace.step(1)
    assert pace.left_s(1, 4) == pytest.approx(CAUTION * (3 * 1.0 + UNKNOWN_TAIL_S) + SPARE_S)
    for done in range(2, 20):
        after(0.1), pace.step(done)
    after(0.1)
    last = pace.step(20)
    after(0.5), pace.stored(last)
    assert pace.left_s(10, 20) == pytest.approx(CAUTION * (10 * 0.1 + 0.5) + SPARE_S, rel=0.2)
    pace.begin(), after(3.0), pace.step(1)
    assert pace.left_s(1, 20) < 10, "a first step is not taken for all of them"


@pytest.mark.parametrize(("pod", "seconds"), [(True, 12), (False, 80)])
def test_sigterm_leaves_what_the_platform_leaves(
    monkeypatch: pytest.MonkeyPatch, pod: bool, seconds: float
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    if pod:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert watcher.default_grace() == seconds
