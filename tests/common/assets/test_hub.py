"""Trouble with the hub becomes one kind of error, whatever huggingface_hub raises for it."""

from __future__ import annotations

import errno

import pytest
from huggingface_hub import errors

from common.assets import disk_trouble, hub_errors
from common.errors import HubError

LOGIN = "https://someone:secret@hub.example/x"


def explain(error: Exception, text: str) -> HubError:
    return HubError(f"{type(error).__name__}: {text}")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.HFValidationError("Cannot have --"), "HFValidationError: Cannot have --"),
        (errors.EntryNotFoundError("no file"), "EntryNotFoundError: no file"),
        (errors.HTTPError("no answer"), "HTTPError: no answer"),
        (ConnectionError(f"no answer from {LOGIN}"), "ConnectionError: no answer from https://"),
        (TimeoutError(), "TimeoutError: TimeoutError"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_is_explained(error: Exception, message: str) -> None:
    with pytest.raises(HubError) as told, hub_errors(explain):
        raise error
    assert told.value.message.startswith(message)
    assert "secret" not in told.value.message
    assert told.value.__cause__ is error


def test_what_is_no_trouble_with_the_hub_passes() -> None:
    with pytest.raises(ZeroDivisionError), hub_errors(explain):
        raise ZeroDivisionError


def test_a_caller_may_let_its_own_pass() -> None:
    """The worker does for a full disk, which is not the hub's fault."""

    def refuse(error: Exception, _text: str) -> HubError:
        raise error

    with pytest.raises(OSError, match="disk full"), hub_errors(refuse):
        raise OSError("disk full")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "Disk quota exceeded"),
        (OSError(errno.EROFS, "Read-only file system", "/hf/hub"), "Read-only file system"),
        (PermissionError(errno.EACCES, "Permission denied", "/hf/hub"), "Permission denied"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/hf/hub"), "Not a directory"),
        (PermissionError(errno.EACCES, "Permission denied"), ""),
        (ConnectionError(errno.ECONNREFUSED, "Connection refused"), ""),
        (TimeoutError(), ""),
        (errors.HTTPError("no answer"), ""),
    ],
    ids=["full", "quota", "read-only", "rights", "file", "a firewall", "refused", "late", "HTTP"],
)
def test_what_is_of_this_machines_disk(error: Exception, says: str) -> None:
    """A firewall's refusal has no file's name."""
    assert disk_trouble(error) == says
