"""Which batches a store has, in what order they came, and whose its pictures are: answered by a
few requests, however many batches there are.

ids          the ids of all batches
latest       the same, the one that was submitted last first
keys         the keys of a batch's pictures, or why nobody can tell
key_index    short hashes of every batch's keys, kept in the store
owners       which pictures other batches have
ordered_here  those that were ordered from this machine: `@last`
existing     whether a folder is a store at all
"""

from __future__ import annotations

from producer.catalogue.existing import check_existing
from producer.catalogue.ids import batch_ids
from producer.catalogue.key_index import KeyIndex
from producer.catalogue.keys import UnknownKeys, keys_of
from producer.catalogue.latest import forget_latest, latest_first, note_latest
from producer.catalogue.ordered_here import one_name, remember, remembered
from producer.catalogue.owners import keys_of_others, owners_of

__all__ = [
    "KeyIndex",
    "UnknownKeys",
    "batch_ids",
    "check_existing",
    "forget_latest",
    "keys_of",
    "keys_of_others",
    "latest_first",
    "note_latest",
    "one_name",
    "owners_of",
    "remember",
    "remembered",
]
