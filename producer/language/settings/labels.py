"""A setting's value as a label: what people read above a column and in a caption."""

from __future__ import annotations

from pydantic import JsonValue


def as_text(value: JsonValue) -> str:
    """A setting's value as a label: `13`, `none`, `empty`, `wrong 0.5`, `euler trailing`."""
    if value is None or value == {}:
        return "none"
    if value == "":
        return "empty"
    if isinstance(value, dict):
        return " + ".join(_named(name, inner) for name, inner in value.items())
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _named(name: str, value: JsonValue) -> str:
    if name == "name":
        return as_text(value)
    if isinstance(value, dict):
        inner = " ".join(f"{part} {as_text(number)}" for part, number in value.items())
        return f"{name} ({inner})"
    return f"{name} {as_text(value)}"
