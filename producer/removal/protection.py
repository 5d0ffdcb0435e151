"""A submit's side: it writes its document, which protects its pictures from every removal that
looks from then on, and then looks for removals that have looked before."""

from __future__ import annotations

from common.batch import Matrix
from common.dispatch import Ledger
from common.store import Store, object_names
from producer.progress import ProgressCallback, Say, show_no_progress
from producer.removal.announcements import Announcements
from producer.removal.completion import CutOff
from producer.removal.intents import Intent, read_intents


def protect_pictures(
    matrix: Matrix,
    store: Store,
    ledger: Ledger | None,
    say: Say,
    progress: ProgressCallback = show_no_progress,
) -> None:
    """Put the batch's document; return when no removal can take a picture of the batch any more,
    so that what is stored then stays. Raises StoreError and BrokerError."""
    batch_id, announcements = matrix.batch.id, Announcements(ledger)
    while True:
        store.put(object_names.batch(batch_id), matrix.batch.to_bytes())
        announcements.submit(batch_id)
        met = [one for one in read_intents(store, announcements) if _concerns(one, matrix)]
        # All are watched from now on, so that those which nobody is at cost half a minute together.
        removals = [CutOff(one, ledger, say, progress, also=(batch_id,)) for one in met]
        for removal in removals:
            removal.wait()
        if not removals:
            return


def _concerns(intent: Intent, matrix: Matrix) -> bool:
    """Whether it may delete a picture of the batch, or something of the batch itself."""
    if matrix.batch.id in intent.batches:
        return True
    if matrix.distinct is None:  # nobody has looked whose its pictures are
        return bool(intent.keys)
    return not intent.keys.isdisjoint(matrix.distinct.jobs)
