"""An axis as it stands in the file, before its values are read."""

from __future__ import annotations

from dataclasses import dataclass

from producer.language.settings import Setting, find_setting
from producer.language.yaml import Node


@dataclass(frozen=True)
class AxisPlace:
    """`path` is where the axis is written. `setting` is what its values set, if it is named
    after one: `words.animal` for the word `animal`."""

    path: str
    name: str
    node: Node
    setting: str

    @property
    def takes(self) -> Setting | None:
        return find_setting(self.setting)

    @property
    def is_word(self) -> bool:
        return self.setting.startswith("words.")

    @property
    def is_text(self) -> bool:
        return sets_text(self.setting)

    @property
    def is_numeric(self) -> bool:
        return self.takes is not None and self.takes.kind == "numeric"


def sets_text(name: str) -> bool:
    """Whether the setting of that flat name is a text."""
    setting = find_setting(name)
    return setting is not None and setting.kind == "text"
