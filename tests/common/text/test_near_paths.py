"""The file that was meant by a mistyped path."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.text import mean_path, near_path

YAML = (".yaml", ".yml")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("wolves.yaml", "owl.yml", "notes.txt", "b.yaml", "epochs/e1.safetensors"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("wolfs.yaml", "wolves.yaml"),
        ("wolves.yml", "wolves.yaml"),
        ("Wolves.yaml", "wolves.yaml"),
        ("wolves", "wolves.yaml"),
        ("b", "b.yaml"),
        ("epoch/e1.safetensors", "epochs/e1.safetensors"),
        ("./epoch", "epochs"),
        ("a.yaml", None),  # equal endings make no names alike
        ("note.yaml", None),
        ("epoch/e7.safetensors", None),
        ("nowhere/at/all.yaml", None),
        ("", None),
        ("a\0b", None),
        ("x" * 300, None),
    ],
)
def test_the_nearest(typed: str, meant: str | None) -> None:
    near = near_path(Path(typed), () if "safetensors" in typed else YAML)
    assert near == (Path(meant) if meant else None)


def test_an_absolute_path_stays_absolute(here: Path) -> None:
    assert mean_path(here / "wolfs.yaml") == f"did you mean '{here / 'wolves.yaml'}'?"


@pytest.mark.usefixtures("here")
def test_without_one_nothing_is_said() -> None:
    assert mean_path(Path("quite-else.csv")) == ""
