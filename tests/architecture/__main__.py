"""`python -m tests.architecture [FOLDER]`: what breaks the rules of the house, a line each; part
of `make lint`. Exit code 1 where anything does.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.architecture.rules import RULES
from tests.architecture.structure import Structure


def main(folder: Path) -> int:
    structure = Structure(folder)
    broken = [line for rule in RULES for line in rule(structure)]
    print("\n".join(broken) or f"{len(structure.modules)} modules keep {len(RULES)} rules")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(Path(*sys.argv[1:])))
