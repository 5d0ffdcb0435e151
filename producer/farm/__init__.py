"""What the commands do, as methods of one object, for scripts and notebooks.

farm             `Farm`: plan, submit, follow, steer, draw, fetch, remove, render
batch_argument   what a person may give as a batch: a path, a text, a mapping, a word; and the
                 options that make a trial of it
connections      the broker and the stores, each opened when it is first needed
"""

from __future__ import annotations

from producer.farm.batch_argument import as_yaml
from producer.farm.farm import Farm

__all__ = ["Farm", "as_yaml"]
