"""What can go wrong, as one tree.

    GridfarmError                 expected: shown as a message and a hint, never as a traceback
    ├── BatchFileError            the batch file is wrong; carries every Problem found     exit 2
    ├── UsageError                the command line is wrong                                exit 2
    ├── InputFileError            a local file that a batch names is missing or unusable   exit 2
    ├── StoreError                the object store                                         exit 3
    │   ├── StoreUnreachable      no answer, or it stopped answering
    │   ├── StoreRefused          credentials or rights
    │   ├── StoreForeign          not the store that the broker's farm works with
    │   ├── StoreFull             no space, or read-only
    │   └── ObjectMissing         the named object is not there
    ├── BrokerAway                the broker; who only looks can ask the store             exit 3
    │   ├── BrokerError           Redis
    │   │   ├── BrokerUnreachable
    │   │   └── BrokerRefused
    │   └── BrokerEnded           the broker that `gridfarm render` has for itself
    ├── HubError                  a model or LoRA on the hub cannot be resolved            exit 3
    ├── TooLarge                  an object in the store is larger than any that is read   exit 1
    ├── NotFound                  no such batch, cell or picture                           exit 2
    └── CellError                 one cell cannot be rendered
        ├── BadInput              the cell's own input is at fault: fails at once          exit 2
        │   └── AssetGone         a file that it needs is not in the store any more
        └── SuspectPicture        NaN or black: fails when a second worker agrees

Every message names the place and the value; `hint` says what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class GridfarmError(Exception):
    """An expected error. `exit_code` is what the command line ends with."""

    exit_code = 1
    #: In a worker: the model or LoRA that cannot be had or loaded, which is no cell's own trouble.
    needs = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True)
class Problem:
    """One mistake in a batch file: `path` is dotted (`variants.base.steps`), "" is the file."""

    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.path}: " if self.path else ""
        mend = f" ({self.hint})" if self.hint else ""
        return f"{place}{self.message}{mend}"


class BatchFileError(GridfarmError):
    exit_code = 2

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.file = file
        self.problems = tuple(problems)
        count = "one mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{file}: {count}\n{lines}")


class UsageError(GridfarmError):
    exit_code = 2


class InputFileError(GridfarmError):
    exit_code = 2


class TooLarge(GridfarmError):
    pass


class NotFound(GridfarmError):
    exit_code = 2


class StoreError(GridfarmError):
    exit_code = 3


class StoreUnreachable(StoreError):
    pass


class StoreRefused(StoreError):
    pass


class StoreForeign(StoreError):
    pass


class StoreFull(StoreError):
    pass


class ObjectMissing(StoreError):
    pass


class BrokerAway(GridfarmError):
    """The broker does not answer; who only looks can ask the store."""

    exit_code = 3


class BrokerError(BrokerAway):
    pass


class BrokerUnreachable(BrokerError):
    pass


class BrokerRefused(BrokerError):
    pass


class BrokerEnded(BrokerAway):
    """No BrokerError: those are waited out, and this broker does not come back."""


class HubError(GridfarmError):
    exit_code = 3
    #: The hub did not answer; it may have what is wanted.
    away = False
    #: This machine's disk cannot keep what the hub gives.
    of_disk = False


class CellError(GridfarmError):
    pass


class BadInput(CellError):
    exit_code = 2


class AssetGone(BadInput):
    """A file that a cell needs is not in the store any more, or is another one there: what a
    machine has loaded before says nothing about those that have not."""


class SuspectPicture(CellError):
    pass
