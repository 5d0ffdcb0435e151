"""A render on somebody's machine and a farm that works with the same store: they share pictures,
and neither takes up the other's batches."""

from __future__ import annotations

import pytest

from common.dispatch import Dispatcher, Ledger, queue_name, read_control
from common.errors import UsageError
from common.store import Store, object_names
from producer.batches import Controller, StatusWatcher, list_batches
from producer.local import local_broker
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
