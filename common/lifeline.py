"""A child process that ends when its parent does, however that ends.

The parent holds a pipe to the child's stdin. When the parent is gone, by SIGKILL too, the pipe is
closed, and the child gets SIGINT. It looks from before its first import on, which may take
seconds; until it has a handler for SIGINT, that ends it at once.

    python -m common.lifeline PARENT MODULE ARGUMENT…      what `start` runs
"""

from __future__ import annotations

import logging
import os
import runpy
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import IO

log = logging.getLogger(__name__)

STDIN = 0
#: A process that the parent has forked may hold the pipe open, so its number is looked at too.
LOOK_MS = 500


class _Child(subprocess.Popen[bytes]):
    """One that nobody holds any more is let go: where a KeyboardInterrupt comes between its start
    and its having a name, Python keeps it, and the pipe with it."""

    def __del__(self) -> None:
        stdin = getattr(self, "stdin", None)
        if stdin:
            stdin.close()
        super().__del__()


def start(
    module: str,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    output: IO[bytes] | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Run `python -m module arguments`, in a session of its own, for as long as this process
    lives and holds what is returned, with its `stdin`. `output` takes its stdout and stderr."""
    command = [sys.executable, "-P", "-m", "common.lifeline", str(os.getpid()), module, *arguments]
    # It imports what this process does: a folder `common` of a person's own is none of ours.
    imports = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if isinstance(path, str))}
    # Blocked until the child has done away with Python's own handler: an import can swallow the
    # KeyboardInterrupt that this one raises.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return _Child(
            command,
            env={**(os.environ if environment is None else environment), **imports},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=pass_fds,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def main() -> None:
    _, parent, module, *arguments = sys.argv
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_watch, args=(int(parent),), name="lifeline", daemon=True).start()
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _watch(parent: int) -> None:
    poll = select.poll()
    poll.register(STDIN, 0)  # nothing is read here; a hang-up is told all the same
    while not poll.poll(LOOK_MS) and os.getppid() == parent:
        pass
    log.warning("the process that started this one is gone: ending")
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main()
