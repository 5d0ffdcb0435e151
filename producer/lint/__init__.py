"""Notes on a batch that is right: what it does that its writer may not expect.

In reading order: `notes` (all of them, with what each is about), `token_counts` (prompts that the
encoders cut), `encoded_text` (what they read of a prompt), `clip_tokenizer` (CLIP's tokenizers
without transformers).
"""

from __future__ import annotations

from producer.lint.notes import equal_cells, notes_on_batch

__all__ = [
    "equal_cells",
    "notes_on_batch",
]
