"""A batch file with axes of each kind, for tests that change it for a trial."""

from __future__ import annotations

from pathlib import Path

from common.batch import Batch, Cell, Matrix
from producer.language import BatchFile, load_batch_file

TEXT = """
model: tiny
lora_files: {style: me/style}
words: {animal: [wolf, big cat]}
prompts: {portrait: "a portrait of a {animal}", note: {prompt: "a note on a {animal}", steps: 7}}
seeds: 0..9 by 3
axes:
  guidance_scale: 5..8 by 0.5
  loras.style: [0, 0.5, {unet: 1, text_encoder: 0}]
  negative_prompt: {none: null, ugly: "ugly, blurry"}
exclude: [{guidance_scale: "> 7", seed: 0}]
"""


def load(text: str = TEXT) -> BatchFile:
    return load_batch_file(None, text=text, base_dir=Path("/nowhere"))


def cells(batch: Batch) -> list[Cell]:
    return [*Matrix(batch)]


def contents(found: list[Cell]) -> list[tuple[dict[str, str], str]]:
    """What must stay the same in a trial: labels and keys; only numbers may change."""
    return [(cell.labels, cell.key) for cell in found]
