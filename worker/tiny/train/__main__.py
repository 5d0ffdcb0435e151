"""`python -m worker.tiny.train FOLDER`: the tiny SDXL from nothing, on two CPU cores.

A finished stage is not begun again and an unfinished one goes on from its last checkpoint.
"""

from __future__ import annotations

import sys
from pathlib import Path

from worker.tiny.train import base, loras, refiner, vae


def main(folder: Path) -> None:
    """Leaves `folder`/base, `folder`/refiner and the LoRAs, beside what they were made from."""
    folder.mkdir(parents=True, exist_ok=True)
    vae.make(folder)
    base.make(folder)
    refiner.make(folder)
    for name, recipe in loras.LORAS.items():
        loras.make(folder, name, recipe)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
