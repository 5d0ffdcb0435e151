"""The file that `gridfarm init` writes: it can be read as it is, and with more of it taken in."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.batch import Matrix
from producer.language import first_batch, load_batch_file


def cells(text: str) -> int:
    return Matrix(load_batch_file(None, text=text, base_dir=Path("/batches")).batch).cells


def test_it_is_as_large_as_it_says() -> None:
    text = first_batch(Path("animals.yaml"))
    assert "2 × 3 × 3 = 18" in text
    assert cells(text) == 18


@pytest.mark.parametrize(("line", "more"), [("axes", 36), ("words", 36), ("exclude", 15)])
def test_what_is_commented_out_works_too(line: str, more: int) -> None:
    assert cells(first_batch(Path("animals.yaml")).replace(f"# {line}:", f"{line}:")) == more


@pytest.mark.parametrize(
    ("path", "name"),
    [("animals.yaml", "animals"), ("batch.yaml", "first-batch"), ("My Wolves!.yaml", "my-wolves")],
)
def test_the_batch_is_called_after_its_file(path: str, name: str) -> None:
    assert f"\nname: {name}\n" in first_batch(Path(path))


def test_commands_quote_the_path() -> None:
    assert "gridfarm plan 'my wolves.yaml' " in first_batch(Path("my wolves.yaml"))
