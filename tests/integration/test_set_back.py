"""A broker that is set back to an older AOF: what was removed, cancelled or finished in the store
since then does not come back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from common.dispatch import Dispatcher, Ledger, queue_name, read_control, write_control
from common.store import Store, object_names, open_store
from producer.batches import Controller
from producer.cli.main import run
from producer.submission import Resolved, submit
from tests.support.orders import left_in
from tests.support.pool import stub_batch
from tests.support.servers import Valkey, valkey
from tests.support.under_way import finished

pytestmark = pytest.mark.integration

BATCH = stub_batch(4)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    with valkey(tmp_path / "broker") as broker:
        yield broker


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def set_back(server: Valkey, store: Store, tmp_path: Path) -> Callable[..., Ledger]:
    """The broker as it was when the batch of four was under way, one of them stored, before
    `since` happened to it."""

    def call(since: Callable[[Ledger], object]) -> Ledger:
        ledger = Ledger(server.url)
        submit(Resolved(BATCH), store, ledger)
        finished(BATCH, [0], store, ledger)
        server.stop()
        shutil.copytree(server.data_dir, tmp_path / "older")
        server.start()
        since(ledger)
        server.stop()
        shutil.rmtree(server.data_dir)
        shutil.copytree(tmp_path / "older", server.data_dir)
        server.start()
        assert ledger.active() == [BATCH.id]
        return ledger

    return call


def tick(store: Store, ledger: Ledger) -> None:
    """As if the time for all that is due had come."""
    ledger.redis.delete("none", *ledger.redis.keys("gridfarm:once:*"))
    Dispatcher(store, ledger, [queue_name()]).tick()


def test_a_batch_that_was_removed_is_forgotten(
    set_back: Callable[..., Ledger], store: Store
) -> None:
    """The ledger has it as active; there is no marker, no document, and no message for it then.
    Nothing of it comes back into the store, whichever part of the tick meets it first."""

    def remove(ledger: Ledger) -> None:
        broker = ledger.broker.url
        where = [f"--store={store.url}", f"--broker={broker}"]
        assert run(["rm", BATCH.id, "--cancel", "--yes", *where]) == 0
        assert left_in(store) == []

    ledger = set_back(remove)
    assert not Dispatcher(store, ledger, []).ending.snapshot(BATCH.id)
    assert left_in(store) == []
    tick(store, ledger)
    assert (ledger.active(), ledger.known(BATCH.id)) == ([], False)
    assert left_in(store) == []


def test_one_whose_ledger_is_gone_is_forgotten_too(
    set_back: Callable[..., Ledger], store: Store
) -> None:
    def vanish(_: Ledger) -> None:
        for name in left_in(store):
            store.delete(name)

    ledger = set_back(vanish)
    ledger.redis.delete(f"gridfarm:batch:{BATCH.id}")
    tick(store, ledger)
    assert ledger.active() == []


def test_a_batch_that_was_cancelled_stays_so(set_back: Callable[..., Ledger], store: Store) -> None:
    ledger = set_back(lambda now: Controller(BATCH.id, store, now).cancel())
    tick(store, ledger)
    status = ledger.status(BATCH.id)
    assert status and status.state == "cancelled"
    assert ledger.active() == [] and ledger.redis.llen(queue_name()) == 0


def test_a_batch_that_was_finished_stays_so(set_back: Callable[..., Ledger], store: Store) -> None:
    """Also a cell that has failed: nobody has asked for it again."""

    def finish(ledger: Ledger) -> None:
        note = json.dumps({"reason": "bad LoRA"}).encode()
        store.put(object_names.failure(BATCH.id, 3), note)
        ledger.fail(BATCH.id, 3, "key-3", "w1", "bad LoRA")
        finished(BATCH, [1, 2], store, ledger)
        tick(store, ledger)
        assert read_control(store, BATCH.id).state == "done"

    ledger = set_back(finish)
    kept = store.get(object_names.done_bitmap(BATCH.id))
    tick(store, ledger)
    assert ledger.active() == []
    assert read_control(store, BATCH.id).state == "done"
    assert store.get(object_names.done_bitmap(BATCH.id)) == kept
    assert store.exists(object_names.failure(BATCH.id, 3))


def test_an_end_that_was_cut_off_and_lost_a_part_of_its_ledger_is_an_end(
    server: Valkey, store: Store
) -> None:
    """Its marker was deleted, the ledger has it still, and its counts are not to be believed."""
    ledger = Ledger(server.url)
    submit(Resolved(BATCH), store, ledger)
    finished(BATCH, range(4), store, ledger)
    control = read_control(store, BATCH.id)
    write_control(store, BATCH.id, replace(control, state="done"))
    store.delete(object_names.active(BATCH.id))
    ledger.redis.delete(f"gridfarm:batch:{BATCH.id}:done")
    tick(store, ledger)
    assert (ledger.active(), ledger.over()) == ([], [])


def test_a_batch_that_goes_on_goes_on(set_back: Callable[..., Ledger], store: Store) -> None:
    """Its marker says that it is not over."""
    ledger = set_back(lambda now: finished(BATCH, [1], store, now))
    tick(store, ledger)
    assert ledger.active() == [BATCH.id]
    assert store.exists(object_names.active(BATCH.id))
