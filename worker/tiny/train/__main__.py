"""`python -m worker.tiny.train FOLDER`: the tiny SDXL from nothing, on two CPU cores.

A finished stage is not begun again and an unfinished one goes on from its last checkpoint.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path

from common.errors import UsageError
from worker.tiny.train import base, loras, refiner, vae


def main(folder: Path) -> None:
    """Leaves `folder`/base, `folder`/refiner and the LoRAs, beside what they were made from.

    Raises UsageError for a folder whose base was not trained there: LoRAs and a refiner would
    be made for a base that is not what the script makes.
    """
    if (folder / "base").exists() and not (folder / "base.pt").exists():
        raise UsageError(
            f"{folder}/base was not trained there", hint="give a folder that is empty or new"
        )
    folder.mkdir(parents=True, exist_ok=True)
    vae.make(folder)
    base.make(folder)
    refiner.make(folder)
    for name, recipe in loras.LORAS.items():
        loras.make(folder, name, recipe)


if __name__ == "__main__":
    parser = ArgumentParser("python -m worker.tiny.train", description=__doc__)
    parser.add_argument("folder", type=Path, help="takes about a gigabyte")
    try:
        main(parser.parse_args().folder)
    except UsageError as error:
        sys.exit(f"{error.message}: {error.hint}")
