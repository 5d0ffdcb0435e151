"""`make chaos`: what happens when machines, brokers and networks go, in figures.

    python -m tests.chaos               every part
    python -m tests.chaos jobs frozen   some

Everything is real but the GPU: a broker, an S3 server, worker processes, signals. The renderer is
the stub of tests/support/stub_worker.py, which sleeps and draws what the job's key says. Exit
code 1 where a figure falls short.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.figures import Figure

PARTS = {
    "jobs": "1,000 jobs under kills, preemptions, broker deaths, cut connections and a wipe",
    "preemption": "from a cloud's notice to the cell in other hands",
    "frozen": "machines that freeze while they work, or just as a task is pushed",
    "waiting": "how long a GPU idles behind a slow store and broker",
    "scale": "a million cells",
    "stores": "stores of 1,000 and 10,000 batches, and the commands that look at all of them",
    "idle": "what idle workers and many batches cost the broker and the store",
    "control": "a person cancels, resumes, pauses and retries what is being rendered",
    "steering": "three people steer six batches that share pictures, at random",
    "fuzz": "hostile batch files, messages, sidecars and PNGs",
}


def run(part: str) -> list[Figure]:
    print(f"\n{part}: {PARTS[part]}", flush=True)
    module = importlib.import_module(f"tests.chaos.{part}")
    began = time.monotonic()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix=f"gridfarm-{part}-") as folder:
        for figure in module.figures(Path(folder)):
            print(f"  {figure}", flush=True)
            figures.append(figure)
    print(f"  ({time.monotonic() - began:.0f} s)", flush=True)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("parts", nargs="*", metavar="PART", help="; ".join(PARTS))
    parts = parser.parse_args().parts or list(PARTS)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    short = [figure for part in parts for figure in run(part) if not figure.met]
    print(f"\n{len(short)} fall short" if short else "\nall as they must be")
    return int(bool(short))


if __name__ == "__main__":
    sys.exit(main())
