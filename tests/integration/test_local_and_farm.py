"""A render on somebody's machine and a farm that works with the same store: they share pictures,
and neither takes up the other's batches."""

from __future__ import annotations

import pytest

from common.batch import Matrix
from common.dispatch import Dispatcher, Ledger, queue_name, read_control
from common.errors import BrokerEnded, UsageError
from common.store import Store, object_names
from producer.batches import Controller, StatusWatcher, list_batches
from producer.local import local_broker
from producer.local.render import check_no_farm_has
from producer.submission import Resolved, submit
from tests.support.orders import frozen, put_pictures

pytestmark = pytest.mark.integration


def look_around(store: Store, ledger: Ledger) -> list[str]:
    """What a ledger knows when everything that is due was done."""
    dispatcher = Dispatcher(store, ledger, [queue_name()])
    dispatcher.tick()
    dispatcher.rebuild.doubt()
    dispatcher.tick()
    return ledger.active()


def test_neither_takes_up_the_others_batches(store: Store, ledger: Ledger) -> None:
    """And what of a render has ended, be it killed, is nobody's to go on with by itself."""
    local, farms = frozen("local"), frozen("farms")
    submit(Resolved(farms), store, ledger)
    with local_broker() as broker:
        submit(Resolved(local), store, broker.ledger)
        assert look_around(store, broker.ledger) == [local.id]
        assert look_around(store, ledger) == [farms.id]
    assert look_around(store, ledger) == [farms.id]
    with local_broker() as another:
        assert look_around(store, another.ledger) == []
    states = {row.batch: row.state for row in list_batches(store, ledger)}
    assert states == {local.id: "stopped", farms.id: "queued"}


def test_a_farm_takes_over_what_is_submitted_to_it_and_nothing_else(
    store: Store, ledger: Ledger
) -> None:
    """A batch whose render was stopped: its models may be on that machine alone."""
    local = frozen("local")
    with local_broker() as broker:
        submit(Resolved(local), store, broker.ledger)
    steered = Controller(local.id, store, ledger)
    for order in (steered.resume, steered.pause, steered.retry, lambda: steered.prioritise(2)):
        with pytest.raises(UsageError, match="own machine") as caught:
            order()
        assert "gridfarm submit" in (caught.value.hint or "")
    assert not store.exists(object_names.active(local.id))
    assert submit(Resolved(local), store, ledger).queued == 4
    assert not read_control(store, local.id).local
    assert store.exists(object_names.active(local.id))
    assert ledger.active() == [local.id]
    steered.pause()
    assert StatusWatcher(local.id, local, store, ledger).status().state == "paused"


def test_what_one_has_stored_the_other_does_not_render(store: Store, ledger: Ledger) -> None:
    night, longer = frozen("night", seeds="0..3"), frozen("longer", seeds="2..5")
    put_pictures(store, night, range(4))
    with local_broker() as broker:
        report = submit(Resolved(longer), store, broker.ledger)
        assert (report.stored, report.queued) == (2, 2)
    assert submit(Resolved(night), store, ledger).queued == 0


def test_the_same_render_again_goes_on(store: Store) -> None:
    local = frozen("local")
    with local_broker() as broker:
        submit(Resolved(local), store, broker.ledger)
        generation = read_control(store, local.id).generation
        again = submit(Resolved(local), store, broker.ledger)
        assert again.queued == 4
        assert read_control(store, local.id).generation == generation  # it is under way
    put_pictures(store, local, [0])
    with local_broker() as broker:
        assert submit(Resolved(local), store, broker.ledger).queued == 3
        assert broker.ledger.active() == [local.id]


def test_a_render_refuses_what_a_farm_has_under_way(store: Store, ledger: Ledger) -> None:
    """Both would render its cells; paused by its owner, it would go on."""
    farms = frozen("farms")
    submit(Resolved(farms), store, ledger)
    Controller(farms.id, store, ledger).pause()
    with pytest.raises(UsageError, match="under way on the farm") as caught:
        check_no_farm_has(farms.id, store)
    assert f"gridfarm cancel {farms.id}" in (caught.value.hint or "")
    Controller(farms.id, store, ledger).cancel()
    check_no_farm_has(farms.id, store)


def test_a_render_that_ends_with_failures_ends_no_order_of_a_farm(
    store: Store, ledger: Ledger
) -> None:
    """The batch was submitted to the farm while it was rendered here."""
    night = frozen("night")
    with local_broker() as broker:
        local = broker.ledger
        submit(Resolved(night), store, local)
        submit(Resolved(night), store, ledger)
        for cell in Matrix(night):
            assert local.claim(night.id, cell.i, 0, cell.key, "here") == "ok"
            local.fail(night.id, cell.i, cell.key, "here", "no GPU")
        Dispatcher(store, local, [queue_name()]).finish(night.id)
    assert read_control(store, night.id).state == "rendering"
    assert look_around(store, ledger) == [night.id]
    watcher = StatusWatcher(night.id, night, store, ledger)
    assert (watcher.status().state, watcher.status().failed) == ("queued", 0)


def test_who_follows_a_batch_that_its_render_gave_up_is_told(store: Store) -> None:
    night = frozen("night")
    with local_broker() as broker:
        submit(Resolved(night), store, broker.ledger)
        statuses = StatusWatcher(night.id, night, store, broker.ledger).follow()
        assert next(statuses).state == "queued"
        broker.ledger.drop(night.id)
        with pytest.raises(BrokerEnded, match="has ended"):
            next(statuses)


def test_a_batch_is_listed_by_the_ledger_that_has_it(store: Store, ledger: Ledger) -> None:
    here, farms = frozen("here"), frozen("farms")
    submit(Resolved(farms), store, ledger)
    with local_broker() as broker:
        submit(Resolved(here), store, broker.ledger)
        rows = list_batches(store, ledger, local=broker.ledger)
        assert {row.batch: row.state for row in rows} == dict.fromkeys(
            (here.id, farms.id), "queued"
        )
