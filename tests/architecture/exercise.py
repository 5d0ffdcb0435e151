"""What a test file may exercise, from the syntax tree: all that its imports lead to, through
doors, through `tests/support`, and through the fixtures and programs that it names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.architecture.structure import ROOMS, Import, Module, Structure

ROOT = Path(__file__).parents[2]

PROGRAMS = {"gridfarm": "producer.cli.__main__", "gridfarm-worker": "worker.__main__"}

_IMPORTED = re.compile(r"(?:from|import) ([\w.]+)")


class Tree(Structure):
    """The rooms and the tests, with what is used by its name alone: a program that a test starts
    (`gridfarm`, `python -m worker.cli`, or a text of Python), and the commands, which are imported
    when they are given."""

    def own_imports(self, module: Module) -> Iterator[tuple[Import, Module]]:
        yield from super().own_imports(module)
        named: set[str] = set()
        if module.name.startswith("tests."):
            texts = _texts(module.tree)
            imported = {name for text in texts for name in _IMPORTED.findall(text)}
            programs = {PROGRAMS[text] for text in texts & PROGRAMS.keys()}
            named = (texts | imported | programs) & self.modules.keys()
        if module.name == "producer.cli.main":
            named = {name for name in self.modules if name.startswith("producer.cli.commands.")}
        yield from ((Import(0, name), self.modules[name]) for name in named)


TREE = Tree(ROOT, (*ROOMS, "tests"))
BY_PATH = {module.path: module for module in TREE.modules.values()}


@cache
def exercised(file: Path) -> set[str]:
    """The names of the modules that a test file leads to. A conftest counts where the file names
    one of its fixtures."""
    test = BY_PATH[file]
    files, named = [test], _texts(test.tree) | _parameters(test.tree)
    for folder in file.parents:
        conftest = BY_PATH.get(folder / "conftest.py")
        if conftest and named & _functions(conftest.tree):
            files.append(conftest)
            named |= _parameters(conftest.tree)
    return TREE.reached_from(files)


def _texts(tree: ast.AST) -> set[str]:
    constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {node.value for node in constants if isinstance(node.value, str)}


def _parameters(tree: ast.AST) -> set[str]:
    return {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}


def _functions(tree: ast.AST) -> set[str]:
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
