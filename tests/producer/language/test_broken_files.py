"""Broken, hostile and odd batch files through the real command line."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.batch import Matrix
from producer.cli.main import run
from producer.language import load_batch_file
from producer.pictures.file_names import cell_paths
from tests.support.batch_files import documents, dumped
from tests.support.broken_files import BROKEN, write_room

P = "prompts: [a]\n"


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("room")
    write_room(folder)
    (folder / "empty").mkdir()
    return folder


@pytest.mark.parametrize(
    ("text", "path", "message", "hint"), [pytest.param(*row[1:], id=row[0]) for row in BROKEN]
)
def test_exit_code_2_with_the_file_the_place_and_the_mend(
    text: str, path: str, message: str, hint: str, room: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = room / "batch.yaml"
    file.write_text(text, encoding="utf-8")
    assert run(["plan", str(file)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    assert f"Error: {file}: one mistake\n" in said.err
    for part in (path, message, hint):
        assert part in said.err
    assert len(said.err) < 3_000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param("prompts: [Zoë]".encode("latin-1"), "line 1 is not UTF-8", id="latin-1"),
        pytest.param("prompts: [a]".encode("utf-16"), "line 1 is not UTF-8", id="utf-16"),
        pytest.param("prompts: [a]".encode("utf-32-be"), "control character", id="utf-32"),
        pytest.param(bytes(range(256)), "line 2 is not UTF-8", id="binary"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + b"\0" * 99, "line 1 is not UTF-8", id="png"),
        pytest.param(b"prompts: [a]\0", "control character", id="NUL"),
        pytest.param(b"prompts: [a\x1b[31m]", "control character", id="escape"),
        pytest.param(b"[" * 1_000_000, "nests more than 30 deep", id="brackets"),
        pytest.param(b"? " * 1_000_000, "nests more than 30 deep", id="question marks"),
        pytest.param(b"- " * 1_000_000, "nests more than 30 deep", id="hyphens"),
        pytest.param(b"{a: " * 1_000_000, "nests more than 30 deep", id="braces"),
        pytest.param(b"&a " * 1_000_000, "line 1, column 4", id="anchors"),
        pytest.param(b"a: 1\n" * 30_000, "100 mistakes", id="one key again and again"),
        pytest.param(b"\n".join(b"k%d: 1" % n for n in range(9999)), "100 mistakes", id="typos"),
        pytest.param(b"prompts: [" + b"x," * 600_000 + b"]", "more than 500,000", id="values"),
        pytest.param(b"a" * 9_000_000, "must be a mapping", id="one long text"),
        pytest.param(b"name: " + b"a" * 9_000_000, "not 9000000", id="a long name"),
        pytest.param(b"a" * 2_000_000 + b": 1", "line 1, column 2000001", id="a long key"),
    ],
)
def test_files_that_nobody_wrote_by_hand(
    data: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "batch.yaml"
    file.write_bytes(data)
    assert run(["plan", str(file)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"Error: {file}")
    assert message in said
    assert len(said) < 60_000


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nope.yaml", "No such file"),
        ("folder.txt", "directory"),
        ("loop.txt", "symbolic link"),
        ("huge.txt", "more than 10,000,000 bytes"),
        ("zero.txt", "more than 10,000,000 bytes"),
        ("a\0b", "null"),
        ("a" * 300, "too long"),
    ],
)
def test_names_that_are_no_batch_files(
    name: str, message: str, room: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", str(room / name)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{P}model: ./nope.safetensors", "model ./nope.safetensors"),
        (f"{P}model: ./empty", "model ./empty"),
        (f"{P}model: ./folder.txt", "no model folder"),
        (f"{P}model: ./animals.txt", "not a .safetensors file"),
        (f"{P}model: ./pipe.txt", "neither a folder nor a file"),
        (f"{P}model: /dev/zero", "neither a folder nor a file"),
        (f"{P}settings: {{vae: ./nope, high_noise_frac: 0.8}}", "vae ./nope"),
        (f"{P}settings: {{refiner.model: ../nope, high_noise_frac: 0.8}}", "refiner.model ../nope"),
        (f"{P}lora_files: {{w: ./nope}}\nsettings: {{loras.w: 1}}", "lora_files.w"),
        (f"{P}lora_files: {{w: ./animals.txt}}\naxes: {{loras.w: [0, 1]}}", "lora_files.w"),
        (f"{P}lora_files: {{w: ./folder.txt}}\nsettings: {{loras: {{w: 1}}}}", "lora_files.w"),
        (f"{P}axes: {{loras: {{files: './*.csv'}}}}", "lora_files.comma"),
        (f"{P}axes: {{model: [sdxl, {{files: './*.csv'}}]}}", "model ./comma.csv"),
    ],
)
def test_files_that_are_no_models(
    text: str, message: str, room: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = room / "batch.yaml"
    file.write_text(text, encoding="utf-8")
    assert run(["plan", str(file)]) == 2
    assert message in capsys.readouterr().err


PLANNED = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@given(document=documents())
@PLANNED
def test_any_valid_file_is_planned(document: dict[str, Any], room: Path) -> None:
    code, said = plan(room, dumped(document).encode())
    assert code == 0 or "leave no cell" in said


@given(document=documents(), data=st.data())
@PLANNED
def test_any_file_with_a_slip_is_planned_or_refused(
    document: dict[str, Any], data: st.DataObject, room: Path
) -> None:
    text = dumped(document).encode()
    at, cut = data.draw(st.integers(0, len(text) - 1)), data.draw(st.integers(0, 9))
    slip = data.draw(st.binary(max_size=3) | st.sampled_from([b"{", b"- ", b": ", b"..", b"null"]))
    code, said = plan(room, text[:at] + slip + text[at + cut :])
    assert code == 0 or (code == 2 and said.startswith((f"Error: {room}", "Error: cell ")))


def plan(room: Path, data: bytes) -> tuple[int, str]:
    """The exit code and stderr of `gridfarm plan` of a file."""
    file = room / "generated.yaml"
    file.write_bytes(data)
    said = io.StringIO()
    with redirect_stdout(io.StringIO()), redirect_stderr(said):
        return run(["plan", str(file)]), said.getvalue()


ODD = ["..", ".", "/", "../../etc/passwd", "a/b", "a-b", "Base", "base", "BASE", "CON"]
ODD += ["nul.png", "-rf", ".hidden", "a\tb", "a\nb", "C:\\x", "é", "e\u0301", "ﬁ"]
ODD += ["x" * 200, "😀", "\u202egpj"]


@pytest.mark.parametrize("key", ["prompts", "variants", "axes"])
def test_any_name_is_read_and_gets_a_file_of_its_own(key: str, tmp_path: Path) -> None:
    """Given names that a file system takes for a path, a device, or one another,
    then every cell's file lies in the folder, and no two are one where case says nothing."""
    named = {name: {"prompt": f"a {name}"} for name in ODD}
    document = {"name": "..", key: {"x": named} if key == "axes" else named}
    file = tmp_path / "batch.yaml"
    file.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    assert run(["plan", str(file)]) == 0
    batch = load_batch_file(file, base_dir=tmp_path).batch
    assert batch.id.startswith("batch-")
    matrix = Matrix(batch)
    paths = [path for _, path in cell_paths(matrix, matrix)]
    assert len({str(path).casefold() for path in paths}) == len(ODD)
    assert not any({"..", ".", "", "/"} & set(path.parts) for path in paths)
