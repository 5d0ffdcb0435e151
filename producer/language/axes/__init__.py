"""TODO."""

from __future__ import annotations

from producer.language.axes import generators, tables
from producer.language.axes.axes import TOP_AXES, AxisReader, Settings, check_name
from producer.language.axes.generators import EMPHASIS, MAX_RANDOM
from producer.language.axes.ranges import RANGE_PATTERN, between

__all__ = [
    "EMPHASIS",
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
