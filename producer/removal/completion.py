"""A removal that was cut off is ended by whoever meets it: the next `rm`, or a submit that shares
a picture with it. A document is never deleted here: a batch that has one was submitted again,
or its removal had not begun, and keeps what it has."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property

from common.dispatch import Ledger
from common.store import Store, object_names
from producer.catalogue import UnknownKeys, keys_of_others
from producer.progress import ProgressCallback, Say, show_no_progress
from producer.removal.announcements import Announcements
from producer.removal.beat import Beat, Overtaken, Watch
from producer.removal.deletion import (
    delete_batch,
    delete_pictures,
    forget_keys,
    say_what_is_missing,
)
from producer.removal.intents import Intent
from producer.removal.stopping import stop_cells

POLL_S = 0.5


@dataclass
class CutOff:
    """Somebody else's removal, which is under way or was cut off: which one, time tells. The
    watching begins when this is made. Methods raise StoreError and BrokerError."""

    intent: Intent
    ledger: Ledger | None
    say: Say
    progress: ProgressCallback = show_no_progress
    #: Batches that count on their pictures, whether a listing shows them or not.
    also: tuple[str, ...] = ()
    _watch: Watch = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._watch = Watch(self.store, self.intent.token)

    @property
    def store(self) -> Store:
        return self.intent.store

    @cached_property
    def _name(self) -> str:
        return f"the removal of {', '.join(self.intent.batches)}"

    def wait(self) -> None:
        """Until it is over; it is ended here once it turns out that nobody is at it."""
        self.say(f"waiting for {self._name} to end")
        while self.intent.exists() and not self._complete_if_left():
            time.sleep(POLL_S)

    def complete_unless_alive(self) -> None:
        """End it if nobody is at it, which takes up to half a minute to see."""
        while self.intent.exists() and not self._complete_if_left():
            if self._watch.changed:
                return
            time.sleep(POLL_S)

    def _complete_if_left(self) -> bool:
        """True once it is over."""
        if not self._watch.stands_still():
            return False
        beat = Beat(self.store, self.intent.token)
        if not beat.take_over():
            return False
        if not self.intent.exists():  # its owner was just ending it, and had stopped the beat
            beat.stop()
            return True
        self.say(f"completing {self._name}, which was cut off")
        try:
            self._complete(beat, Announcements(self.ledger))
        except Overtaken as overtaken:
            # This process stood still, and somebody else ends it now: that is waited for.
            say_what_is_missing(overtaken.late, self.store, self.say)
            return False
        return True

    def _complete(self, beat: Beat, announcements: Announcements) -> None:
        with beat.going():
            self._delete(beat, announcements)
        self.intent.withdraw(beat, announcements)

    def _delete(self, beat: Beat, announcements: Announcements) -> None:
        gone = self._gone()
        stop_cells(gone, self.ledger, self.say, beat.check)
        own = {key for batch_id in gone for key in self.intent.keys_of(batch_id)}
        also = {*self.also, *announcements.submitted()}
        try:
            shared = keys_of_others(own, self.store, also=also, progress=self.progress)
        except UnknownKeys as unknown:
            self.say(f"the pictures of {', '.join(gone)} stay ({unknown})")
            shared = own
        delete_pictures(own - shared, self.store, beat.check, self.progress)
        for batch_id in gone:
            delete_batch(batch_id, self.store, self.ledger, beat.check)
        beat.check()
        forget_keys(gone, self.store)

    def _gone(self) -> list[str]:
        """Its batches, without those that were submitted again, or may be, as their notes are
        withdrawn."""
        noted = zip(self.intent.batches, self.intent.names, strict=True)
        return [
            batch_id
            for batch_id, note in noted
            if self.store.exists(note) and not self.store.exists(object_names.batch(batch_id))
        ]
