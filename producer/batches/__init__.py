"""The batches of a store, and what a person does with them.

lookup     which batch is meant by a word or a file
priority   high, normal, low
due        which of its pictures have to be in the store
stored_state  what a batch does by the store alone
absence    a broker that does not answer who follows a batch
status     how a batch stands, once or again and again
pace       how fast it is rendered, and how long the rest takes
listing    how all of them stand
lost       which of its pictures the store has lost
control    what is written and told for cancel, pause, resume, retry, another priority
steering   the same for a person: what makes no sense is said
remove     out of the store, with the pictures that no other batch has
"""

from __future__ import annotations

from producer.batches.control import Controller
from producer.batches.due import due_cells, known_due
from producer.batches.listing import ListedBatch, Listing, list_batches
from producer.batches.lookup import (
    LAST,
    FoundBatch,
    find_batch,
)
from producer.batches.pace import Pace
from producer.batches.priority import priority_number
from producer.batches.remove import Removal, RemovalPlan
from producer.batches.status import Status, StatusWatcher, changes
from producer.batches.steering import Steering

__all__ = [
    "LAST",
    "Controller",
    "FoundBatch",
    "ListedBatch",
    "Listing",
    "Pace",
    "Removal",
    "RemovalPlan",
    "Status",
    "StatusWatcher",
    "Steering",
    "changes",
    "due_cells",
    "find_batch",
    "known_due",
    "list_batches",
    "priority_number",
]
