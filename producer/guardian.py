"""A program without code of ours, such as the broker of `gridfarm render`, ended with whoever
started it.

    python -m common.lifeline PARENT producer.guardian STDIN PROGRAM ARGUMENT…

STDIN is the number of an open file that the program reads. Like a shell, it ends with the
program's exit code, or 128 and the number of the signal that ended it.
"""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import time

LOOK_S = 0.05
#: `man 2 prctl`: the signal that a process gets when its parent dies.
PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def main(stdin: str, *command: str) -> int:
    told: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: told.append(number))
    for number in (signal.SIGTERM, signal.SIGHUP):
        # A machine that shuts down tells all processes: the render still needs its broker.
        signal.signal(number, signal.SIG_IGN)
    program = subprocess.Popen(command, stdin=int(stdin), preexec_fn=_die_with_guardian)
    while program.poll() is None and not told:
        time.sleep(LOOK_S)
    if told:
        program.kill()
    code = program.wait()
    return code if code >= 0 else 128 - code


def _die_with_guardian() -> None:
    """On Linux the system ends the program even when its guardian is killed."""
    if _prctl:
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}")
