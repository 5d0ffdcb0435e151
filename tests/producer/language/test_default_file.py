"""Which batch file is meant where none is named, and what is said where none is."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import UsageError
from producer.language import default_file


def hint(folder: Path) -> str:
    with pytest.raises(UsageError) as refused:
        default_file(folder, "gridfarm plan")
    assert "no batch.yaml here" in refused.value.message
    return refused.value.hint


def test_batch_yaml_is(tmp_path: Path) -> None:
    (tmp_path / "batch.yaml").touch()
    (tmp_path / "other.yaml").write_text("prompts: [a]")
    assert default_file(tmp_path, "gridfarm plan") == tmp_path / "batch.yaml"


def test_an_empty_folder_needs_a_first_one(tmp_path: Path) -> None:
    assert "gridfarm init" in hint(tmp_path)


def test_the_one_that_looks_like_a_batch_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given files of other programs beside it, then they are not offered."""
    monkeypatch.chdir(tmp_path)
    Path("compose.yaml").write_text("name: x\nservices: {prompts: {}}\n")
    Path("broken.yml").write_bytes(b"\xff\xfe")
    Path("folder.yaml").mkdir()
    Path("my wolves.yml").write_text("# prompts\n\nprompts :\n  - a: b: [\n")
    assert hint(Path()) == "did you mean: gridfarm plan 'my wolves.yml'"
    Path("owls.yaml").write_text("variants: {a: {}}\n")
    assert hint(Path()) == "name one, such as my wolves.yml, owls.yaml"
