"""Is the document that the store has under a batch's id the batch that is ordered?

An id holds 64 bits of the document's hash, so two batches of one name may have one id, and
somebody who may write to the store may put anything there. What is stored under an id decides
what its cells are: with another document under it, they would count as done or be drawn wrongly.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from common.batch import Batch
from common.dispatch import read_batch
from common.errors import GridfarmError, ObjectMissing, StoreError, UsageError
from common.store import Store
from producer.progress import Say

#: So many differences are named, each value with so many characters.
NAMED = 3
SHOWN = 40

Place = tuple[str, ...]


def check_document(batch: Batch, store: Store, say: Say) -> None:
    """Say that one cannot be read, which the submit then writes anew. What is stored means the
    same if it gives the same id today, however it was written. Raises UsageError for one that does
    not, and StoreError."""
    try:
        stored = read_batch(store, batch.id).canonical
    except ObjectMissing:
        return
    except StoreError:
        raise
    except (GridfarmError, ValueError) as error:  # the latter of RFC 8785, as in a `Job`
        say(f"the stored document of {batch.id} is damaged and is written anew: {error}")
        return
    if stored != batch.canonical:
        raise UsageError(
            f"the store has another batch under the id {batch.id}:"
            f" {_differences(stored, batch.canonical)}",
            hint="give this one another `name:`, so that it gets an id of its own",
        )


def _differences(stored: bytes, ordered: bytes) -> str:
    """The first places where the two differ, with what each says there."""
    there, here = (dict(_leaves(json.loads(document))) for document in (stored, ordered))
    places = [at for at in (*there, *here) if there.get(at) != here.get(at)]
    found = [_difference(at, there, here) for at in dict.fromkeys(places)]
    more = [f"{len(found) - NAMED:,} more"] if len(found) > NAMED else []
    return "; ".join([*found[:NAMED], *more])


def _difference(at: Place, there: dict[Place, Any], here: dict[Place, Any]) -> str:
    stored, ordered = (_shown(side[at]) if at in side else "nothing" for side in (there, here))
    return f"{'.'.join(at)} is {stored} there and {ordered} here"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _leaves(value: Any, at: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every value of a document that has no values inside, with its place."""
    if not (isinstance(value, dict | list) and value):
        yield at, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, (*at, str(name)))
    else:
        for number, inner in enumerate(value):
            yield from _leaves(inner, (*at, str(number)))
