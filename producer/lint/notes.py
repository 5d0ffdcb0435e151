"""What a batch does that its writer may not expect: said at plan, submit and render."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from common.batch import REFINER, Batch, Layer, Matrix, names_in
from common.job import builtin_models
from producer.language import BatchFile
from producer.language.settings import PROMPTS, note_on_size
from producer.lint.token_counts import note_on_length, token_counter

#: So many of each kind are named, the others counted.
SHOWN = 3

#: Cells whose prompts, filled in with words, are looked at.
FILLED_CELLS = 500


def notes_on_batch(file: BatchFile) -> Iterator[str]:
    """Notes on the batch as it will be rendered, each a line."""
    written = list(file.batch.layers())
    if any(layer.get("model") not in (None, builtin_models.TINY) for layer in written):
        yield from _few(_odd_sizes(written), "sizes")
        yield from _few(_cut_prompts(file, written), "prompts are cut")
    yield from _idle_refiner(written)
    second = any(layer.get("negative_prompt_2") for layer in written)
    if second and all(layer.get("negative_prompt") is None for layer in written):
        yield "negative_prompt_2 has no effect without a negative_prompt"


def equal_cells(matrix: Matrix) -> Iterator[str]:
    """Cells that draw what another draws, up to ENUMERATE_UP_TO cells."""
    if matrix.distinct is None:
        return
    doubles = (matrix[i] for i in sorted(matrix.distinct.holes))
    reasons: set[str] = set()
    for cell in doubles:
        if cell is None:
            continue
        first = matrix.distinct.jobs[cell.key]
        labels = matrix.labels(first)
        differ = [axis for axis, label in cell.labels.items() if labels[axis] != label]
        reason = ", ".join(f"{axis} {_quoted(cell.labels[axis])}" for axis in differ)
        other = ", ".join(_quoted(labels[axis]) for axis in differ)
        if reason not in reasons and (len(differ) == 1 or not reasons):
            reasons.add(reason)
            same = f"#{cell.i} is the same picture as #{first}"
            yield f"{same}: {reason} changes nothing from {other}"
        if len(reasons) == SHOWN:
            return


def _few(notes: Iterator[str], kind: str) -> Iterator[str]:
    yield from islice(notes, SHOWN)
    if more := sum(1 for _ in notes):
        yield f"and {more:,} more {kind}"


def _odd_sizes(written: list[Layer]) -> Iterator[str]:
    sizes = dict.fromkeys(str(layer["size"]) for layer in written if "size" in layer)
    for size in sizes:
        width, height = map(int, size.split("x"))
        if note := note_on_size(width, height):
            yield f"size {note}"


def _cut_prompts(file: BatchFile, written: list[Layer]) -> Iterator[str]:
    if all(layer.get("long_prompts") in (None, "chunk") for layer in written):
        return
    counter = token_counter(_model_folder(file))
    for name, text in dict.fromkeys(_texts(file.batch, written)):
        if note := note_on_length(text, counter):
            yield f"{name} {_quoted(text)} {note}"


def _texts(batch: Batch, written: list[Layer]) -> Iterator[tuple[str, str]]:
    """(setting, text) of every prompt; of those with words as they are in the first cells."""
    cells = islice(Matrix(batch), FILLED_CELLS)
    all_texts = [(n, str(layer[n])) for layer in written for n in PROMPTS if layer.get(n)]
    yield from ((name, text) for name, text in all_texts if not names_in(text))
    if any(names_in(text) for _, text in all_texts):
        yield from ((n, str(c.settings[n])) for c in cells for n in PROMPTS if c.settings[n])


def _model_folder(file: BatchFile) -> Path | None:
    path = file.base_dir / str(file.batch.settings["model"])
    return path if path.is_dir() else None


def _idle_refiner(written: list[Layer]) -> Iterator[str]:
    """Settings of a refiner that no cell has, or that it does not use."""
    fractions = {layer["high_noise_frac"] for layer in written if "high_noise_frac" in layer}
    named = sorted({n for layer in written for n in layer if n.startswith(REFINER)})
    strength = f"{REFINER}strength"
    if fractions == {1} and named and strength not in named:
        yield (
            f"{', '.join(named)}: no cell has a refiner; set high_noise_frac below 1, or {strength}"
        )
    if strength in named and 1 not in fractions:
        yield f"{strength} has no effect where high_noise_frac is below 1"


def _quoted(text: Any) -> str:
    line = " ".join(str(text).split())
    return repr(line if len(line) <= 50 else f"{line[:49].rstrip()}…")
