"""Sheets → PNG files, which have the names that were asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import UsageError
from producer.sheet import make_sheets, save
from tests.support.sheets import VARIANTS, article, axis, matrix, one_sheet, own_seeds


def test_files_of_sheets_with_hostile_labels_stay_in_the_folder(tmp_path: Path) -> None:
    labels = ["../up", "a/b", "A/B", "x" * 300]
    cells = matrix(own_seeds(), axis("variant", VARIANTS), axis("odd", {la: {} for la in labels}))
    sheets = make_sheets(cells, lambda _cell: None, where={"prompt": "wolf"}, rows="prompt")
    written = save(sheets, tmp_path / "out" / "F.png")
    assert [path.name for path in written] == [
        "F-up.png",
        "F-a-b.png",
        "F-A-B-2.png",
        written[3].name,
    ]
    assert set((tmp_path / "out").iterdir()) == set(written)


def test_one_sheet_has_the_name_it_was_given(tmp_path: Path) -> None:
    assert save([one_sheet(article())], tmp_path / "F.png") == [tmp_path / "F.png"]
    assert save([one_sheet(article())], tmp_path / "G") == [tmp_path / "G.png"]


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        save([one_sheet(article())], tmp_path / "file" / "F.png")
    with pytest.raises(UsageError, match="PNG"):
        save([one_sheet(article())], tmp_path / "F.jpg")
