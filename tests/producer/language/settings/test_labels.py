"""Values as people read them above a column."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from producer.language.settings import as_text


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (13, "13"),
        (13.0, "13"),
        (7.5, "7.5"),
        (None, "none"),
        ({}, "none"),
        ("", "empty"),
        ("1024x1024", "1024x1024"),
        ({"wrong": 0.5}, "wrong 0.5"),
        ({"wrong": 0.5, "style": 1.0}, "wrong 0.5 + style 1"),
        ({"style": {"unet": 1.0, "text_encoder": 0}}, "style (unet 1 text_encoder 0)"),
        ({"name": "euler", "spacing": "trailing"}, "euler + spacing trailing"),
    ],
)
def test_labels(value: JsonValue, label: str) -> None:
    assert as_text(value) == label
