"""`gridfarm-worker`, and `python -m worker`: until the launcher listens to signals, Ctrl-C ends it
at once, and no import can swallow it."""

from __future__ import annotations

import signal


def main() -> None:
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from worker.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
