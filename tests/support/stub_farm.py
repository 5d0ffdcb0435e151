"""`gridfarm`, whose `render` starts the real launcher of workers that draw as `stub_worker` does.

python -m tests.support.stub_farm render FILE --workers 2
python -m tests.support.stub_farm worker …              # what it starts: `gridfarm-worker …`
"""

from __future__ import annotations

import sys
from functools import partial

NAME = "tests.support.stub_farm"


def gridfarm() -> None:
    from producer.cli import interrupts

    interrupts.end_at_once()  # as producer/cli/__main__.py does, before the imports
    from producer.cli.main import main
    from producer.local import workers

    workers.WORKER = (NAME, "worker")
    main()


def gridfarm_worker(arguments: list[str]) -> None:
    from tests.support import stub_worker
    from worker import cli

    cli.Slot = partial(cli.Slot, command=(stub_worker.NAME, "--process-options"))  # type: ignore[misc,assignment]
    cli.main(arguments)


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        gridfarm_worker(sys.argv[2:])
    gridfarm()
