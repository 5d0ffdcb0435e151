"""The examples are what their comments say."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.matrix import Cell, Matrix
from common.spec import BatchFile, load_batch_file

EXAMPLES = Path(__file__).parents[2] / "examples"
PROMPTS = {
    "wolf": (
        "A wolf in Yosemite National Park, chilly nature documentary film photography",
        84061037,
    ),
    "wolf-close-up": (
        "An extreme close-up of a wolf in Yosemite National Park,"
        " chilly nature documentary film photography",
        84061037,
    ),
    "hamburger": (
        "a large delicious hamburger (in the shape of five-dimensional alien geometry)++++,"
        " professional food photography",
        58074327,
    ),
    "newspaper": (
        "lossless PDF scan of the front page of the January 2038 issue of the Wall Street Journal"
        " featuring a cover story about (evil robot world domination)++",
        69171405,
    ),
    "president": (
        "USA President Taylor Swift (signing papers)++++, photo taken by the Associated Press",
        49201147,
    ),
}


def load(name: str) -> BatchFile:
    return load_batch_file(EXAMPLES / name, base_dir=EXAMPLES)


def cells(name: str) -> list[Cell]:
    return [*Matrix(load(name).batch)]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_loads_and_surprises_nobody(path: Path) -> None:
    file = load(path.name)
    assert file.batch.name == path.stem
    assert file.notes == ()


@pytest.mark.parametrize(
    ("name", "count"), [("wrong-lora.yaml", 15), ("ablation.yaml", 20)]
)  # fmt: skip
def test_counts(name: str, count: int) -> None:
    matrix = Matrix(load(name).batch)
    assert (len(matrix), matrix.cells, matrix.jobs) == (count, count, count)


@pytest.mark.parametrize("name", ["wrong-lora.yaml", "ablation.yaml"])
def test_prompts_and_seeds_are_the_articles(name: str) -> None:
    found = {cell.labels["prompt"]: (cell.job.prompt, cell.job.seed) for cell in cells(name)}
    assert found == PROMPTS


def test_the_three_variants_of_the_article() -> None:
    columns = {
        cell.labels["variant"]: (cell.job.negative_prompt, [use.unet for use in cell.job.loras])
        for cell in cells("wrong-lora.yaml")
    }
    assert columns == {
        "base": (None, []),
        "wrong-negative": ("wrong", []),
        "wrong-lora": ("wrong", [1.0]),
    }
    for cell in cells("wrong-lora.yaml"):
        assert (cell.job.guidance_scale, cell.job.high_noise_frac, cell.job.steps) == (13, 0.8, 50)
        assert cell.job.noise == "cuda"


def test_the_ablation_changes_one_thing_at_a_time() -> None:
    first_row = {
        (cell.labels["negative_prompt"], cell.labels["loras"]): (
            cell.job.negative_prompt,
            len(cell.job.loras),
        )
        for cell in cells("ablation.yaml")
        if cell.labels["prompt"] == "wolf"
    }
    assert first_row == {
        ("none", "without"): (None, 0),
        ("none", "with"): (None, 1),
        ("wrong", "without"): ("wrong", 0),
        ("wrong", "with"): ("wrong", 1),
    }


def test_the_examples_share_their_common_pictures() -> None:
    """Base, negative only and both are cells of the article's comparison too."""
    shared = {c.key for c in cells("wrong-lora.yaml")} & {c.key for c in cells("ablation.yaml")}
    assert len(shared) == 15


def test_the_readmes_batch_files_load() -> None:
    """6 cells, and 2 prompts × 8 seeds × 3 guidance × 2 LoRAs less the excluded 16."""
    readme = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    blocks = [part.split("```")[0] for part in readme.split("```yaml\n")[1:]]
    files = [load_batch_file(None, text=text, base_dir=EXAMPLES) for text in blocks]
    assert [Matrix(file.batch).cells for file in files] == [6, 80]
