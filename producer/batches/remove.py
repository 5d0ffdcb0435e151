"""Take batches out of the store: cancel them, delete their pictures, then what is left of them.

The order lets nothing come back, and takes nothing that another batch counts on
(docs/decisions/removals-say-so-first.md):

1. They are cancelled (`Controller`): no cell is sent any more, a running one stops at its
   next renewal, and a rebuild skips it.
2. A note says what is removed (`producer.removal`), with the documents and a sign of life.
3. The documents go, and with them the batches: for everybody, also for another removal.
4. Who has their pictures is looked up now; those that nobody has go, of each the PNG last.
5. What is left of the batches; the ledger; the note.

A submit writes its document before it looks for notes, so either it is seen in 4, or it sees the
note and waits. What is cut off is completed by the next `rm`, or by a submit that meets it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from common.batch import Batch
from common.dispatch import UNFINISHED, Ledger
from common.errors import BrokerError, GridfarmError, NotFound, StoreError, StoreFull, UsageError
from common.store import Store, object_names
from producer.batches.control import Controller
from producer.catalogue import UnknownKeys, keys_of, keys_of_others
from producer.progress import ProgressCallback, Say, show_no_progress
from producer.removal import (
    Announcements,
    Beat,
    CutOff,
    Intent,
    Overtaken,
    delete_batch,
    delete_pictures,
    forget_keys,
    make_room,
    pictures_there,
    read_intents,
    say_what_is_missing,
    stop_cells,
    wait_for_cells,
    write_intent,
)

#: Batch id → its document; None where that is gone or cannot be read.
Documents = Mapping[str, Batch | None]


@dataclass(frozen=True)
class RemovalPlan:
    """What becomes of the stored pictures of some batches: the keys of those that `go`, how many
    `stay` because other batches have them; or `why` all of them stay, and then `stay` is None.
    `store` is the URL of the store that it is about."""

    batches: tuple[str, ...]
    go: tuple[str, ...] = ()
    stay: int | None = 0
    why: str = ""
    store: str = ""


@dataclass(frozen=True)
class Removal:
    """Some batches of one store, to be removed from it. `ledger` is None where no broker is
    configured, or the one of a farm that works with another store."""

    batches: Documents
    store: Store
    ledger: Ledger | None
    say: Say
    progress: ProgressCallback = show_no_progress

    def check_finished(self, *, cancel: bool) -> None:
        """Raises UsageError where one of the batches is not, unless it may be cancelled."""
        active = self._active()
        if active and not cancel:
            raise _not_finished(active)
        if active and not self.ledger:
            self.say("no broker of this store's farm is told: a worker that renders it now goes on")

    def plan(self, *, keep_pictures: bool = False) -> RemovalPlan:
        """What would be removed at this moment. Raises StoreError."""
        return self._plan(keep_pictures=keep_pictures, besides=self.batches)

    def run(self, *, cancel: bool = False, keep_pictures: bool = False) -> RemovalPlan:
        """Cancel the batches, wait until none of their cells runs, remove them; what went.

        Raises UsageError where one is under way again and may not be cancelled, StoreError and
        BrokerError; safe to be cut off anywhere and done again.
        """
        others = [
            CutOff(intent, self.ledger, self.say, self.progress)
            for intent in read_intents(self.store, Announcements(self.ledger))
        ]
        # A person had time to think since it was looked at.
        self.check_finished(cancel=cancel)
        self._stop(cancel=cancel)
        plan = self._remove(cancel=cancel, keep_pictures=keep_pictures)
        for other in others:
            self._complete(other)
        return plan

    def _stop(self, *, cancel: bool) -> None:
        """Without `cancel` nothing is, be it that somebody has just submitted it: `_remove` looks
        once more when its note is written."""
        if not cancel:
            wait_for_cells(self.batches, self.ledger, self.say)
            return
        for batch_id in self.batches:
            self._cancel(batch_id)
        stop_cells(self.batches, self.ledger, self.say, check=_nothing_to_check)

    def _complete(self, other: CutOff) -> None:
        """What has been removed here is told all the same when this fails."""
        try:
            other.complete_unless_alive()
        except (StoreError, BrokerError) as error:
            self.say(f"another removal was cut off and could not be completed: {error.message}")

    def _active(self) -> list[str]:
        return [batch_id for batch_id in self.batches if self._is_active(batch_id)]

    def _is_active(self, batch_id: str) -> bool:
        """A render on this machine has no marker in the store: nobody else takes its batch up."""
        if self.ledger and self.ledger.is_local and (status := self.ledger.status(batch_id)):
            return status.state in UNFINISHED
        return self.store.exists(object_names.active(batch_id))

    def _cancel(self, batch_id: str) -> None:
        """As far as it can be written down: a full store, a damaged control.json and a batch
        without a document are no reason to keep it. `stop_cells` does the rest."""
        with suppress(StoreFull, NotFound):
            try:
                if self.store.exists(object_names.batch(batch_id)):
                    Controller(batch_id, self.store, self.ledger).cancel()
            except (StoreError, BrokerError):
                raise
            except GridfarmError as error:
                self.say(f"{batch_id}: {error.message}")

    def _remove(self, *, cancel: bool, keep_pictures: bool) -> RemovalPlan:
        announcements = Announcements(self.ledger)
        note = self._write_intent(announcements, keep_pictures=keep_pictures)
        if note is None:
            return self._remove_without_note(keep_pictures=keep_pictures)
        intent, beat = note
        if not cancel and (active := self._active()):
            _withdraw(intent, beat, announcements)
            raise _not_finished(active)
        with beat.going(), self._saying_how_it_ends():
            plan = self._remove_noted(beat, keep_pictures=keep_pictures)
        _withdraw(intent, beat, announcements)
        return plan

    @contextmanager
    def _saying_how_it_ends(self) -> Iterator[None]:
        try:
            yield
        except Overtaken as overtaken:
            say_what_is_missing(overtaken.late, self.store, self.say)
            raise
        except BaseException:
            self.say("the removal was cut off: the next gridfarm rm, of any batch, completes it")
            raise

    def _remove_noted(self, beat: Beat, *, keep_pictures: bool) -> RemovalPlan:
        for batch_id in self.batches:
            beat.check()
            self.store.delete(object_names.batch(batch_id))
        # Who resumed one meanwhile cannot do so any more.
        stop_cells(self.batches, self.ledger, self.say, beat.check)
        plan = self._plan(keep_pictures=keep_pictures)
        delete_pictures(plan.go, self.store, beat.check, self.progress)
        for batch_id in self.batches:
            delete_batch(batch_id, self.store, self.ledger, beat.check)
        beat.check()
        forget_keys(self.batches, self.store)
        return plan

    def _write_intent(
        self, announcements: Announcements, *, keep_pictures: bool
    ) -> tuple[Intent, Beat] | None:
        """None where the store is full and stays so."""
        noted = dict.fromkeys(self.batches) if keep_pictures else self.batches
        with suppress(StoreFull):
            return write_intent(noted, self.store, announcements)
        for batch_id in self.batches:
            make_room(batch_id, self.store)
        with suppress(StoreFull):
            return write_intent(noted, self.store, announcements)
        return None

    def _remove_without_note(self, *, keep_pictures: bool) -> RemovalPlan:
        """The documents last: nothing else says which pictures were to go."""
        self.say("the store is full: until this has ended, submit nothing to it")
        plan = self.plan(keep_pictures=keep_pictures)
        delete_pictures(plan.go, self.store, _nothing_to_check, self.progress)
        for batch_id in self.batches:
            delete_batch(batch_id, self.store, self.ledger, _nothing_to_check)
            self.store.delete(object_names.batch(batch_id))
        forget_keys(self.batches, self.store)
        return plan

    def _plan(self, *, keep_pictures: bool, besides: Collection[str] = ()) -> RemovalPlan:
        """`besides` are batches that count as removed already."""
        if keep_pictures:
            return self._plan_that_keeps("--keep-pictures")
        try:
            own = {key for id_, batch in self.batches.items() for key in keys_of(id_, batch)}
            shared = self._shared(own, besides)
        except UnknownKeys as unknown:
            return self._plan_that_keeps(str(unknown))
        stored = pictures_there(sorted(own), self.store, self.progress)
        go = tuple(key for key in stored if key not in shared)
        return RemovalPlan(tuple(self.batches), go, len(stored) - len(go), store=self.store.url)

    def _plan_that_keeps(self, why: str) -> RemovalPlan:
        return RemovalPlan(tuple(self.batches), stay=None, why=why, store=self.store.url)

    def _shared(self, own: Collection[str], besides: Iterable[str]) -> set[str]:
        also = Announcements(self.ledger).submitted()
        return keys_of_others(
            own, self.store, besides=tuple(besides), also=also, progress=self.progress
        )


def _withdraw(intent: Intent, beat: Beat, announcements: Announcements) -> None:
    """Or leave that to whoever has taken it over, since nothing else is left to do."""
    with suppress(Overtaken):
        intent.withdraw(beat, announcements)


def _not_finished(active: Sequence[str]) -> UsageError:
    return UsageError(
        f"not finished: {', '.join(active)}",
        hint=f"--cancel stops it first; gridfarm status {active[0]} says how it stands",
    )


def _nothing_to_check() -> None:
    """Where there is no note: nobody can take over what nobody knows of."""
