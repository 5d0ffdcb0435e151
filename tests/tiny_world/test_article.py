"""The article's experiment: what is ordered, and what is made of the judge's words."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import yaml

from common.batch import Cell, Matrix
from producer.language import load_batch_file
from producer.submission import resolve_offline
from tests.tiny_world.article import CELLS, FILE, arguments, document, prompts, table
from tests.tiny_world.wishes import wish
from worker.tiny.world.scene import held_out

RIGHT = {"count": True, "outline": True, "clean": True, "shape": True, "position": False}
ROUGH = RIGHT | {"outline": False, "clean": False}
OTHER = RIGHT | {"shape": False, "clean": False}

TABLE = """\
guidance 3         correct                 against base               p         pictures that fail in
  base             0.250 (0.046 to 0.699)                                       clean 3, outline 2, shape 1
  negative prompt  0.750 (0.301 to 0.954)  +0.500 (-0.135 to +0.789)  0.5       outline 1, clean 1
  LoRA + negative  0.000 (0.000 to 0.490)  -0.250 (-0.699 to +0.281)  1         clean 4, shape 2, outline 2
  LoRA             0.250 (0.046 to 0.699)  +0.000 (-0.427 to +0.427)  1         clean 3, outline 2, shape 1
  the LoRA beside the negative prompt      -0.750 (-0.954 to -0.085)  0.25
  the negative prompt beside the LoRA      -0.250 (-0.699 to +0.281)  1"""  # noqa: E501


def cells(path: Path) -> list[Cell]:
    return list(Matrix(resolve_offline(load_batch_file(path, base_dir=path.parent), None)))


@pytest.fixture(scope="module")
def ordered() -> list[Cell]:
    return cells(FILE)


def test_each_prompt_and_seed_comes_in_each_of_the_four_cells(ordered: list[Cell]) -> None:
    """At every guidance scale, and in the same order, so that pictures can be compared by it."""
    assert len({cell.key for cell in ordered}) == len(ordered) == 200 * 2 * 2 * 5
    pairs: dict[tuple[str, str, str], list[tuple[str, int]]] = {}
    for cell in ordered:
        where = tuple(cell.labels[axis] for axis in ("negative_prompt", "loras", "guidance_scale"))
        pairs.setdefault(where, []).append((cell.job.prompt, cell.job.seed))
    assert {where[:2] for where in pairs} == set(CELLS)
    first = pairs["none", "without", "3"]
    assert len(set(first)) == len({seed for _, seed in first}) == 200
    assert all(each == first for each in pairs.values())


def test_nothing_but_lora_and_negative_prompt_differs(ordered: list[Cell]) -> None:
    four = [cell.job.to_json() for cell in ordered if cell.job.prompt == ordered[0].job.prompt]
    seen = [(job.pop("negative_prompt", None), bool(job.pop("loras", None))) for job in four]
    assert Counter(seen) == dict.fromkeys(
        ((None, False), (None, True), ("wrong", False), ("wrong", True)), 5
    )
    assert len({str(job) for job in four}) == 5  # one a guidance scale


def test_no_prompt_asks_for_what_was_held_out() -> None:
    for entry in prompts(200):
        scene, _ = wish(entry["prompt"])
        assert not held_out(scene.things[0].shape, scene.things[0].colour, scene.background)


def test_the_file_is_what_the_script_orders() -> None:
    assert yaml.safe_load(FILE.read_text()) == document(arguments([]))


def test_more_prompts_are_the_same_ones_and_others() -> None:
    assert prompts(60)[:30] == prompts(30)


def test_another_lora_and_another_base_make_another_batch(tmp_path: Path) -> None:
    """With files from where the command was given, and a base that is no tiny SDXL of ours drawn
    as ours is."""
    lora, model = tmp_path / "mine.safetensors", tmp_path / "base"
    lora.touch()
    model.mkdir()
    options = f"--count 3 --guidance 2,4.5 --lora {lora} --scale 0.5 --model {model}"
    options += " --set steps=4 --set dtype=bf16"
    batch = document(arguments(options.split()))
    assert (batch["model"], batch["lora_files"]) == (str(model), {"wrong": str(lora)})
    assert batch["axes"]["loras"] == {"without": {}, "with": {"wrong": 0.5}}
    assert batch["settings"] == {"steps": 4, "size": "128x128", "dtype": "bf16", "vae": "own"}
    file = tmp_path / "article.yaml"
    file.write_text(yaml.safe_dump(batch))
    assert len(Matrix(load_batch_file(file, base_dir=tmp_path).batch)) == 3 * 2 * 2 * 2


def test_the_table_compares_with_the_base_on_the_same_prompts() -> None:
    """Position, the sixth word of these, does not make a picture incorrect."""
    verdicts = {
        "base": [RIGHT, ROUGH, OTHER, ROUGH],
        "negative prompt": [RIGHT, RIGHT, RIGHT, ROUGH],
        "LoRA + negative": [OTHER, ROUGH, OTHER, ROUGH],
        "LoRA": [RIGHT, ROUGH, OTHER, ROUGH],
    }
    assert table({"3": verdicts}) == TABLE


def test_every_guidance_scale_has_its_own_rows() -> None:
    verdicts = {name: [RIGHT] for name in CELLS.values()}
    assert len(table({"1.5": verdicts, "5": verdicts}).splitlines()) == 7 + 1 + 7
