"""`tests/` follows the packages: every module has a test file of its name, or a row here that
names the tests which cover it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.structure import Module, Structure

ROOT = Path(__file__).parents[2]
MODULES = {m.name: m for m in Structure(ROOT).modules.values() if not m.is_door}

#: Module → the tests that cover it, from `tests/`.
COVERED_BY: dict[str, tuple[str, ...]] = {}


def own_test(module: Module) -> Path:
    """`common/batch/matrix.py` → `tests/common/batch/test_matrix.py`."""
    return ROOT / "tests" / Path(*module.package.split(".")) / f"test_{module.stem}.py"


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_its_test(name: str) -> None:
    own = own_test(MODULES[name])
    assert own.exists() != (name in COVERED_BY), (
        f"{name} has {'both' if own.exists() else 'neither'} {own.relative_to(ROOT)} "
        "and a row in COVERED_BY"
    )


@pytest.mark.parametrize("name", COVERED_BY)
def test_a_row_names_a_module_and_its_tests(name: str) -> None:
    """A test that covers a module imports it, its door, or runs the command that does."""
    assert name in MODULES
    assert all((ROOT / "tests" / file).is_file() for file in COVERED_BY[name])
