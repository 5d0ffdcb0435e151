"""TODO."""

from __future__ import annotations

from producer.language.axes import generators, tables
from producer.language.axes.axes import GROUPS, TOP_AXES, AxisReader, Settings, check_name
from producer.language.axes.generators import EMPHASIS, MAX_RANDOM
from producer.language.axes.ranges import RANGE_PATTERN, between

__all__ = [
    "EMPHASIS",
    "GROUPS",
    "MAX_RANDOM",
    "RANGE_PATTERN",
    "TOP_AXES",
    "AxisReader",
    "Settings",
    "between",
    "check_name",
    "generators",
    "tables",
]
