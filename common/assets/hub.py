"""Trouble with the Hugging Face hub, as both sides meet it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from common.errors import HubError
from common.text import without_login

#: Makes the error for a person out of huggingface_hub's and of what that says.
Explain = Callable[[Exception, str], HubError]


@contextmanager
def hub_errors(explain: Explain) -> Iterator[None]:
    """Raise what `explain` makes of anything that huggingface_hub raises inside. The text it is
    given has no login in its URLs, and is the error's class where that says nothing."""
    from huggingface_hub import errors

    try:
        yield
    except (errors.HTTPError, errors.EntryNotFoundError, OSError, ValueError) as error:  # type: ignore[attr-defined]
        raise explain(error, without_login(str(error)) or type(error).__name__) from error
