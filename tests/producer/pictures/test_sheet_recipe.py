"""A sheet's PNG says which batch it shows; nothing that a stranger writes there is obeyed."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from common.errors import GridfarmError
from common.store import Store, open_store
from producer.cli.main import run
from producer.pictures import KEYWORD, SheetRecipe
from tests.support.orders import frozen, put_batch

BATCH = "night-0123456789abcdef"
STEPS = "axes: {steps: [1, 2], guidance_scale: [5, 9]}\n"


def png(text: str, keyword: str = KEYWORD) -> bytes:
    texts, file = PngInfo(), BytesIO()
    texts.add_itxt(keyword, text)
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=texts)
    return file.getvalue()


@pytest.fixture
def gridfarm(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    monkeypatch.setenv("GRIDFARM_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)

    def call(*words: str, code: int = 0) -> Any:
        ended = run([*words, "--json"])
        out, err = capsys.readouterr()
        assert ended == code, out + err
        return json.loads(out)

    return call


@pytest.fixture
def shelf(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def test_show_says_which_batch_a_sheet_shows_and_what_draws_it_again(
    gridfarm: Any, shelf: Store, tmp_path: Path
) -> None:
    batch = put_batch(shelf, frozen(more=STEPS), done=range(16))
    options = ("--rows", "seeds,steps", "--where", "seed>1", "--where", "steps=1")
    gridfarm("grid", "night", "-o", "a.png", *options, "--cell-size", "40")
    shown = gridfarm("show", "a.png")
    assert shown == {
        "batch": batch,
        "rows": ["seed", "steps"],
        "columns": ["guidance_scale"],
        "where": ["seed>1", "steps=1"],
        "cell_size": 40,
        "settings": shown["settings"],
        "command": f"gridfarm grid {batch} --rows seed,steps --columns guidance_scale"
        " --where 'seed>1' --where steps=1 --cell-size 40",
    }
    assert shown["settings"]["model"] == "tiny" and "guidance_scale" not in shown["settings"]
    first = (tmp_path / "a.png").read_bytes()
    gridfarm(*shlex.split(shown["command"])[1:], "-o", "b.png")
    assert (tmp_path / "b.png").read_bytes() == first


def test_each_of_several_sheets_is_drawn_again_by_itself(gridfarm: Any, shelf: Store) -> None:
    put_batch(shelf, frozen(more=STEPS))
    answer = gridfarm("grid", "night", "-o", "some/", "--rows", "seed", "--columns", "steps")
    assert len(answer["files"]) == 2
    for file, own in zip(answer["files"], ("5", "9"), strict=True):
        shown = gridfarm("show", file)
        assert shown["where"] == [f"guidance_scale={own}"]
        [again] = gridfarm(*shlex.split(shown["command"])[1:], "-o", "b.png")["files"]
        assert gridfarm("show", again) == shown


def test_what_a_stranger_wrote_is_quoted_and_not_obeyed() -> None:
    """By the shell that the command is pasted into, and by the command."""
    wild = ["$(rm -rf ~)", "a'b; reboot", "x\n\x1b]0;title\x07", "--store=s3://mine"]
    recipe = SheetRecipe(batch=BATCH, rows=(wild[3],), where=tuple(wild), settings={wild[0]: wild})
    read = SheetRecipe.in_png(png(recipe.written()))
    assert read == recipe
    where = [part for text in wild[:3] for part in ("--where", text)]
    assert shlex.split(read.command) == [
        "gridfarm", "grid", BATCH, f"--rows={wild[3]}", "--columns", "", *where,
        f"--where={wild[3]}",
    ]  # fmt: skip
    assert read.to_text().endswith(read.command)


def test_a_person_reads_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = SheetRecipe(batch=BATCH, rows=("seed",), settings={"steps": 30, "model": "tiny"})
    (tmp_path / "a.png").write_bytes(png(recipe.written()))
    assert run(["show", str(tmp_path / "a.png")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"a sheet of {BATCH}",
        "  rows      seed",
        "  settings  steps 30 · model tiny",
        "",
        "To draw it again:",
        f"  gridfarm grid {BATCH} --rows seed --columns ''",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version": 2, "batch": "night-1"}',
        '{"version": 1, "batch": "; reboot"}',
        '{"version": 1, "batch": "night-1", "rows": "seed"}',
        '{"version": 1, "batch": "night-1", "cell_size": -1}',
        '{"version": 1, "batch": "night-1", "where": ["' + "x" * 200_000 + '"]}',
        "[" * 100_000,
    ],
)
def test_what_is_no_recipe_is_said(gridfarm: Any, tmp_path: Path, text: str) -> None:
    (tmp_path / "a.png").write_bytes(png(text))
    answer = gridfarm("show", "a.png", code=2)
    assert "what the sheet says of itself cannot be read" in answer["message"]


def test_a_picture_is_no_sheet() -> None:
    assert SheetRecipe.in_png(png("{}", "Comment")) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_a_recipe_none_or_an_error(data: bytes) -> None:
    begin = png("x").partition(b"IDAT")[0]
    for file in (data, begin + data):
        try:
            recipe = SheetRecipe.in_png(file)
        except GridfarmError:
            continue
        assert recipe is None or recipe.batch
