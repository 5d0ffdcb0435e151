"""Readable, safe names for files and folders made from the labels of a batch.

A label is a person's text: a whole prompt, "../x", "CON", two that differ only in case. Names
made here are portable to Linux, macOS and Windows and never leave the folder they are put in.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath

from common.batch import AnyAxis, Axis, Cell, Matrix, RangeAxis, Value, is_drawn
from common.text import is_letter

#: Bytes of UTF-8. File systems stop at 255; a list of files stays readable well before.
LIMIT = 80

_RESERVED = {"con", "prn", "aux", "nul"} | {
    f"{port}{n}" for port in ("com", "lpt") for n in "123456789¹²³"
}


def safe_name(label: str, *, limit: int = LIMIT) -> str:
    """`label` as one file or folder name of at most `limit` bytes; "unnamed" if nothing is left.

    Letters of any script, digits and `-_.` stay, every run of anything else is one `-`.
    """
    text = unicodedata.normalize("NFC", label)
    words = "".join(char if _stays(char) else " " for char in text).split()
    name = _trimmed("-".join(words), limit)
    if name.partition(".")[0].casefold() in _RESERVED:
        name = _trimmed(f"_{name}", limit)
    return name or "unnamed"


def distinct_names(labels: Iterable[str]) -> dict[str, str]:
    """Label → name for all labels of one folder, in their order. Names that file systems may
    take for one (`Wolf`, `wolf`) get `-2`, `-3`, … behind them, the first stays as it is."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for label in labels:
        if label not in names:
            names[label] = _free(label, taken)
            taken.add(names[label].casefold())
    return names


def cell_paths(matrix: Matrix, cells: Iterable[Cell]) -> Iterator[tuple[Cell, PurePosixPath]]:
    """Each cell with its path: `<prompt>/s<seed>/<further axes>/<variant>.png`.

    Without a prompt axis the first folder is `prompt`; without a variant axis the file has the
    last further axis' label, or is `image.png`. The seed is the one the cell is drawn with;
    where each image has its own, the folder is called as the axis calls it, `random-1`.
    """
    naming = {axis.name: _naming(axis) for axis in matrix.axes}
    drawn = {value.label for value in _drawn_seeds(matrix)}
    return ((cell, _path(cell, naming, drawn)) for cell in cells)


Naming = dict[str, Callable[[str], str]]


def _drawn_seeds(matrix: Matrix) -> Iterator[Value]:
    """The values of the seed axis that stand for a seed for each image."""
    axes = (axis for axis in matrix.axes if axis.name == "seed" and isinstance(axis, Axis))
    return (v for axis in axes for v in axis.values if is_drawn("seed", v.settings.get("seed")))


def _path(cell: Cell, naming: Naming, drawn: set[str]) -> PurePosixPath:
    names = {axis: naming[axis](label) for axis, label in cell.labels.items()}
    prompt, variant = names.pop("prompt", "prompt"), names.pop("variant", None)
    name = names.pop("seed", None)
    own = cell.labels.get("seed") in drawn
    seed = name if name and own else _seed_folder(cell, name)
    *folders, file = [*names.values(), *([variant] if variant else [])] or ["image"]
    return PurePosixPath(prompt, seed, *folders, f"{file}.png")


def _seed_folder(cell: Cell, name: str | None) -> str:
    """`s7`; `s7-lucky` where the seed axis calls it so, since another label may draw with 7."""
    seed = str(cell.settings.seed)
    return f"s{seed}" if name in (None, seed) else f"s{seed}-{name}"


def _naming(axis: AnyAxis) -> Callable[[str], str]:
    if isinstance(axis, RangeAxis):
        return safe_name  # numbers, all different, and perhaps too many to list
    return distinct_names(axis.labels()).__getitem__


def _stays(char: str) -> bool:
    return is_letter(char) or char in "-_."


def _trimmed(name: str, limit: int) -> str:
    """Cut to `limit` bytes between characters; no leading dot (hidden), no trailing one
    (Windows drops it), no leading hyphen (an option) except a number's minus."""
    kept = name.lstrip(".-")
    if name.startswith("-") and name[1:2].isdigit():
        kept = name
    return kept.encode(errors="ignore")[:limit].decode(errors="ignore").rstrip(".-")


def _free(label: str, taken: set[str]) -> str:
    name, number = safe_name(label), 1
    while name.casefold() in taken:
        number += 1
        suffix = f"-{number}"
        name = safe_name(label, limit=LIMIT - len(suffix)) + suffix
    return name
