"""Removals beside submits and other removals, on real stores: whoever counts on a picture keeps it,
and what nobody counts on is gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from common.dispatch import Ledger
from common.errors import NotFound, UsageError
from common.store import Store, object_names, open_store
from producer.batches import Controller, Removal, RemovalPlan, list_batches
from producer.submission import Resolved, submit
from tests.support.orders import frozen, left_in, pictures_in, put_batch
from tests.support.pool import Pool
from tests.support.removals import MOMENT_S, Held, nothing_is_under_way, order, removal_of

pytestmark = pytest.mark.integration


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.mark.parametrize("ending", [".webp", "/control.json"])
def test_a_submit_waits_for_the_removal_of_what_it_shares(
    store_url: str, ledger: Ledger, threads: ThreadPoolExecutor, ending: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Given a removal that has looked whose its pictures are, and has not deleted them: another
    batch of the same pictures is not told that they are stored."""
    mine, theirs = open_store(store_url), open_store(store_url)
    put_batch(mine, frozen(), done=range(4))
    held, said = Held(mine, ending, monkeypatch), threading.Event()
    gone: Future[RemovalPlan] = threads.submit(removal_of(mine, None, frozen()).run)
    assert held.reached.wait(MOMENT_S)
    report = threads.submit(
        order, frozen("other"), theirs, ledger, lambda text: said.set() if "waiting" in text else 0
    )
    assert said.wait(MOMENT_S)
    assert not report.done()
    held.go_on.set()
    assert len(gone.result(MOMENT_S).go) == 4
    assert (report.result(MOMENT_S).stored, report.result().queued) == (0, 4)
    assert pictures_in(theirs) == 0
    assert nothing_is_under_way(theirs, ledger)


def test_a_submit_that_was_there_first_keeps_its_pictures(
    store_url: str, ledger: Ledger, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a removal that has just written its note: a batch is submitted before it looks."""
    mine, theirs = open_store(store_url), open_store(store_url)
    put_batch(mine, frozen(), done=range(4))
    held = Held(mine, f"{frozen().id}/batch.json", monkeypatch)
    gone = threads.submit(removal_of(mine, None, frozen()).run)
    assert held.reached.wait(MOMENT_S)
    report = threads.submit(order, frozen("other", seeds="0..1"), theirs, ledger)
    other = object_names.batch(frozen("other", seeds="0..1").id)
    while not theirs.exists(other):
        time.sleep(0.01)
    held.go_on.set()
    assert (len(gone.result(MOMENT_S).go), gone.result().stay) == (2, 2)
    assert report.result(MOMENT_S).stored == pictures_in(theirs) == 2


def test_what_shares_nothing_does_not_wait(
    store_url: str, ledger: Ledger, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = open_store(store_url), open_store(store_url)
    put_batch(mine, frozen(), done=range(4))
    held = Held(mine, ".webp", monkeypatch)
    gone = threads.submit(removal_of(mine, None, frozen()).run)
    assert held.reached.wait(MOMENT_S)
    assert order(frozen("other", seeds="7..9"), theirs, ledger).queued == 3
    held.go_on.set()
    assert len(gone.result(MOMENT_S).go) == 4


def test_the_same_batch_submitted_while_it_is_removed(
    store_url: str, ledger: Ledger, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes after: nothing of it is lost, and it is rendered anew."""
    mine, theirs = open_store(store_url), open_store(store_url)
    put_batch(mine, frozen(), done=range(4))
    held, said = Held(mine, ".webp", monkeypatch), threading.Event()
    gone = threads.submit(removal_of(mine, ledger, frozen()).run)
    assert held.reached.wait(MOMENT_S)
    report = threads.submit(order, frozen(), theirs, ledger, lambda _: said.set())
    assert said.wait(MOMENT_S)
    held.go_on.set()
    assert len(gone.result(MOMENT_S).go) == 4
    assert report.result(MOMENT_S).queued == 4
    assert [row.batch for row in list_batches(theirs, ledger)] == [frozen().id]
    assert theirs.exists(object_names.active(frozen().id))


def test_a_removal_in_the_midst_of_a_submit_of_the_same_batch(
    store_url: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The submit has looked for removals already: it sees in the end that its batch is gone."""
    mine, theirs = open_store(store_url), open_store(store_url)
    put_batch(mine, frozen(), done=range(4))
    put, removed = theirs.put, False

    def put_later(name: str, *data: bytes, **options: Any) -> None:
        nonlocal removed
        if name.endswith("done.bitmap") and not removed:
            removed = True
            removal_of(mine, None, frozen()).run()
        put(name, *data, **options)

    monkeypatch.setattr(theirs, "put", put_later)
    said: list[str] = []
    report = order(frozen(), theirs, ledger, said.append)
    assert removed
    assert (report.stored, report.queued) == (0, 4)
    assert any("removed meanwhile" in text for text in said)
    assert theirs.exists(object_names.batch(report.batch))


def test_two_removals_at_once_leave_no_picture(
    store_url: str, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two batches with the same pictures: neither keeps them for the other."""
    meet = threading.Barrier(2)
    runs = []
    for batch in (frozen("a"), frozen("b")):
        store = open_store(store_url)
        put_batch(store, batch, done=range(4))
        folders = store.folders

        def looking(name: str, folders: Any = folders) -> Iterator[str]:
            meet.wait(MOMENT_S)  # both are about to look at the other
            return folders(name)  # type: ignore[no-any-return]

        monkeypatch.setattr(store, "folders", looking)
        runs.append(removal_of(store, None, batch).run)
    plans = [future.result(MOMENT_S) for future in [threads.submit(run) for run in runs]]
    assert sum(len(plan.go) for plan in plans) >= 4
    assert left_in(open_store(store_url)) == []


def test_a_command_to_the_removed_batch_in_the_midst_of_a_submit(
    store_url: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a resume that had read the batch before it was removed, and cleans up while the same
    file is submitted: the submit sees in the end what is gone, and orders again."""
    theirs = open_store(store_url)
    put_batch(theirs, frozen(), state="cancelled")
    put, cleaned = theirs.put, False

    def put_later(name: str, *data: bytes, **options: Any) -> None:
        nonlocal cleaned
        put(name, *data, **options)
        if name == object_names.active(frozen().id) and not cleaned:
            cleaned = True
            for gone in (object_names.active, object_names.done_bitmap, object_names.control):
                theirs.delete(gone(frozen().id))

    monkeypatch.setattr(theirs, "put", put_later)
    said: list[str] = []
    assert order(frozen(), theirs, ledger, said.append).queued == 4
    assert any("ordered again" in text for text in said)
    assert [row.state for row in list_batches(theirs, None)] == ["rendering"]


def test_who_cleans_up_after_a_removal_leaves_what_comes_then(
    store_url: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a command that finds its batch removed, and the same file submitted that moment."""
    mine, theirs = open_store(store_url), open_store(store_url)
    put_batch(mine, frozen(), state="cancelled")
    mine.delete(object_names.batch(frozen().id))
    exists, submitted = mine.exists, False

    def seen_before(name: str) -> bool:
        nonlocal submitted
        there = exists(name)
        if name == object_names.batch(frozen().id) and not submitted:
            submitted = True
            order(frozen(), theirs, ledger)
        return there

    monkeypatch.setattr(mine, "exists", seen_before)
    with pytest.raises(NotFound, match="was removed"):
        Controller(frozen().id, mine, None).resume()
    assert submitted
    assert [row.state for row in list_batches(theirs, None)] == ["rendering"]


@pytest.mark.parametrize("say", ["resume", "pause", "retry", "cancel"])
def test_a_batch_that_is_removed_cannot_be_steered(
    store_url: str, ledger: Ledger, say: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a command that has read the batch before it was removed: it says so, and leaves
    nothing that would bring the batch back."""
    store = open_store(store_url)
    put_batch(store, frozen(), state="cancelled", done=range(4))
    put, removed = store.put, False

    def put_later(name: str, *data: bytes, **options: Any) -> None:
        nonlocal removed
        if name.endswith("control.json") and not removed:
            removed = True
            removal_of(open_store(store_url), ledger, frozen()).run()
        put(name, *data, **options)

    monkeypatch.setattr(store, "put", put_later)
    with pytest.raises(NotFound, match="was removed"):
        getattr(Controller(frozen().id, store, ledger), say)()
    assert removed
    assert left_in(store) == []
    assert not ledger.known(frozen().id)


def test_what_is_submitted_while_a_person_thinks_is_not_cancelled(
    store_url: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a removal without --cancel that has just seen that the batch is finished."""
    store = open_store(store_url)
    put_batch(store, frozen(), state="cancelled", done=range(2))
    check = Removal.check_finished

    def submitted_since(self: Removal, *, cancel: bool) -> None:
        check(self, cancel=cancel)
        order(frozen(), open_store(store_url), ledger)

    monkeypatch.setattr(Removal, "check_finished", submitted_since)
    with pytest.raises(UsageError, match="not finished"):
        removal_of(store, ledger, frozen()).run()
    status = ledger.status(frozen().id)
    assert status and status.state == "rendering"
    assert [row.state for row in list_batches(store, None)] == ["rendering"]
    assert pictures_in(store) == 2
    assert nothing_is_under_way(store, ledger)


def hide_new(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listings show what is there now and nothing that comes."""
    shown = set(store.list(""))
    every, folders = store.list, store.folders
    monkeypatch.setattr(store, "list", lambda prefix: (n for n in every(prefix) if n in shown))
    monkeypatch.setattr(
        store, "folders",
        lambda prefix: (f for f in folders(prefix) if f"{prefix}{f}/batch.json" in shown),
    )  # fmt: skip


def test_where_listings_lag_the_broker_tells_of_a_removal(
    tmp_path: Path, ledger: Ledger, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = open_store(str(tmp_path / "s")), open_store(str(tmp_path / "s"))
    put_batch(mine, frozen(), done=range(4))
    hide_new(theirs, monkeypatch)
    held, said = Held(mine, ".webp", monkeypatch), threading.Event()
    gone = threads.submit(removal_of(mine, ledger, frozen()).run)
    assert held.reached.wait(MOMENT_S)
    report = threads.submit(order, frozen("other"), theirs, ledger, lambda _: said.set())
    assert said.wait(MOMENT_S)
    held.go_on.set()
    assert len(gone.result(MOMENT_S).go) == 4
    assert (report.result(MOMENT_S).stored, report.result().queued) == (0, 4)


def test_where_listings_lag_the_broker_tells_of_a_submit(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = open_store(str(tmp_path / "s")), open_store(str(tmp_path / "s"))
    put_batch(mine, frozen(), done=range(4))
    hide_new(mine, monkeypatch)
    report = order(frozen("other"), theirs, ledger)
    assert report.stored == 4
    assert removal_of(mine, ledger, frozen()).run().stay == 4
    assert pictures_in(theirs) == 4


def test_what_workers_render_is_not_taken_from_them(tmp_path: Path, broker: str) -> None:
    """Two batches of the same pictures on real workers; one is removed while its cells run."""
    pool = Pool(broker, tmp_path)
    try:
        pool.start("m", "--ms-per-step=100")
        pool.submit(12)
        pool.eventually(lambda: pool.counts[0] > 1)
        first = pool.batch
        pool.batch = first.model_copy(update={"name": "other"})
        submit(Resolved(pool.batch), pool.store, pool.ledger)
        Removal({first.id: first}, pool.store, pool.ledger, print).run(cancel=True)
        pool.eventually(lambda: pool.counts == (12, 0))
        assert pool.right_pictures() == 12
        assert not pool.ledger.known(first.id)
    finally:
        pool.end()
