"""The sign of life: who owns a removal, and what an owner does that stood still."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from common.errors import StoreFull, StoreUnreachable
from common.store import Store, object_names, open_store
from producer.removal import Beat, Overtaken, beat

NAME = object_names.removal_beat("ab")


@pytest.fixture
def shelf(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beat, "BEAT_EVERY_S", 0.01)
    monkeypatch.setattr(beat, "SETTLE_S", 0.2)


def begun(store: Store) -> Beat:
    own = Beat(store, "ab")
    own.begin()
    return own


def changes(store: Store) -> bool:
    watch = beat.Watch(store, "ab")
    deadline = time.monotonic() + 20
    while not watch.changed and time.monotonic() < deadline:
        watch.stands_still()
    return watch.changed


def test_it_beats_while_the_block_goes(store: Store) -> None:
    own = begun(store)
    with own.going():
        assert changes(store)
        own.check()
    assert not beat.Watch(store, "ab").stands_still()
    own.stop()
    assert beat.Watch(store, "ab").stands_still()


def test_what_fails_is_let_go(shelf: Store) -> None:
    """So that nobody waits to see whether it is alive."""
    with pytest.raises(KeyboardInterrupt), begun(shelf).going():
        raise KeyboardInterrupt
    assert not shelf.exists(NAME)


def test_a_beat_that_stands_is_seen_by_the_watchers_clock_alone(
    shelf: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(shelf)
    watch = beat.Watch(shelf, "ab")
    assert not watch.stands_still()
    monkeypatch.setattr(beat, "STILL_S", -1)
    assert watch.stands_still()
    assert not watch.changed


def test_nobody_takes_over_from_the_living(shelf: Store) -> None:
    own, other = begun(shelf), Beat(shelf, "ab")
    with own.going():
        # Its owner looks and writes again and again; whoever writes last, one of them owns it.
        taken = other.take_over()
    assert taken != (own._is_mine() and not own._lost)


def test_of_two_who_take_over_one_does(shelf: Store) -> None:
    begun(shelf)
    answers: list[bool] = []
    both = [
        threading.Thread(target=lambda: answers.append(Beat(shelf, "ab").take_over()))
        for _ in range(2)
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sorted(answers) == [False, True]


@pytest.mark.parametrize("clock", ["monotonic", "time"])
def test_an_owner_that_stood_still_looks_before_it_goes_on(
    shelf: Store, monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    """A sleeping machine stops one clock, and somebody may set the other."""
    own = begun(shelf)
    now = getattr(time, clock)
    monkeypatch.setattr(beat.time, clock, lambda: now() + 60)
    own.check()  # nobody came
    monkeypatch.setattr(beat.time, clock, lambda: now() + 120)
    shelf.put(NAME, b"somebody else's 1")
    with pytest.raises(Overtaken, match="taken it over"):
        own.check()
    own.stop()
    assert shelf.get(NAME) == b"somebody else's 1"


def test_an_owner_that_stood_still_while_it_wrote_its_beat(
    shelf: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had looked, somebody took the removal over and ended it, and its beat came afterwards."""
    own, now, put, late = begun(shelf), time.monotonic, shelf.put, 20.0
    monkeypatch.setattr(beat.time, "monotonic", lambda: now() + late)

    def frozen(name: str, data: bytes) -> None:
        nonlocal late
        late += 60
        shelf.delete(name)
        put(name, data)

    monkeypatch.setattr(shelf, "put", frozen)
    with pytest.raises(Overtaken):
        own.check()
    assert not shelf.exists(NAME)


def test_without_an_answer_of_the_store_nothing_is_deleted(
    shelf: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = begun(shelf)

    def away(*_: object, **__: object) -> bytes:
        raise StoreUnreachable("away")

    monkeypatch.setattr(shelf, "get", away)
    own.check()
    monkeypatch.setattr(beat, "FENCE_S", -1)
    with pytest.raises(StoreUnreachable):
        own.check()


def test_on_a_full_store_it_goes_on(shelf: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleting is what makes room."""
    own = begun(shelf)

    def full(*_: object, **__: object) -> None:
        raise StoreFull("full")

    monkeypatch.setattr(shelf, "put", full)
    monkeypatch.setattr(beat, "FENCE_S", -1)
    own.check()
