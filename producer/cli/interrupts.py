"""Ctrl-C and its like: they end a command wherever they meet it, and nobody swallows them.

    a module is being loaded     nothing has begun: the process ends at once
    the command runs             KeyboardInterrupt, so that what has begun is ended in order
    … and Python drops that      it is raised again
    the command has ended        the process ends at once

Only `gridfarm` itself sets this up. In a script or a notebook, signals are the host's affair.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

#: What shells give for a signal is this and its number.
SIGNALLED = 128
AGAIN_S = 0.05


class Interrupted(KeyboardInterrupt):
    """SIGTERM or SIGHUP, whose number it has."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def end_at_once() -> None:
    """Ctrl-C ends the process, from now on, with 130 and nothing raised: an import may swallow
    what is raised in it."""
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raise_again() -> None:
    """Ctrl-C is a KeyboardInterrupt again, after `end_at_once`, and no finaliser swallows it."""
    if signal.getsignal(signal.SIGINT) == _end:
        sys.unraisablehook = _insist
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def like_ctrl_c(*numbers: int) -> Iterator[None]:
    """In the block these signals raise Interrupted. One that is ignored, as `nohup` does with
    SIGHUP, stays so."""
    before = {number: signal.getsignal(number) for number in numbers}
    heeded = [number for number, handler in before.items() if handler != signal.SIG_IGN]
    try:
        for number in heeded:
            signal.signal(number, _raise)
        yield
    finally:
        for number in heeded:
            signal.signal(number, before[number])


def exit_code(error: BaseException) -> int:
    """What the process ends with for a KeyboardInterrupt, or for what click has made of it."""
    cause = error if isinstance(error, KeyboardInterrupt) else error.__cause__
    return SIGNALLED + (cause.number if isinstance(cause, Interrupted) else signal.SIGINT)


def leave_closed_terminal() -> bool:
    """Whether the terminal is gone. What is still written to it goes nowhere, and is no error."""
    closed = [fd for fd in (1, 2) if _hung_up(fd)]
    for fd in closed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), fd)
    return bool(closed)


def _hung_up(fd: int) -> bool:
    try:
        termios.tcgetattr(fd)
        return False
    except termios.error as error:  # ENOTTY: that is no terminal, and never was
        return error.args[0] in (errno.EIO, errno.ENXIO)


def _end(number: int, _: FrameType | None) -> NoReturn:
    os._exit(SIGNALLED + number)


def _raise(number: int, _: FrameType | None) -> NoReturn:
    leave_closed_terminal()
    raise Interrupted(number)


def _insist(dropped: UnraisableHookArgs) -> None:
    """An import and a finaliser let Python drop what is raised there, and go on."""
    if isinstance(dropped.exc_value, KeyboardInterrupt):
        number = getattr(dropped.exc_value, "number", signal.SIGINT)
        threading.Timer(AGAIN_S, os.kill, (os.getpid(), number)).start()
    else:
        sys.__unraisablehook__(dropped)
