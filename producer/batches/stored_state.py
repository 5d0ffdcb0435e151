"""What a batch is doing by the store alone."""

from __future__ import annotations

from common.dispatch import UNFINISHED, Control, read_control_if_any
from common.store import Store, object_names

#: Shown while its submit is under way, and after one that was cut off.
SUBMITTING = "submitting"
#: Shown for a batch of a render on somebody's own machine that did not come to its end.
STOPPED = "stopped"


def stored_state(batch_id: str, store: Store) -> tuple[str, Control]:
    """The state as people are told it, and the control document or its default. Raises StoreError,
    and GridfarmError for a document that is damaged."""
    control = read_control_if_any(store, batch_id) or Control()
    if control.state in UNFINISHED and control.local:
        return STOPPED, control
    # The marker is what a submit writes last: without it no worker finds the batch.
    if control.state in UNFINISHED and not store.exists(object_names.active(batch_id)):
        return SUBMITTING, control
    return control.state, control
