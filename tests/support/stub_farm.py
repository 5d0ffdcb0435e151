"""`gridfarm`, whose `render` starts the real launcher of workers that draw as `stub_worker` does.

python -m tests.support.stub_farm render FILE --workers 2
python -m tests.support.stub_farm worker …              # what it starts: `gridfarm-worker …`
"""

from __future__ import annotations

import sys
from functools import partial

from tests.support import stub_worker

NAME = "tests.support.stub_farm"


def gridfarm(arguments: list[str]) -> int:
    from producer.cli.main import run
    from producer.local import servers

    servers.WORKER = (NAME, "worker")
    return run(arguments)


def gridfarm_worker(arguments: list[str]) -> None:
    from worker import cli

    cli.Slot = partial(cli.Slot, command=(stub_worker.NAME, "--process-options"))  # type: ignore[misc,assignment]
    cli.main(arguments)


if __name__ == "__main__":
    _, *given = sys.argv
    if given[:1] == ["worker"]:
        gridfarm_worker(given[1:])
    sys.exit(gridfarm(given))
