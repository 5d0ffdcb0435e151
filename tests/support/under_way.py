"""A batch as it stands in store and ledger while workers have some of its cells."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from common.batch import Batch, Matrix
from common.dispatch import Dispatcher, Ledger, LedgerStatus, queue_name
from common.store import Store, object_names
from producer.submission import Resolved, submit
from tests.support.orders import put_pictures
from tests.support.pictures import as_if_rendered

QUEUE = queue_name()
CELLS = 24


def ordered(batch: Batch, store: Store, ledger: Ledger) -> Batch:
    submit(Resolved(batch), store, ledger)
    return batch


def key_of(batch: Batch, i: int) -> str:
    cell = Matrix(batch)[i]
    assert cell
    return cell.key


def seen(batch: Batch, ledger: Ledger) -> LedgerStatus:
    status = ledger.status(batch.id)
    assert status
    return status


def taken(ledger: Ledger) -> tuple[str, int, int] | None:
    """What a worker pops: batch, cell, generation."""
    raw: Any = ledger.redis.rpop(QUEUE)
    return tuple(json.loads(json.loads(raw)["body"])[0]) if raw else None


def begun(batch: Batch, cells: Iterable[int], ledger: Ledger, *, generation: int = 0) -> None:
    for i in cells:
        assert ledger.claim(batch.id, i, generation, key_of(batch, i), "w1") == "ok"


def finished(batch: Batch, cells: Iterable[int], store: Store, ledger: Ledger) -> None:
    put_pictures(store, batch, cells)
    for i in cells:
        ledger.done(batch.id, i, key_of(batch, i))


def failed(batch: Batch, cells: Iterable[int], store: Store, ledger: Ledger) -> None:
    for i in cells:
        store.put(object_names.failure(batch.id, i), b'{"reason": "bad LoRA"}')
        begun(batch, [i], ledger)
        ledger.fail(batch.id, i, key_of(batch, i), "w1", "bad LoRA")


def work_off(batch: Batch, store: Store, ledger: Ledger) -> Counter[int]:
    """A pool renders until the queue stays empty; how often each cell was rendered."""
    rendered: Counter[int] = Counter()
    dispatcher = Dispatcher(store, ledger, [QUEUE])
    dispatcher.feed()
    while message := taken(ledger):
        _, i, generation = message
        if ledger.claim(batch.id, i, generation, key_of(batch, i), "w9") == "ok":
            rendered[i] += 1
            key = key_of(batch, i)
            store.put(object_names.picture(key), as_if_rendered(key))
            if ledger.done(batch.id, i, key_of(batch, i)):
                dispatcher.ending.finish(batch.id)
        dispatcher.feed()
    return rendered
