"""The rules of the house hold, and each of them can fail: a mistake that is planted is found.

The order of imports is import-linter's (`[tool.importlinter]` in pyproject.toml), the rest is
`tests.architecture`'s; `make lint` runs both.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.rules import (
    CROWDED,
    LONG,
    RULES,
    Rule,
    common_is_common,
    doors_say_what_is_behind_them,
    sizes,
)
from tests.architecture.structure import ROOMS, Structure

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "diffusers", "transformers", "compel", "peft", "accelerate", "tokenizers"}


@pytest.fixture(scope="module")
def structure() -> Structure:
    return Structure(ROOT)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The three rooms and pyproject.toml in a folder of their own, to plant mistakes in."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=_all_but_python)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def _all_but_python(folder: str, names: list[str]) -> list[str]:
    return [n for n in names if not n.endswith(".py") and not (Path(folder) / n).is_dir()]


def plant(copy: Path, file: str, line: str) -> None:
    """Write `line` as the first statement of a file."""
    path = copy / file
    text = path.read_text()
    future = "from __future__ import annotations\n"
    assert future in text
    path.write_text(text.replace(future, f"{future}\n{line}\n", 1))


def order_of_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """import-linter, as `make lint` runs it."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_holds(structure: Structure, rule: Rule) -> None:
    assert [*rule(structure)] == []


def test_imports_run_downward_and_in_no_circle() -> None:
    done = order_of_imports(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        pytest.param(
            "common/batch/document.py",
            "from producer.language import printed",
            "common imports neither",
            id="upward, out of common",
        ),
        pytest.param(
            "common/job/job.py",
            "from common.batch import Batch",
            "Packages of common",
            id="upward, inside common",
        ),
        pytest.param(
            "worker/tasks/leases.py",
            "from worker.engine import Renderer",
            "Packages of the worker",
            id="tasks and engine",
        ),
        pytest.param(
            "common/batch/templates.py",
            "from common.batch.matrix import Matrix",
            "circle",
            id="a circle of files",
        ),
    ],
)
def test_a_planted_arrow_fails_the_lint(copy: Path, file: str, line: str, contract: str) -> None:
    plant(copy, file, line)
    done = order_of_imports(copy)
    assert done.returncode == 1
    assert contract in done.stdout.partition("Broken contracts")[2]


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        pytest.param(
            "producer/sheet/paint.py",
            "import torch",
            "producer/sheet/paint.py:{line}: imports torch, which only",
            id="torch in producer",
        ),
        pytest.param(
            "worker/tasks/cell_task.py",
            "def render() -> None:\n    import torch",
            "worker/tasks/cell_task.py:{line}: imports torch, which only",
            id="torch inside a function",
        ),
        pytest.param(
            "producer/batches/status.py",
            "from common.dispatch.ledger import Ledger as Direct",
            "enters common.dispatch.ledger; import from common.dispatch",
            id="past a door",
        ),
        pytest.param(
            "common/batch/matrix.py",
            "from common.batch.document import _Frozen",
            "takes _Frozen of common.batch.document",
            id="a private name",
        ),
    ],
)
def test_a_planted_import_is_found(copy: Path, file: str, line: str, said: str) -> None:
    plant(copy, file, line)
    at = (copy / file).read_text().splitlines().index(line.splitlines()[-1]) + 1
    done = subprocess.run(
        [sys.executable, "-m", "tests.architecture", str(copy)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert said.format(line=at) in done.stdout


@pytest.mark.parametrize("command", ["lint-imports --no-cache", "python -m tests.architecture"])
def test_make_lint_runs_what_finds_them(command: str) -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    assert f"$(BIN)/{command}\n" in recipe + "\n"


def test_what_only_one_side_uses_is_found(copy: Path) -> None:
    (copy / "common" / "text" / "lonely.py").write_text('"""Nobody\'s."""\n')
    structure = Structure(copy)
    broken = [*common_is_common(structure), *doors_say_what_is_behind_them(structure)]
    assert "common/text/lonely.py: the worker does not use it; move it to the other side" in broken
    assert "common/text/__init__.py: its docstring does not name lonely" in broken


def test_a_room_that_is_too_full_and_a_file_too_long_are_found(copy: Path) -> None:
    for number in range(13):
        (copy / "common" / "text" / f"more{number}.py").write_text("\n" * 401)
    broken = [*sizes(Structure(copy))]
    assert any(line.startswith("common.text: has 1") for line in broken)
    assert "common/text/more7.py: has 401 lines; at most 400" in broken


def test_no_exception_outlives_its_reason(structure: Structure) -> None:
    """A named exception that is none any more is deleted."""
    assert all(len(structure.packages[package]) > 12 for package in CROWDED)
    assert all(len(structure.modules[name].path.read_text().splitlines()) > 400 for name in LONG)


def test_the_producer_works_without_torch(structure: Structure) -> None:
    """Given an install in which none of the worker's packages can be imported, every module of
    the producer imports."""
    modules = [name for name in structure.modules if not name.startswith("worker")]
    code = f"""
import importlib, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY!r}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Blocked())
for module in {modules!r}:
    importlib.import_module(module)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_help_imports_nothing_heavy() -> None:
    """`gridfarm --help` pays for click alone."""
    code = """
import sys
from producer.cli.main import run
run(["--help"])
heavy = {"celery", "boto3", "redis", "pydantic", "numpy", "PIL", "rich", "torch", "yaml"}
sys.exit(", ".join(sorted(heavy & set(sys.modules))) or 0)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
