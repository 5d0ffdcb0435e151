"""An axis as it stands in the file, before its values are read."""

from __future__ import annotations

from dataclasses import dataclass, field

from producer.language.settings import Setting, find_setting
from producer.language.yaml import Node


@dataclass(frozen=True)
class AxisPlace:
    """`path` is where the axis is written; `word` is its name if it is a word.

    `setting` is what its values set, if it is named after one: `words.animal` for the word
    `animal`. `takes` is that setting, None where the values are bundles alone.
    """

    path: str
    name: str
    node: Node
    word: str | None = None
    setting: str = field(init=False)
    takes: Setting | None = field(init=False)

    def __post_init__(self) -> None:
        setting = self.name if self.word is None else f"words.{self.word}"
        object.__setattr__(self, "setting", setting)
        object.__setattr__(self, "takes", find_setting(setting))

    @property
    def kind(self) -> str:
        """The kind of its setting: "text", "numeric", "file", or "" for others and for none."""
        return self.takes.kind if self.takes else ""
