"""Removals that are killed, interrupted or frozen in the midst, on real stores: who completes them,
and what stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from common.dispatch import Ledger, read_control_if_any
from common.errors import StoreUnreachable
from common.store import Store, object_names, open_store
from producer.removal import Beat, beat, completion, deletion
from tests.support.orders import frozen, left_in, pictures_in, put_batch
from tests.support.removals import MOMENT_S, Held, nothing_is_under_way, order, removal_of

pytestmark = pytest.mark.integration

#: `gridfarm rm` that sends itself a signal after the first deletion of a sidecar or of a batch's
#: entry in `latest/`, or just before the first PNG's, which nothing can hold back any more.
CUT_OFF = """
import os, sys, time
from producer.removal import beat, deletion
from common.store import folder, s3
number, ending, store, batch = int(sys.argv[1]), *sys.argv[2:]
beat.BEAT_EVERY_S, beat.FENCE_S, deletion.DELETERS = 0.1, 0.5, 1
beat.STILL_S, beat.SETTLE_S = 1, 0.3
def cut_off():
    global number
    signal, number = number, 0
    os.kill(os.getpid(), signal)
    time.sleep(0.2)  # a signal takes a moment
for kind in (folder.FolderStore, s3.S3Store):
    def deleting(self, name, delete=kind.delete):
        here = number and name.startswith(("images/", "latest/")) and name.endswith(ending)
        if here and ending == ".png":
            cut_off()
        delete(self, name)
        if here and ending != ".png":
            cut_off()
    kind.delete = deleting
from producer.cli.main import run
sys.exit(run(["rm", batch, "--yes", "--cancel", "--store", store]))
"""


def remover(
    store_url: str, number: int, batch_id: str, ending: str = ".json"
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CUT_OFF, str(number), ending, store_url, batch_id],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """To see that nobody is at a removal takes half a minute."""
    for name, seconds in {"BEAT_EVERY_S": 0.1, "STILL_S": 1.0, "SETTLE_S": 0.3}.items():
        monkeypatch.setattr(beat, name, seconds)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_submit_completes_a_removal_that_was_cut_off(
    store_url: str, ledger: Ledger, number: int
) -> None:
    """Its own pictures stay, those that nobody has go."""
    store = open_store(store_url)
    batch = put_batch(store, frozen(), done=range(4))
    process = remover(store_url, number, batch)
    assert process.wait(60) != 0
    assert ("cut off" in process.communicate()[1]) == (number == signal.SIGINT)
    said: list[str] = []
    report = order(frozen("other", seeds="2..5"), store, ledger, said.append)
    assert any("completing the removal of night" in text for text in said)
    assert report.stored == pictures_in(store) <= 2
    assert number == signal.SIGINT or report.stored == 2
    assert nothing_is_under_way(store, ledger)
    assert list(store.folders(object_names.BATCHES)) == [report.batch]


def test_the_next_removal_completes_one_that_was_cut_off(store_url: str) -> None:
    store = open_store(store_url)
    batch = put_batch(store, frozen(), done=range(4))
    other = frozen("other", seeds="70..71")
    put_batch(store, other, done=range(2))
    assert remover(store_url, signal.SIGKILL, batch).wait(60) != 0
    assert pictures_in(store) > 2
    removal_of(store, None, other).run()
    assert left_in(store) == []


def test_the_same_removal_given_again_by_its_id(store_url: str) -> None:
    store = open_store(store_url)
    batch = put_batch(store, frozen(), done=range(4))
    assert remover(store_url, signal.SIGKILL, batch).wait(60) != 0
    process = remover(store_url, 0, batch)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert left_in(store) == []


@pytest.mark.parametrize(("ending", "late"), [(".json", 0), (".png", 1)])
def test_a_remover_that_froze_deletes_nothing_when_it_wakes(
    store_url: str, ledger: Ledger, ending: str, late: int
) -> None:
    """Given one that stood still in the midst, and a submit that has taken its removal over and
    counts on what was left. What was on its way already is said, with what to do about it."""
    store = open_store(store_url)
    batch = put_batch(store, frozen(), done=range(4))
    process = remover(store_url, signal.SIGSTOP, batch, ending)
    os.waitpid(process.pid, os.WUNTRACED)
    try:
        report = order(frozen("other"), store, ledger)
        assert report.stored == pictures_in(store) == 4
    finally:
        process.send_signal(signal.SIGCONT)
    assert process.wait(60) == 1
    said = process.communicate()[1]
    assert "taken it over" in said
    assert pictures_in(store) == 4 - late
    assert (f"gridfarm retry {report.batch} --all" in said) == bool(late)


def test_a_remover_that_froze_leaves_a_batch_that_was_submitted_since(
    store_url: str, broker: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pictures were gone, and it was about to delete what is left of the batch."""
    monkeypatch.setenv("GRIDFARM_BROKER", broker)
    store = open_store(store_url)
    batch = put_batch(store, frozen(), done=range(4))
    process = remover(store_url, signal.SIGSTOP, batch, batch)
    os.waitpid(process.pid, os.WUNTRACED)
    try:
        assert order(frozen(), store, ledger).queued == 4
        before = left_in(store)
    finally:
        process.send_signal(signal.SIGCONT)
    assert process.wait(60) == 1
    assert "taken it over" in process.communicate()[1]
    assert left_in(store) == before
    assert store.exists(object_names.active(batch))
    status, control = ledger.status(batch), read_control_if_any(store, batch)
    assert status and control and (status.state, control.state) == ("rendering", "rendering")


def test_a_removal_that_is_just_ending_was_not_cut_off(
    store_url: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a submit that meets it between the end of its beat and that of its note: there is
    nothing to complete, and nothing of the batch that comes now is deleted."""
    mine, theirs = open_store(store_url), open_store(store_url)
    put_batch(mine, frozen(), done=range(4))
    held, take_over = Held(mine, f".{frozen().id}.json", monkeypatch), Beat.take_over
    said: list[str] = []
    with ThreadPoolExecutor(1) as thread:
        gone = thread.submit(removal_of(mine, None, frozen()).run)
        assert held.reached.wait(MOMENT_S)

        def meanwhile(self: Beat) -> bool:
            taken = take_over(self)
            held.go_on.set()
            gone.result(MOMENT_S)
            return taken

        monkeypatch.setattr(Beat, "take_over", meanwhile)
        assert order(frozen(), theirs, ledger, said.append).queued == 4
    assert not any("completing" in text for text in said)
    assert theirs.exists(object_names.active(frozen().id))
    assert nothing_is_under_way(theirs, ledger)


def test_who_is_overtaken_in_completing_waits_on(
    store_url: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a submit that stood still while it completed another's removal, and somebody who
    took that over and was cut off too: it is no removal of its own that fails."""
    store = open_store(store_url)
    batch = put_batch(store, frozen(), done=range(4))
    assert remover(store_url, signal.SIGKILL, batch).wait(60) != 0
    # Only who deletes looks and beats, so that the other's beat comes between.
    monkeypatch.setattr(beat, "FENCE_S", -1.0)
    monkeypatch.setattr(beat, "BEAT_EVERY_S", 60.0)
    monkeypatch.setattr(deletion, "DELETERS", 1)
    overtaken, delete = threading.Event(), store.delete

    def overtake(name: str) -> None:
        if name.startswith("images/") and not overtaken.is_set():
            overtaken.set()
            [own] = [name for name in store.list("removing/") if name.endswith(".beat")]
            store.put(own, b"somebody else's 1")
        delete(name)

    monkeypatch.setattr(store, "delete", overtake)
    said: list[str] = []
    report = order(frozen("other", seeds="2..5"), store, ledger, said.append)
    assert overtaken.is_set()
    assert sum("completing" in text for text in said) == 2
    assert report.stored == pictures_in(store)
    assert nothing_is_under_way(store, ledger)


def test_what_was_removed_is_told_though_another_removal_cannot_be_completed(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(store_url)
    batch = put_batch(store, frozen(), done=range(4))
    other = frozen("other", seeds="70..71")
    put_batch(store, other, done=range(2))
    assert remover(store_url, signal.SIGKILL, batch).wait(60) != 0
    delete = store.delete

    def away(name: str) -> None:
        if name == object_names.control(batch):
            raise StoreUnreachable("503 Slow Down")
        delete(name)

    monkeypatch.setattr(store, "delete", away)
    said: list[str] = []
    removal = replace(removal_of(store, None, other), say=said.append)
    assert len(removal.run().go) == 2
    assert "could not be completed: 503 Slow Down" in said[-1]


def test_several_that_were_cut_off_are_watched_together(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether somebody is at them is seen in the same half minute."""
    store = open_store(str(tmp_path / "store"))
    for token in ("ab", "cd", "ef"):
        store.put(object_names.removing(token, frozen("old").id), frozen("old").to_bytes())
    steps: list[str] = []

    class Noted(beat.Watch):
        def __init__(self, store: Store, token: str) -> None:
            steps.append("watch")
            super().__init__(store, token)

    monkeypatch.setattr(completion, "Watch", Noted)
    order(frozen(), store, ledger, lambda text: steps.append(text.partition(" ")[0]))
    assert steps == ["watch"] * 3 + ["waiting", "completing"] * 3


def test_a_removal_that_is_alive_is_left_to_itself(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes, by another removal and by a submit alike."""
    mine, theirs = open_store(store_url), open_store(store_url)
    put_batch(mine, frozen(), done=range(4))
    other = frozen("other", seeds="70..71")
    put_batch(theirs, other, done=range(2))
    held = Held(mine, ".webp", monkeypatch)
    with ThreadPoolExecutor(1) as thread:
        gone = thread.submit(removal_of(mine, None, frozen()).run)
        assert held.reached.wait(MOMENT_S)
        assert len(removal_of(theirs, None, other).run().go) == 2
        assert (pictures_in(theirs), gone.done()) == (4, False)
        held.go_on.set()
        assert len(gone.result(MOMENT_S).go) == 4
    assert left_in(theirs) == []


def test_a_removal_that_had_not_begun_leaves_the_batch(store_url: str, ledger: Ledger) -> None:
    """Cut off between its note and the first deletion: the batch is what it was."""
    store = open_store(store_url)
    batch = put_batch(store, frozen(), done=range(4))
    store.put(object_names.removing("ab", batch), frozen().to_bytes())
    assert order(frozen("other", seeds="2..5"), store, ledger).stored == 2
    assert pictures_in(store) == 4
    assert store.exists(object_names.batch(batch))
    assert store.exists(object_names.control(batch))
    assert nothing_is_under_way(store, ledger)
