"""A folder that is only read must be a store, or be empty."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import StoreError
from common.store import object_names, open_store
from producer.catalogue import check_existing
from producer.cli.main import run


def refusal(folder: Path) -> tuple[str, str]:
    with pytest.raises(StoreError) as refused:
        check_existing(open_store(str(folder)))
    return refused.value.message, refused.value.hint


def test_a_folder_that_is_not_there_is_refused_with_the_one_that_is_meant(tmp_path: Path) -> None:
    (tmp_path / "renders").mkdir()
    message, hint = refusal(tmp_path / "rendres")
    assert message == f"there is no folder {tmp_path / 'rendres'}"
    assert hint == f"did you mean '{tmp_path / 'renders'}'?"
    assert "gridfarm render" in refusal(tmp_path / "quite" / "elsewhere")[1]


def test_a_folder_of_other_things_is_no_store(tmp_path: Path) -> None:
    """Given a folder with files of a person, then it is refused, with the store in it, if any."""
    (tmp_path / "holiday.png").touch()
    message, hint = refusal(tmp_path)
    assert message.endswith("is no store: it has holiday.png")
    assert "gridfarm render" in hint
    open_store(str(tmp_path / "store")).put(object_names.STORE_ID, b"{}")
    assert refusal(tmp_path)[1] == f"did you mean '{tmp_path / 'store'}'?"


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert str(tmp_path / "file") in refusal(tmp_path / "file")[0]


@pytest.mark.parametrize("names", [[], [".DS_Store", "lost+found"], ["store.json", "notes.txt"]])
def test_what_may_be_one(names: list[str], tmp_path: Path) -> None:
    """Given an empty folder, or a store in which somebody left a file, then nothing is raised."""
    for name in names:
        (tmp_path / name).touch()
    check_existing(open_store(str(tmp_path)))


def test_all_that_a_store_has_is_known() -> None:
    """So that a store of which only one kind of object is left still is one."""
    key, token = "ab" * 32, "a" * 32
    names = [
        object_names.picture(key), object_names.asset(key), object_names.hub_record("me/m"),
        object_names.batch("b"), object_names.active("b"), object_names.latest("b", 1.0),
        object_names.index_part("1", 1), object_names.removing(token, "b"),
        object_names.probe(token), object_names.STORE_ID,
    ]  # fmt: skip
    assert {name.partition("/")[0] for name in names} == object_names.AT_THE_TOP


def test_a_bucket_that_is_not_there_says_so(
    s3_store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = s3_store_url.rpartition("/")[2]
    for command in (["list"], ["status", "night"], ["show", f"night-{'0' * 16}"], ["doctor"]):
        assert run([*command, "--store", f"s3://no-{bucket}/renders"]) == 3
        assert f"s3://no-{bucket}/renders" in "".join(capsys.readouterr())
