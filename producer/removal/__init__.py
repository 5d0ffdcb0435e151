"""How batches leave a store while others come: a removal says what it is about to do, a submit
says what it counts on, and each looks for the other (docs/decisions/removals-say-so-first.md).

announcements  both, told by the broker, for stores whose listings lag
beat           the sign of life of a removal, and who may end one that has none
intents        the note of a removal under way
stopping       no cell of a removed batch runs any more
deletion       pictures, and what is left of a batch beside its document
completion     a removal that was cut off is ended by whoever meets it
protection     a submit's side: its document first, then the removals that share a picture
"""

from __future__ import annotations

from producer.removal.announcements import Announcements
from producer.removal.beat import Beat, Overtaken
from producer.removal.completion import CutOff
from producer.removal.deletion import (
    delete_batch,
    delete_pictures,
    forget_keys,
    make_room,
    pictures_there,
    say_what_is_missing,
)
from producer.removal.intents import Intent, read_intents, write_intent
from producer.removal.protection import protect_pictures
from producer.removal.stopping import stop_cells, wait_for_cells

__all__ = [
    "Announcements",
    "Beat",
    "CutOff",
    "Intent",
    "Overtaken",
    "delete_batch",
    "delete_pictures",
    "forget_keys",
    "make_room",
    "pictures_there",
    "protect_pictures",
    "read_intents",
    "say_what_is_missing",
    "stop_cells",
    "wait_for_cells",
    "write_intent",
]
