"""The tree as the checks see it: modules, their imports, and what a door hands out.

Everything is read from the syntax tree, so that imports inside functions and under TYPE_CHECKING
count too, and nothing is imported to find out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOMS = ("common", "producer", "worker")


@dataclass(frozen=True)
class Import:
    """`from module import name` or `import module` (then `name` is "") at a line of a file."""

    line: int
    module: str
    name: str = ""

    @property
    def library(self) -> str:
        """The top-level package: `torch` of `torch.nn`."""
        return self.module.partition(".")[0]


@dataclass(frozen=True)
class Module:
    """One Python file by its dotted name; a package's is its `__init__.py`, which is its door."""

    name: str
    path: Path

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text())

    @property
    def is_door(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def package(self) -> str:
        """The package that the file lies in; a door lies in the one that it opens."""
        return self.name if self.is_door else self.name.rpartition(".")[0]

    @property
    def stem(self) -> str:
        return self.name.rpartition(".")[2]

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        return tuple(_imports(self.tree))

    @cached_property
    def exported(self) -> frozenset[str]:
        """The names in `__all__`."""
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                return frozenset(ast.literal_eval(node.value))
        return frozenset()


class Structure:
    """The three rooms below `root`, or others."""

    def __init__(self, root: Path, rooms: Iterable[str] = ROOMS) -> None:
        self.root = root
        files = sorted(file for room in rooms for file in (root / room).rglob("*.py"))
        self.modules = {name: Module(name, file) for file in files if (name := _name(file, root))}

    @cached_property
    def packages(self) -> dict[str, list[Module]]:
        """Package → its files without the door."""
        found: dict[str, list[Module]] = {m.name: [] for m in self.modules.values() if m.is_door}
        for module in self.modules.values():
            if not module.is_door:
                found[module.package].append(module)
        return found

    def own_imports(self, module: Module) -> Iterator[tuple[Import, Module]]:
        """The module's imports of ours, each with the file that it names: a door, or a file."""
        for found in module.imports:
            file = self.modules.get(f"{found.module}.{found.name}") or self.modules.get(
                found.module
            )
            if file:
                yield found, file

    def behind(self, found: Import, named: Module) -> Module:
        """The file that an import comes from in the end: through a door, that which defines the
        name."""
        while named.is_door:
            inner = [(i, file) for i, file in self.own_imports(named) if i.name == found.name]
            if not inner:
                break
            found, named = inner[0]
        return named

    def reached_from(self, modules: Iterable[Module]) -> set[str]:
        """The names of all modules that these use, directly or not, and their own."""
        reached: set[str] = set()
        waiting = [*modules]
        while waiting:
            module = waiting.pop()
            if module.name in reached:
                continue
            reached.add(module.name)
            if not module.is_door:
                waiting += [self.behind(*found) for found in self.own_imports(module)]
        return reached


def _name(file: Path, root: Path) -> str:
    return ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def _imports(tree: ast.Module) -> Iterator[Import]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (Import(node.lineno, node.module, alias.name) for alias in node.names)
