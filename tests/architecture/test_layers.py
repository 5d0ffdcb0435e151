"""Imports run downward: common below, producer and worker side by side, torch in few files."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "diffusers", "transformers", "compel", "peft", "accelerate", "tokenizers"}
ENGINE = {f"worker/{name}.py" for name in ("render", "pipelines", "prompts", "adapters")}
#: Light packages that come with the worker's; without them the file does less.
IF_THERE = {"producer/lint/clip_tokenizer.py": {"tokenizers"}}

FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for room in ("common", "producer", "worker")
    for path in (ROOT / room).rglob("*.py")
)


def imports(file: str) -> Iterator[str]:
    """Top-level package of every import, also of those inside functions."""
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("file", FILES)
def test_imports_run_downward(file: str) -> None:
    room, found = file.split("/")[0], set(imports(file))
    above = {"common": {"producer", "worker"}, "producer": {"worker"}, "worker": {"producer"}}
    assert not found & above[room]
    if file not in ENGINE and not file.startswith("worker/tiny/"):
        assert not found & (HEAVY - IF_THERE.get(file, set()))


def test_the_producer_works_without_torch() -> None:
    """Given an install in which none of the worker's packages can be imported, every module of
    the producer imports."""
    modules = [f.removesuffix(".py").replace("/", ".") for f in FILES if not f.startswith("worker")]
    code = f"""
import importlib, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY!r}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Blocked())
for module in {modules!r}:
    importlib.import_module(module.removesuffix(".__init__"))
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
