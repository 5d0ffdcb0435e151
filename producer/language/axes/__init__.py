"""Axes: lists of values, names and values, bundles of settings, and what makes values.

In reading order: `places` (an axis as it stands in the file), `names` (what axes and values are
called), `bundles` (the settings that a mapping sets), `misreadings` (what reads as something
else than was meant), `ranges` (`0..9`), `tables` (files of texts and settings), `generators`
(`{file: …}`, `{random: …}` and the like), `axes` (the reader of them all), `short_labels` (how
random seeds are told), `contrast` (what a value leaves alone that others set).
"""

from __future__ import annotations

from producer.language.axes import generators, tables
from producer.language.axes.axes import AxisReader
from producer.language.axes.bundles import LIKE_A_FILE, BundleReader, Settings
from producer.language.axes.contrast import as_it_stands, left_alone
from producer.language.axes.generators import EMPHASIS, MAX_RANDOM
from producer.language.axes.names import TOP_AXES, check_name
from producer.language.axes.ranges import RANGE_PATTERN, between
from producer.language.axes.short_labels import in_full, short_labels

__all__ = [
    "EMPHASIS",
    "LIKE_A_FILE",
    "MAX_RANDOM",
    "RANGE_PATTERN",
    "TOP_AXES",
    "AxisReader",
    "BundleReader",
    "Settings",
    "as_it_stands",
    "between",
    "check_name",
    "generators",
    "in_full",
    "left_alone",
    "short_labels",
    "tables",
]
