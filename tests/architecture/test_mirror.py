"""`tests/` follows the packages: every module has a test file of its name, or a row in
`covered_by` that names the tests which cover it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.covered_by import COVERED_BY
from tests.architecture.exercise import ROOT, exercised
from tests.architecture.structure import Module, Structure

MODULES = {m.name: m for m in Structure(ROOT).modules.values() if not m.is_door}


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
    assert name in MODULES, "there is no such module"
    assert COVERED_BY[name], "the row is empty"
    assert [file for file in COVERED_BY[name] if not (ROOT / "tests" / file).is_file()] == []


@pytest.mark.parametrize("name", MODULES)
def test_the_tests_of_a_module_lead_to_it(name: str) -> None:
    """A test file that never imports the module, what imports it, or a program that does, can
    cover nothing of it."""
    own = own_test(MODULES[name])
    files = [own] if own.exists() else [ROOT / "tests" / file for file in COVERED_BY.get(name, ())]
    assert [file.name for file in files if name not in exercised(file)] == []


def test_rows_are_sorted() -> None:
    assert [*COVERED_BY] == sorted(COVERED_BY)
