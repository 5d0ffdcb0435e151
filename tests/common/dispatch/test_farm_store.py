"""Which store a farm works with: what is believed of another one, and when it may be changed."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from common.dispatch import Dispatcher, FarmStore, Ledger, queue_name
from common.dispatch import farm_store as farm_store_module
from common.errors import StoreForeign
from common.store import Store, open_store, read_store_id
from producer.submission import Resolved, submit
from tests.support.orders import frozen

pytestmark = pytest.mark.integration


@pytest.fixture
def other(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "other"))


def test_before_the_first_order_every_store_will_do(store: Store, ledger: Ledger) -> None:
    assert FarmStore(store, ledger).check() is False


def test_who_orders_makes_the_store_the_farms(store: Store, other: Store, ledger: Ledger) -> None:
    FarmStore(store, ledger).adopt()
    assert FarmStore(store, ledger).check() is True
    with pytest.raises(StoreForeign) as foreign:
        FarmStore(other, ledger).check()
    assert store.url in foreign.value.message
    assert other.url in foreign.value.message
    assert "empty, or not mounted" in foreign.value.message
    assert "--adopt-store" in foreign.value.hint


def test_a_folder_of_the_same_name_on_another_machine_is_told_apart(
    tmp_path: Path, ledger: Ledger
) -> None:
    """Given here as the same folder with other things in it."""
    store = open_store(str(tmp_path / "store"))
    FarmStore(store, ledger).adopt()
    shutil.rmtree(tmp_path / "store")
    with pytest.raises(StoreForeign, match="which has the same name: on another machine"):
        FarmStore(store, ledger).check()


def test_an_id_survives_the_broker(store: Store, ledger: Ledger) -> None:
    FarmStore(store, ledger).adopt()
    before = read_store_id(store)
    ledger.redis.flushall()
    FarmStore(store, ledger).adopt()
    assert read_store_id(store) == before
    assert FarmStore(store, ledger).check() is True


def test_who_was_refused_does_not_take_a_broker_that_lost_everything(
    store: Store, other: Store, ledger: Ledger
) -> None:
    """It has unfinished batches of another farm, and the right workers are away."""
    submit(Resolved(frozen()), other, ledger)
    ledger.redis.flushall()
    FarmStore(store, ledger).adopt()
    dispatcher = Dispatcher(other, ledger, [queue_name()])
    with pytest.raises(StoreForeign):
        dispatcher.tick()
    ledger.redis.flushall()
    with pytest.raises(StoreForeign):
        dispatcher.tick()
    FarmStore(store, ledger).adopt()
    assert FarmStore(store, ledger).check() is True
    FarmStore(other, ledger).adopt()
    assert dispatcher.farm_store.check() is True


def test_a_store_that_was_copied_elsewhere_is_the_same(tmp_path: Path, ledger: Ledger) -> None:
    here = open_store(str(tmp_path / "here"))
    FarmStore(here, ledger).adopt()
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    assert FarmStore(open_store(str(tmp_path / "there")), ledger).check() is True


def test_while_batches_are_under_way_the_farm_stays_where_it_is(
    store: Store, other: Store, ledger: Ledger
) -> None:
    """Submitting to another store is refused, and leaves nothing there."""
    submit(Resolved(frozen()), store, ledger)
    with pytest.raises(StoreForeign):
        submit(Resolved(frozen("elsewhere")), other, ledger)
    assert list(other.list("")) == []
    assert FarmStore(store, ledger).check() is True


def test_an_idle_farm_moves_with_the_next_order(store: Store, other: Store, ledger: Ledger) -> None:
    FarmStore(store, ledger).adopt()
    submit(Resolved(frozen()), other, ledger)
    assert FarmStore(other, ledger).check() is True
    with pytest.raises(StoreForeign, match=r"its store.json has the id"):
        FarmStore(store, ledger).check()


def test_a_person_can_move_a_farm_whose_store_is_lost(
    store: Store, other: Store, ledger: Ledger
) -> None:
    """The broker forgets what was under way there; the old store keeps its batches."""
    submit(Resolved(frozen()), store, ledger)
    assert FarmStore(other, ledger).adopt(forget_other=True) == [frozen().id]
    assert ledger.active() == []
    assert FarmStore(other, ledger).adopt(forget_other=True) == []
    assert FarmStore(other, ledger).check() is True
    assert list(store.folders("batches/")) == [frozen().id]


def test_two_that_order_first_at_once_agree(store: Store, ledger: Ledger) -> None:
    threads = [threading.Thread(target=FarmStore(store, ledger).adopt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert FarmStore(store, ledger).check() is True


def test_it_is_looked_at_now_and_then(
    store: Store, other: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm_store = FarmStore(store, ledger)
    farm_store.adopt()
    farm_store.check_if_due()
    FarmStore(other, ledger).adopt()
    farm_store.check_if_due()
    monkeypatch.setattr(farm_store_module, "LOOK_EVERY_S", 0.0)
    farm_store.check_if_due(idle=True)
    with pytest.raises(StoreForeign):
        farm_store.check_if_due()
