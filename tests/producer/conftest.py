"""The person of these tests sits in an empty folder, where nothing was rendered yet."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _in_an_empty_folder(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else `gridfarm-out` of whoever runs the tests is found."""
    folder: Path = tmp_path_factory.mktemp("somewhere")
    monkeypatch.chdir(folder)
