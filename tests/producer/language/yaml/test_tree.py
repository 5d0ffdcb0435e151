"""YAML as batch files mean it: scalars of YAML 1.2, bounds, and files that are no text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.errors import BatchFileError
from producer.language import BatchFile, Mistake, load_batch_file
from producer.language.yaml import NULL, Entries, Items, Scalar, read_yaml, to_json


def load(text: str) -> BatchFile:
    return load_batch_file(None, text=text, base_dir=Path("/batches"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("16:9", "16:9"), ("1_000", "1_000"), ("2024-01-01", "2024-01-01"),
        ("0123", 123), ("0x10", 16), ("0o17", 15), ("1e3", 1000.0), (".5", 0.5), ("true", True),
        ("~", None), ("'1'", "1"),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2_and_keep_their_text(text: str, value: Any) -> None:
    node, findings = read_yaml(text)
    assert isinstance(node, Scalar) and not findings
    assert (node.value, type(node.value)) == (value, type(value))
    assert node.text == text.strip("'")


def test_a_tree_is_plain_json() -> None:
    node, _ = read_yaml("{a: [1, x], b: null}")
    assert to_json(node) == {"a": [1, "x"], "b": None}
    assert isinstance(node, Entries) and isinstance(node.values["a"], Items)
    assert read_yaml("# nothing") == (NULL, [])


def test_a_mistake_that_stops_nothing_is_found_beside_the_tree() -> None:
    node, findings = read_yaml("a: 1\na: 2")
    assert to_json(node) == {"a": 2}
    assert [(finding.path, finding.kind) for finding in findings] == [("a", "name-twice")]


def test_what_was_found_before_the_end_is_told_too() -> None:
    with pytest.raises(Mistake) as caught:
        read_yaml("a: 1\na: *b")
    assert [finding.kind for finding in caught.value.findings] == ["name-twice", "no-such-anchor"]


def test_an_alias_bomb_costs_nothing() -> None:
    rows = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    with pytest.raises(BatchFileError, match="500,000 values"):
        load("\n".join(["a0: &a0 [x]", *rows]))


def test_aliases_of_ordinary_size_are_read() -> None:
    text = "prompts: {a: &wolf A wolf, b: {prompt: *wolf, seed: 2}}"
    assert load(text).batch.axes[0].value(1).settings["prompt"] == "A wolf"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param("prompts: [Zoë]".encode("latin-1"), "line 1 is not UTF-8", id="latin-1"),
        pytest.param("prompts: [a]".encode("utf-16"), "line 1 is not UTF-8", id="utf-16"),
        pytest.param(b"#" * 10_000_001, "more than 10,000,000 bytes", id="too large"),
    ],
)
def test_files_that_are_no_text(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "batch.yaml"
    path.write_bytes(data)
    with pytest.raises(BatchFileError, match=message):
        load_batch_file(path, base_dir=tmp_path)


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "batch.yaml"
    path.write_bytes(b"\xef\xbb\xbfprompts:\r\n  - Zo\xc3\xab\r\n")
    batch = load_batch_file(path, base_dir=tmp_path).batch
    assert [*batch.axes[0].labels()] == ["Zoë"]
