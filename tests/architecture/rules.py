"""What holds for the tree beyond the order of imports, which `pyproject.toml` has for
import-linter: doors, private names, libraries, who uses `common/`, sizes, the tests' mirror.

Each rule yields a line for each place that breaks it: `file:line: what is wrong; what to do`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatch

from tests.architecture.structure import Import, Module, Structure

Rule = Callable[[Structure], Iterator[str]]

MOST_FILES = 12
MOST_LINES = 400

#: Folders with more files, and why.
CROWDED = {
    "producer.cli.commands": "one file for each command",
    "worker.tiny.train": "a developer's tool, one file for each part that is trained",
}

#: Files with more lines, and why.
LONG: dict[str, str] = {}

#: A developer's tool beside the packages: it has no door but `python -m worker.tiny.train`.
WITHOUT_DOOR = ("worker.tiny.train", "worker.tiny.world")

#: Library → the modules that may import it, as patterns. Others may be imported anywhere.
ONLY_IN: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("torch", "diffusers", "transformers", "compel", "peft", "accelerate"),
        ("worker.engine.*", "worker.tiny.train.*"),
    ),
    # Comes with transformers; a producer that has it counts a prompt's tokens.
    "tokenizers": ("worker.tiny.train.*", "producer.lint.clip_tokenizer"),
    "celery": (
        "worker.process.consumer",
        "worker.process.transport",
        "worker.process.shutdown",
        "common.dispatch.queues",
    ),
    "kombu": ("worker.process.transport",),
    "redis": ("common.broker.*", "common.dispatch.ledger", "worker.process.transport"),
    **dict.fromkeys(("boto3", "botocore"), ("common.store.s3", "common.store.s3_errors")),
    "huggingface_hub": (
        "common.assets.hub",
        "producer.submission.hub",
        "worker.assets.hub",
        "producer.lint.clip_tokenizer",
    ),
    "PIL": (
        "common.picture.*",
        "producer.farm.*",
        "producer.sheet.*",
        "producer.pictures.*",
        "worker.engine.*",
        "worker.tasks.protocol",
        "worker.tiny.*",
    ),
    "yaml": ("producer.language.yaml.*", "producer.language.printer"),
    "click": ("producer.cli.*", "worker.cli"),
    "rich": ("producer.cli.*",),
}


def doors(structure: Structure) -> Iterator[str]:
    """Another package is entered by its door."""
    for module in structure.modules.values():
        for found, named in structure.own_imports(module):
            if _enters_past_the_door(structure, module, found, named):
                yield _at(module, found, f"enters {named.name}; import from {named.package}")


def _enters_past_the_door(
    structure: Structure, module: Module, found: Import, named: Module
) -> bool:
    inside = named.is_door or f"{module.package}.".startswith(f"{named.package}.")
    has_door = "." in named.package and not named.package.startswith(WITHOUT_DOOR)
    handed_out = named.stem in structure.modules[named.package].exported
    return has_door and not inside and not (handed_out and found.module == named.package)


def private_names(structure: Structure) -> Iterator[str]:
    """What begins with an underscore stays in its file."""
    for module in structure.modules.values():
        for found, named in structure.own_imports(module):
            if found.name.startswith("_"):
                yield _at(module, found, f"takes {found.name} of {named.name}; name it without _")


def libraries(structure: Structure) -> Iterator[str]:
    """A library is imported where `ONLY_IN` says."""
    for module in structure.modules.values():
        for found in module.imports:
            allowed = ONLY_IN.get(found.library)
            if allowed and not any(fnmatch(module.name, pattern) for pattern in allowed):
                places = ", ".join(allowed)
                yield _at(module, found, f"imports {found.library}, which only {places} may")


def common_is_common(structure: Structure) -> Iterator[str]:
    """What only one side uses lies on that side."""
    for room in ("producer", "worker"):
        ours = (m for m in structure.modules.values() if m.name.startswith(room))
        reached = structure.reached_from(ours)
        for module in structure.modules.values():
            lonely = module.name.startswith("common.") and module.name not in reached
            if lonely and not module.is_door:
                yield f"{_file(module)}: the {room} does not use it; move it to the other side"


def sizes(structure: Structure) -> Iterator[str]:
    """At most MOST_FILES files a folder and MOST_LINES lines a file, or a named exception."""
    for package, files in structure.packages.items():
        if len(files) > MOST_FILES and package not in CROWDED:
            yield f"{package}: has {len(files)} files; at most {MOST_FILES}"
    for module in structure.modules.values():
        lines = len(module.path.read_text().splitlines())
        if lines > MOST_LINES and module.name not in LONG:
            yield f"{_file(module)}: has {lines} lines; at most {MOST_LINES}"


def doors_say_what_is_behind_them(structure: Structure) -> Iterator[str]:
    """A door's docstring names each file and package behind it."""
    for package, files in structure.packages.items():
        door = structure.modules[package]
        text = ast.get_docstring(door.tree) or ""
        inner = [p for p in structure.packages if p.rpartition(".")[0] == package]
        for name in [file.stem for file in files] + [p.rpartition(".")[2] for p in inner]:
            if name != "__main__" and not re.search(rf"\b{name}\b", text):
                yield f"{_file(door)}: its docstring does not name {name}"


def _file(module: Module) -> str:
    end = "/__init__.py" if module.is_door else ".py"
    return module.name.replace(".", "/") + end


def _at(module: Module, found: Import, what: str) -> str:
    return f"{_file(module)}:{found.line}: {what}"


RULES: tuple[Rule, ...] = (
    doors,
    private_names,
    libraries,
    common_is_common,
    sizes,
    doors_say_what_is_behind_them,
)
