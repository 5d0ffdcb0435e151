"""What is deleted of removed batches: pictures, and each object of theirs but the document, whose
deletion is what removes a batch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from common.dispatch import Control, Ledger, read_control_if_any
from common.errors import GridfarmError, StoreError
from common.store import Store, object_names
from producer.catalogue import KeyIndex, UnknownKeys, forget_latest, owners_of
from producer.progress import ProgressCallback, Say, show_no_progress
from producer.removal.beat import Overtaken
from producer.wording import counted

DELETERS = 16

#: Called before each deletion: what it raises ends them, such as Overtaken (`Beat.check`).
Check = Callable[[], None]


def pictures_there(
    keys: Iterable[str], store: Store, progress: ProgressCallback = show_no_progress
) -> list[str]:
    """Those of the keys that a PNG lies under, be it a good one or not. Raises StoreError."""
    wanted = list(keys)
    found = []
    with ThreadPoolExecutor(DELETERS) as pool:
        answers = pool.map(lambda key: store.exists(object_names.picture(key)), wanted)
        for count, (key, there) in enumerate(zip(wanted, answers, strict=True), 1):
            found += [key] if there else []
            progress("looking for its pictures", count, len(wanted))
    return found


def delete_pictures(
    keys: Collection[str],
    store: Store,
    check: Check,
    progress: ProgressCallback = show_no_progress,
) -> None:
    """Of each the PNG last, so that none is left half deleted and unseen. `check` is called
    before and after each deletion, and what it raises ends them. Raises StoreError, and Overtaken
    with the keys whose deletion was on its way when `check` raised it."""
    under_way: set[str] = set()

    def delete_picture(key: str) -> None:
        under_way.add(key)
        for name in (
            object_names.thumbnail(key),
            object_names.sidecar(key),
            object_names.picture(key),
        ):
            check()
            store.delete(name)
        check()
        under_way.discard(key)

    with ThreadPoolExecutor(DELETERS) as pool:
        try:
            for count, _ in enumerate(pool.map(delete_picture, keys), 1):
                progress("deleting pictures", count, len(keys))
        except Overtaken:
            pool.shutdown(cancel_futures=True)
            raise Overtaken(under_way) from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def delete_batch(batch_id: str, store: Store, ledger: Ledger | None, check: Check) -> None:
    """All of it but `batch.json`, which is gone, or that of a submit since, which `check` knows
    of. Raises StoreError, BrokerError, and what `check` raises."""

    def delete(name: str) -> None:
        check()
        store.delete(name)

    if control := _control(batch_id, store):
        check()
        forget_latest(store, batch_id, control.submitted)
    document = object_names.batch(batch_id)
    names = {
        *store.list(f"{object_names.BATCHES}{batch_id}/"),
        object_names.control(batch_id),
        object_names.done_bitmap(batch_id),
        object_names.active(batch_id),
    }
    with ThreadPoolExecutor(DELETERS) as pool:
        list(pool.map(delete, names - {document}))
    if ledger:
        check()
        ledger.drop(batch_id)


def _control(batch_id: str, store: Store) -> Control | None:
    """One that is damaged says nothing: `list` finds out that the name is stale."""
    with suppress(GridfarmError):
        return read_control_if_any(store, batch_id)
    return None


def make_room(batch_id: str, store: Store) -> None:
    """What a batch that goes needs least, deleted from a store that is full. Raises StoreError."""
    for name in store.list(object_names.failures(batch_id)):
        store.delete(name)
    store.delete(object_names.cells(batch_id))
    store.delete(object_names.done_bitmap(batch_id))


def forget_keys(batches: Collection[str], store: Store) -> None:
    """Out of the index, too."""
    with suppress(StoreError):
        KeyIndex(store).update({}, gone=batches)


def say_what_is_missing(late: Collection[str], store: Store, say: Say) -> None:
    """A deletion that was on its way while its remover stood still may have taken a picture that
    somebody was told is stored. Raises StoreError."""
    missing = set(late).difference(pictures_there(late, store))
    with suppress(UnknownKeys):
        for batch_id, keys in owners_of(missing, store).items():
            lost = counted(len(keys), "picture")
            say(f"{batch_id} misses {lost}: gridfarm retry {batch_id} --all renders them")
