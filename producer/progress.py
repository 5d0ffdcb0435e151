"""How work that takes more than a moment tells what it does: through callables that it is given.

Nothing below the command line prints. A command hands in what writes to the terminal
(`producer.cli.output`), a notebook what it likes, and by default nobody is told.
"""

from __future__ import annotations

from collections.abc import Callable

#: Called with what is going on, how much is done and of how much.
ProgressCallback = Callable[[str, int, int], None]
#: Called with a sentence for the person.
Say = Callable[[str], None]


def say_nothing(_text: str) -> None: ...


def show_no_progress(_what: str, _done: int, _of: int) -> None: ...
