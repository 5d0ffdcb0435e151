"""`--prompt` and `--seeds` instead of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from producer.cli.main import cli, run


def plan(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["plan", *arguments])


@pytest.mark.parametrize(
    ("seeds", "count"), [("1..4", 4), ("3,5,8", 3), ("7", 1), ("{random: 8, from: 1}", 8)]
)
def test_without_a_file(seeds: str, count: int) -> None:
    answer = plan("--prompt", 'a "wolf": chilly, {{x}}', "--prompt", "b", "--seeds", seeds)
    assert answer.exit_code == 0, answer.output
    assert f"{2 * count} cells" in answer.output
    assert 'a "wolf": chilly' in answer.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("batch.yaml", "--prompt", "a"), "both given"),
        (("--seeds", "1"), "--seeds goes with --prompt"),
        ((), "no FILE is named"),
        (("--prompt", "a", "--seeds", "9..1"), "the command line"),
    ],
)
def test_mistakes(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = plan(*arguments)
    assert message in str(answer.exception)


class TestTheFile:
    """Which file is meant, and what was meant by one that is not there."""

    @pytest.fixture
    def here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        return tmp_path

    def test_batch_yaml_is_taken_and_said(self, here: Path) -> None:
        (here / "batch.yaml").write_text("prompts: ['a']")
        answer = plan()
        assert (answer.exit_code, "1 cell" in answer.stdout) == (0, True)
        assert answer.stderr.startswith("file: batch.yaml\n")

    @pytest.mark.parametrize("command", ["plan", "render", "submit"])
    def test_a_mistyped_name_has_its_neighbour_named(
        self, command: str, here: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (here / "wolves.yaml").write_text("prompts: ['a']")
        (here / "wolfs.png").touch()
        assert run([command, "wolfs.yaml"]) == 2
        assert "did you mean 'wolves.yaml'?" in capsys.readouterr().err

    @pytest.mark.usefixtures("here")
    def test_files_named_by_the_batch_file_too(self, here: Path) -> None:
        (here / "loras").mkdir()
        (here / "loras" / "style.safetensors").touch()
        (here / "animals.txt").write_text("wolf")
        batch = "prompts: {file: animal.txt}"
        (here / "a.yaml").write_text(batch)
        assert "did you mean 'animals.txt'?" in str(plan("a.yaml").exception)
        lora = "prompts: [a]\nlora_files: {s: %s}\nsettings: {loras: {s: 1}}"
        (here / "b.yaml").write_text(lora % "loras/styles.safetensors")
        assert plan("b.yaml").exception.hint == "did you mean 'loras/style.safetensors'?"
        (here / "c.yaml").write_text("prompts: [a]\nmodel: ./lora/style.safetensors")
        assert plan("c.yaml").exception.hint == "did you mean 'loras/style.safetensors'?"
        (here / "d.yaml").write_text("prompts: [a]\naxes: {model: {files: ./lora/*.safetensors}}")
        assert "did you mean 'loras'?" in str(plan("d.yaml").exception)
