"""A file's bytes as text, or why they are none, with the place."""

from __future__ import annotations

from typing import Any

import pytest

from producer.language import Mistake
from producer.language.yaml import MAX_BYTES, unprintable
from producer.language.yaml.source import decoded


@pytest.mark.parametrize("data", ["name: käse\n", "name: käse\n".encode(), "\ufeffname: käse\n"])
def test_texts_and_utf_8_with_or_without_a_byte_order_mark(data: str | bytes) -> None:
    assert decoded(data) == "name: käse\n"


@pytest.mark.parametrize(
    ("data", "kind", "facts"),
    [
        (b"a\nb\xff", "file-not-utf-8", {"line": 2, "byte": 0xFF}),
        ("a\nbc\x00", "file-not-text", {"line": 2, "column": 3, "character": "\x00"}),
        (b"\x1b", "file-not-text", {"line": 1, "column": 1, "character": "\x1b"}),
        ("x" * (MAX_BYTES + 1), "file-too-large", {"most": MAX_BYTES}),
    ],
    ids=["no UTF-8", "NUL", "escape", "too large"],
)
def test_what_is_no_text(data: str | bytes, kind: str, facts: dict[str, Any]) -> None:
    with pytest.raises(Mistake) as raised:
        decoded(data)
    (finding,) = raised.value.findings
    assert (finding.kind, finding.facts) == (kind, facts)


def test_tabs_line_breaks_and_next_line_are_text() -> None:
    assert unprintable("a\tb\r\nc\x85d 🐺") is None
    assert unprintable("a\nb\ud800") == (2, "\ud800")
