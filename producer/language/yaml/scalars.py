"""Plain scalars by YAML 1.2's core schema: which texts are numbers, booleans or null.

Schema: https://yaml.org/spec/1.2.2/#103-core-schema
"""

from __future__ import annotations

import re

from producer.language.yaml.nodes import Scalar

_INT = re.compile(r"[-+]?[0-9]{1,400}|0o[0-7]{1,400}|0x[0-9a-fA-F]{1,400}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


def plain(text: str, cut: str = "") -> Scalar:
    """A text without quotes, also one from elsewhere: a table, the command line."""
    value: bool | int | float | str | None = text
    if text in _WORDS:
        value = _WORDS[text]
    elif _INT.fullmatch(text):
        value = int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    elif _FLOAT.fullmatch(text):
        value = float(text)
    return Scalar(value, text, plain=True, cut=cut)
