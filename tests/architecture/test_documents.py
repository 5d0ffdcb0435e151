"""What the documents say of the tree is true of it: names, rooms, targets of make, links.

A page names things as code: in backticks or in a fenced block. Checked is what can be told from
other code by its form: paths, dotted names, names of Python and Lua files, classes with or without
a member, constants. Names of other projects that look like ours stand in FOREIGN.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SIDES = ("common", "producer", "worker")
SOURCES = (*SIDES, "tests")

ARCHITECTURE = ROOT / "docs/architecture.md"
GLOSSARY = ROOT / "docs/glossary.md"
DECISIONS = ROOT / "docs/decisions"
NAMING = [ARCHITECTURE, GLOSSARY, ROOT / "CONTRIBUTING.md", *sorted(DECISIONS.glob("*.md"))]
LINKING = [*sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*.md"))]

#: What other projects call their classes, and words in fenced blocks that look like one.
FOREIGN = frozenset({"AsyncResult", "Generator", "Celery", "LoRA", "LoRAs", "Redis"})

#: Libraries that come with another and are meant with it.
PARTS_OF = {"pydantic_core": "pydantic"}

FENCE = re.compile(r"^```.*?\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"(common|producer|worker|tests|docs|examples|\.ci|\.devcontainer)/[\w./*-]*")
DOTTED = re.compile(r"(common|producer|worker|tests)(\.\w+)+")
FILE = re.compile(r"[\w-]+\.(py|lua|md)")
CLASS = re.compile(r"[A-Z]\w*[a-z]\w*(\.\w+)?")
CONSTANT = re.compile(r"[A-Z]+(_[A-Z]+)+")


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def words(text: str) -> set[str]:
    """Every word that stands as code in `text`."""
    code = [match["code"] for match in FENCE.finditer(text)]
    code += SPAN.findall(FENCE.sub("", text))
    return {word.strip("(),:;…→") for piece in code for word in piece.split()}


def gone(text: str) -> list[str]:
    """What `text` names and the tree has not."""
    return sorted(word for word in words(text) if not (word in FOREIGN or is_there(word)))


def is_there(word: str) -> bool:
    """True also of what has not the form of anything here."""
    if PATH.fullmatch(word):
        return any(ROOT.glob(word.rstrip("/").replace("NAME", "*")))
    if DOTTED.fullmatch(word) and not FILE.fullmatch(word):
        return resolves(word.split("."))
    if FILE.fullmatch(word):
        return word in file_names()
    if CONSTANT.fullmatch(word):
        return word in defined()
    if CLASS.fullmatch(word):
        name, _, member = word.partition(".")
        return name in defined() and (not member or member in defined()[name])
    return True


def resolves(parts: list[str]) -> bool:
    """`common.batch.Matrix`, `worker.cli`, `tests.chaos`: a module, or a name at its top."""
    place = ROOT
    while parts and (place / parts[0]).is_dir():
        place /= parts.pop(0)
    if parts and (place / f"{parts[0]}.py").is_file():
        place /= f"{parts.pop(0)}.py"
    if not parts:
        return True
    file = place if place.is_file() else place / "__init__.py"
    return file.is_file() and parts[0] in top_names(file) and len(parts) == 1


@cache
def sources() -> dict[Path, str]:
    """Every file of Python and Lua, with its text."""
    files = (path for side in SOURCES for path in (ROOT / side).rglob("*"))
    return {path: path.read_text() for path in files if path.suffix in {".py", ".lua"}}


@cache
def file_names() -> set[str]:
    return {path.name for path in sources()} | {path.name for path in LINKING}


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(sources()[file])


def top_names(file: Path) -> set[str]:
    return set(names_in(tree_of(file).body))


def names_in(body: list[ast.stmt]) -> Iterator[str]:
    """What the statements bind."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


@cache
def defined() -> dict[str, set[str]]:
    """Every name at the top of any file → the members that it has, if it is a class."""
    found: dict[str, set[str]] = {}
    for file in sources():
        if file.suffix == ".py":
            for node in tree_of(file).body:
                if isinstance(node, ast.ClassDef):
                    found.setdefault(node.name, set()).update(names_in(node.body))
                else:
                    found.update({name: set() for name in names_in([node]) if name not in found})
    return found


def rows(page: Path, heading: str = "") -> list[list[str]]:
    """The cells of every table's rows below the heading, without the tables' own headings."""
    text = page.read_text()
    if heading:
        text = re.split(rf"^## {re.escape(heading)}$", text, flags=re.MULTILINE)[1]
        text = text.split("\n## ")[0]
    lines = text.splitlines()
    tables = (
        line
        for line, below in zip(lines, [*lines[1:], ""], strict=True)
        if line.startswith("| ") and not below.startswith("|---")
    )
    return [[cell.strip() for cell in line.strip("|").split(" |")] for line in tables]


@pytest.mark.parametrize("page", NAMING, ids=page_id)
def test_what_a_page_names_is_there(page: Path) -> None:
    assert gone(page.read_text()) == []


@pytest.mark.parametrize(
    "named",
    [
        "common/nowhere.py",
        "tests/nowhere/",
        "common.nowhere",
        "common.batch.Nowhere",
        "worker.nowhere.main",
        "nowhere.lua",
        "Nowhere",
        "Batch.nowhere",
        "NOWHERE_EPOCH",
    ],
)
def test_a_name_that_is_gone_is_found(named: str) -> None:
    assert gone(f"In `common.batch.Matrix` is `{named}`, says\n") == [named]
    assert gone(f"```\nBatch.id → ({named}, …)\n```\n") == [named]


@cache
def room_names() -> set[str]:
    """Every folder with Python files, and every file that lies in no room."""
    files = [path for side in SIDES for path in (ROOT / side).rglob("*.py")]
    tops = {ROOT / side for side in SIDES}
    rooms = {file.parent for file in files} - tops
    loose = {file for file in files if file.parent in tops and file.name != "__init__.py"}
    return {path.relative_to(ROOT).as_posix() for path in rooms | loose}


@cache
def room_rows() -> dict[str, list[str]]:
    """Room → its cells: what it is for, what it may import, libraries."""
    return {row[0].strip("`"): row[1:] for row in rows(ARCHITECTURE, "The rooms")}


def test_every_room_has_its_row() -> None:
    assert sorted(room_rows()) == sorted(room_names())


@pytest.mark.parametrize("room", sorted(room_rows()))
def test_a_room_imports_what_its_row_says(room: str) -> None:
    imported = {other for module in imports_of(room) if (other := room_of(module))}
    others = {other for other in imported if not is_within(room, other)}
    assert sorted(others - may_import(room)) == []


@pytest.mark.parametrize("room", sorted(room_rows()))
def test_a_room_uses_the_libraries_of_its_row(room: str) -> None:
    tops = {module.split(".")[0] for module in imports_of(room)}
    libraries = {PARTS_OF.get(top, top) for top in tops - set(SIDES) - sys.stdlib_module_names}
    assert SPAN.findall(room_rows()[room][2]) == sorted(libraries)


def is_within(room: str, other: str) -> bool:
    """A room and those inside it are one floor: the order of their files is the layers' test."""
    return f"{room}/".startswith(f"{other}/") or f"{other}/".startswith(f"{room}/")


def may_import(room: str) -> set[str]:
    """The third cell names rooms of the same side; `all above` are the rows before. What
    common offers, the other two may use."""
    side, names = room.split("/")[0], list(room_rows())
    above = [name for name in names[: names.index(room)] if name.startswith(f"{side}/")]
    cell = room_rows()[room][1]
    named = set(above) if cell == "all above" else {f"{side}/{n}" for n in SPAN.findall(cell)}
    assert named <= set(above), "a row names a room that stands below it"
    return named | {name for name in names if side != "common" and name.startswith("common/")}


def imports_of(room: str) -> Iterator[str]:
    """Dotted names of whatever is imported, also inside functions."""
    place = ROOT / room
    for file in [place] if place.is_file() else sorted(place.glob("*.py")):
        for node in ast.walk(tree_of(file)):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(module: str) -> str | None:
    """The room that a module, or a name in it, lies in; None for libraries."""
    parts = module.split(".")
    for length in range(len(parts), 1, -1):
        path = "/".join(parts[:length])
        if (found := {path, f"{path}.py"} & room_names()) and parts[0] in SIDES:
            return found.pop()
    return None


def test_the_page_says_where_to_add_what() -> None:
    """Each thing that may be added has a row, which names a file that is there."""
    table = rows(ARCHITECTURE, "Where to add what")
    assert len(table) >= 20
    assert all(any(PATH.fullmatch(word) for word in words(" ".join(row[1:]))) for row in table)


MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)


def test_make_alone_lists_every_target() -> None:
    """Run as by hand, whatever `make` runs these tests."""
    alone, asked = (
        subprocess.run(
            ["make", *arguments],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        )
        for arguments in ([], ["help"])
    )
    assert alone.stdout == asked.stdout
    helped = dict(re.findall(r"^  make ([a-z-]+) +(\S.*)$", alone.stdout, re.MULTILINE))
    assert list(helped) == TARGETS
    assert set(TARGETS) == set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split())


def test_hooks_and_container_run_what_is_here() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert [repo["repo"] for repo in hooks["repos"]] == ["local"]
    entries = [hook["entry"] for repo in hooks["repos"] for hook in repo["hooks"]]
    for entry in [*entries, container["postCreateCommand"]]:
        command, first, *_ = entry.split()
        assert command == ".venv/bin/ruff" or (command == "make" and first in TARGETS)


@pytest.mark.parametrize("row", rows(GLOSSARY), ids=lambda row: str(row[0]))
def test_a_word_is_in_the_file_that_defines_it(row: list[str]) -> None:
    word, meaning, _elsewhere, where = row
    file = ROOT / where.strip("`")
    text = bare(f"{file.name} {file.read_text()}")
    assert meaning
    assert [form for form in word.split(",") if bare(form) in text]


def bare(text: str) -> str:
    """Letters alone: `hand back` is found in `handed back`'s file as `hand_back` too."""
    return re.sub(r"[\W_]", "", text).lower()


def test_a_word_is_explained_once() -> None:
    explained = [row[0] for row in rows(GLOSSARY)]
    assert sorted(explained) == sorted(set(explained))


@pytest.mark.parametrize("page", sorted(DECISIONS.glob("[a-z]*.md")), ids=page_id)
def test_a_decision_fits_a_page_and_is_listed(page: Path) -> None:
    text = page.read_text()
    parts = re.findall(r"^\*\*(.+?)\.\*\*", text, re.MULTILINE)
    assert parts == ["Context", "Decision", "Consequences", "What would change our mind"]
    assert len(text.split()) < 450
    assert f"]({page.name})" in (DECISIONS / "README.md").read_text()


@pytest.mark.parametrize("page", LINKING, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text())
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert [link for link in links if not leads_somewhere(page, link)] == []


def leads_somewhere(page: Path, link: str) -> bool:
    if link.startswith(("http://", "https://")):
        return True
    file, _, anchor = link.partition("#")
    target = page.parent / file if file else page
    return target.exists() and (not anchor or anchor in anchors(target))


def anchors(page: Path) -> set[str]:
    """The headings as GitHub names them: lower case, hyphens for spaces, no other marks."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_a_link_that_leads_nowhere_is_found() -> None:
    assert leads_somewhere(ARCHITECTURE, "glossary.md#the-code")
    assert not leads_somewhere(ARCHITECTURE, "nowhere.md")
    assert not leads_somewhere(ARCHITECTURE, "glossary.md#nowhere")
