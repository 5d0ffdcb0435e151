"""What YAML cannot read: how the place is probably meant."""

from __future__ import annotations

import re

from common.batch import GROUPS
from producer.language.settings import find_setting

#: `seed: > 5`: YAML takes the sign for the beginning of a text of several lines, or a tag.
_COMPARED = re.compile(r":\s*([<>!]=?\s*-?[\w.]+)")

#: A line's value, which in a list of prompts is all of it but the hyphen.
_VALUE = re.compile(r"^\s*(?:- +(?:(?:negative_)?prompt: +)?|[\w.-]+: +)(\S.*)$")

#: `settings: steps: 30`: a bundle without its braces.
_BUNDLE = re.compile(r"^\s*(?:- +)?([\w-]+): +([\w.]+): +([^{\[].*)$")

#: Two texts in quotes without a comma.
_TOUCHING = re.compile(r"""(?<=[\w.!?)+-])(["'])\s+(?=["'])""")
_COMMA = r"\1, "

_NEEDS_QUOTES = re.compile(r"^[\[{\"'*&!%@`|>#]|: ")


def place(says: str, line: int, column: int, text: str, context: str, opened: int | None) -> str:
    """`line` and `column` count from 1, `text` is that line, `context` is what PyYAML was
    reading and `opened` the line where that began."""
    if "\t" in text[:column] and not text[: column - 1].strip():
        return "indent with spaces, not with a tab"
    if "quoted scalar" in context and opened and (opened != line or "end of stream" in says):
        return f"close the quote that opens in line {opened}"
    if "flow" in context and _TOUCHING.search(text):
        return f"put a comma between the texts: {_TOUCHING.sub(_COMMA, text).strip()[:200]}"
    if "flow" in context and opened:
        return f"close the bracket of line {opened}, and quote the prompts in it"
    hyphen = text.lstrip().startswith("- ")
    if ("block mapping" in context and hyphen) or ("block collection" in context and not hyphen):
        return "- value and name: value do not mix in one list; use one of the two"
    return _quotes(text)


def _quotes(text: str) -> str:
    if compared := _COMPARED.search(text):
        return f'quote the comparison: "{compared[1]}"'
    if bundle := _BUNDLE.match(text):
        key, setting, value = bundle.groups()
        if find_setting(setting) or setting in GROUPS:
            return f"write {key}: {{{setting}: {value.strip()[:100]}}}"
    if (value := _VALUE.match(text)) and _NEEDS_QUOTES.search(value[1]):
        return f"quote the prompt: {_quoted(value[1])}"
    return "check the indentation, and quote the prompt if this is one"


def _quoted(text: str) -> str:
    short = text.strip() if len(text) <= 100 else f"{text[:99].strip()}…"
    if short[:1] == "'" == short[-1:] and '"' not in short and len(short) > 2:
        return f'"{short[1:-1]}"'  # 'a wolf's den'
    return "'" + short.replace("'", "''") + "'"


def tag(tag: str) -> str:
    return "remove it" if tag.startswith("!!") else f'quote the text: "{tag} …"'
