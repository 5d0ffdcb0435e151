"""What a mend shows can be pasted: YAML reads it as what was meant."""

from __future__ import annotations

import pytest

from producer.language.mends import written
from producer.language.yaml import Entries, Items, Scalar, plain, read_yaml, to_json

TEXTS = [
    "a wolf", "a wolf, chilly", "a sign: open", "{animal}", "it's", 'a "wolf"', "it's a \"wolf\"",
    "- a", "#1 dad", "a #1", "null", "7", "", " a ", "*star*", "back\\slash", "50% off", "a: ",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_any_text(text: str) -> None:
    for scalar in (Scalar(text, text), Scalar(text, text, plain=text not in ("null", "7"))):
        node = Entries({"a": Items((scalar,)), "b": scalar})
        tree, findings = read_yaml(written.line("x", node))
        assert not findings
        assert to_json(tree) == {"x": {"a": [text], "b": text}}


def test_numbers_stay_numbers() -> None:
    assert written.line("steps", Items((plain("20"), plain("30")))) == "steps: [20, 30]"


def test_a_long_line_is_its_key() -> None:
    assert written.line("x", Items((plain("a" * 300),))) == "x: …"
