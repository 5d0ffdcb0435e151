"""The examples are what their comments say."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from common.batch import Cell, Matrix
from common.job import TINY_BASE, TINY_LORAS, Crop, Job
from producer.language import BatchFile, load_batch_file
from producer.language.settings.training_sizes import TRAINING_SIZES

EXAMPLES = Path(__file__).parents[3] / "examples"
FILES = sorted(path.name for path in EXAMPLES.glob("*.yaml"))
MAX_LINES = 25

CELLS = {
    "ablation.yaml": 5 * 2 * 2,
    "four-steps.yaml": 4 * 2 * 4,
    "how-to-refine.yaml": 3 * 6,
    "lora-strength.yaml": 3 * 2 * 7,
    "shapes.yaml": 5 * 2 * 6,
    "told-size.yaml": 2 * 4 * 3,
    "when-to-refine.yaml": 4 * 2 * 5,
    "which-animals.yaml": 2 * 8 * 3 * 2,
    "which-checkpoint.yaml": 6 * 4 * 2,
    "which-negative-prompt.yaml": 3 * 3 * 5,
    "which-scheduler.yaml": 2 * (6 * 4 * 3 - 6 * 1 * 1 - 4 * 1 * 3),
    "which-size.yaml": 3 * 9,
    "wrong-images.yaml": 13 * 6,
    "wrong-lora.yaml": 5 * 3,
}
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
KEYWORDS = [
    "low quality", "bad hands", "random text", "error", "missing or extra fingers", "cropped",
    "jpeg artifacts", "signature", "watermark", "blurry", "ugly", "duplicate", "mutilated",
]  # fmt: skip


def load(name: str) -> BatchFile:
    return load_batch_file(EXAMPLES / name, base_dir=EXAMPLES)


def cells(name: str) -> list[Cell]:
    return [*Matrix(load(name).batch)]


def by_label(name: str, axis: str) -> dict[str, Job]:
    """The first cell's Job of each value of an axis."""
    return {cell.labels[axis]: cell.job for cell in reversed(cells(name))}


@pytest.mark.parametrize("name", FILES)
def test_every_example_is_short_and_surprises_nobody(name: str) -> None:
    file = load(name)
    assert f"{file.batch.name}.yaml" == name
    assert file.notes == ()
    assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("name", FILES)
def test_every_example_says_its_question_and_its_cells(name: str) -> None:
    """The comment on top asks, and the number of cells in it is the right one."""
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    comment = " ".join(line.removeprefix("#") for line in text.split("\n\n")[0].splitlines())
    assert "?" in comment
    matrix = Matrix(load(name).batch)
    assert re.findall(r"(\d+) cells", comment) == [str(CELLS[name])]
    assert (matrix.cells, matrix.jobs) == (CELLS[name], CELLS[name])


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


def test_wrong_images_emphasise_each_keyword_in_turn() -> None:
    """Every prompt has all keywords in their order, and its own with four plusses, at each of
    the six guidance scales."""
    emphasised: Counter[str] = Counter()
    for cell in cells("wrong-images.yaml"):
        own = cell.labels["prompt"]
        expected = [f"({word})++++" if word == own else word for word in KEYWORDS]
        assert cell.job.prompt == ", ".join(expected)
        assert (cell.job.high_noise_frac, cell.job.negative_prompt) == (0.8, None)
        emphasised[own] += 1
    assert emphasised == dict.fromkeys(KEYWORDS, 6)
    assert {c.job.guidance_scale for c in cells("wrong-images.yaml")} == {8, 9, 10, 11, 12, 13}


def test_wrong_images_have_a_recorded_seed_each() -> None:
    """A seed per picture, the same when the file is read again, and in the Job that is stored
    inside the picture."""
    found = cells("wrong-images.yaml")
    seeds = [cell.job.seed for cell in found]
    assert len(set(seeds)) == 78
    assert seeds == [cell.job.seed for cell in cells("wrong-images.yaml")]
    assert [cell.job.to_json()["seed"] for cell in found] == [*map(str, seeds)]


def test_lora_strengths_begin_without_the_lora() -> None:
    strengths = by_label("lora-strength.yaml", "loras.pixel")
    found = {label: [use.unet for use in job.loras] for label, job in strengths.items()}
    assert found == {
        "0": [], "0.25": [0.25], "0.5": [0.5], "0.75": [0.75], "1": [1], "1.25": [1.25],
        "1.5": [1.5],
    }  # fmt: skip


def test_shapes_need_nothing_that_does_not_come_with_gridfarm() -> None:
    """And each variant changes the one thing that its name says."""
    file = load("shapes.yaml")
    assert {cell.job.model for cell in cells("shapes.yaml")} == {TINY_BASE}
    assert {*file.lora_sources.values()} <= TINY_LORAS.keys()
    changed = {
        label: job.model_dump(exclude_defaults=True).keys()
        for label, job in by_label("shapes.yaml", "variant").items()
    }
    base = changed.pop("base")
    assert {label: fields - base for label, fields in changed.items()} == {
        "guidance 1": set(), "not orange": {"negative_prompt"}, "pastel 0.7": {"loras"},
        "pastel 1": {"loras"}, "glorp 1": {"loras"},
    }  # fmt: skip


def test_at_1_there_is_no_refiner() -> None:
    found = by_label("when-to-refine.yaml", "high_noise_frac")
    assert {label: job.refiner is not None for label, job in found.items()} == {
        "0.6": True, "0.7": True, "0.8": True, "0.9": True, "1": False,
    }  # fmt: skip


def test_schedulers_leave_out_what_is_excluded() -> None:
    found = {
        (c.labels["scheduler"], c.job.steps, c.job.guidance_scale)
        for c in cells("which-scheduler.yaml")
    }
    assert {guidance for _, steps, guidance in found if steps == 10} == {4, 7}
    assert {scheduler for scheduler, steps, _ in found if steps == 50} == {"euler", "ddim"}
    assert {guidance for _, steps, guidance in found if steps == 50} == {4, 7, 10}
    uses = [job.scheduler for job in by_label("which-scheduler.yaml", "scheduler").values()]
    assert len({repr(use) for use in uses}) == 6


def test_checkpoints_draw_the_rows_of_the_table() -> None:
    found = cells("which-checkpoint.yaml")
    assert {cell.settings["model"] for cell in found} == {
        "RunDiffusion/Juggernaut-XL-v9",
        "SG161222/RealVisXL_V4.0",
    }
    assert len({cell.job.seed for cell in found}) == 4
    rows = by_label("which-checkpoint.yaml", "prompt")
    sizes = {label: (job.width, job.height) for label, job in rows.items()}
    assert sizes == {
        "portrait": (832, 1216), "hands": (1024, 1024), "street": (1216, 832),
        "food": (1024, 1024), "wildlife": (1216, 832), "text": (1024, 1024),
    }  # fmt: skip
    assert rows["street"].prompt.startswith("a rainy street in Tokyo at night, neon")
    assert rows["street"].negative_prompt is None
    assert rows["hands"].negative_prompt == "extra fingers, deformed"
    assert '"OPEN"' in rows["text"].prompt


def test_words_fill_in_words() -> None:
    found = {tuple(c.labels.values())[:3]: c.job.prompt for c in cells("which-animals.yaml")}
    assert found["photo", "an owl", "snow"] == (
        "an owl in deep snow, nature documentary film photography"
    )
    assert found["watercolour", "a wolf", "close-up"] == (
        "an extreme close-up of a wolf, loose watercolour on rough paper"
    )
    assert len({*found.values()}) == 48


def test_no_negative_prompt_is_not_an_empty_one() -> None:
    found = by_label("which-negative-prompt.yaml", "negative_prompt")
    negatives = [job.negative_prompt for job in found.values()]
    assert None in negatives and "" in negatives and len(set(negatives)) == 5


def test_sizes_are_sdxls_own() -> None:
    jobs = by_label("which-size.yaml", "size").values()
    sizes = {(job.width, job.height) for job in jobs}
    assert len(sizes) == 9 and sizes <= {*TRAINING_SIZES}


def test_told_sizes_leave_the_picture_as_large_as_it_is() -> None:
    found = cells("told-size.yaml")
    assert {(cell.job.width, cell.job.height) for cell in found} == {(1024, 1024)}
    told = {cell.job.original_size and cell.job.original_size.width for cell in found}
    assert told == {256, 512, 4096, None}
    crops = {label: job.crop for label, job in by_label("told-size.yaml", "crop").items()}
    assert crops == {
        "centred": Crop(), "from-left": Crop(left=512), "from-top": Crop(top=512),
    }  # fmt: skip


def test_four_steps_use_the_lcm_scheduler_and_lora() -> None:
    found = {
        label: (
            job.steps,
            job.guidance_scale,
            job.scheduler.type if job.scheduler else None,
            len(job.loras),
        )
        for label, job in by_label("four-steps.yaml", "variant").items()
    }
    assert found == {
        "50-steps": (50, 5, None, 0),
        "lcm-4": (4, 1, "LCMScheduler", 1),
        "lcm-4-guided": (4, 2, "LCMScheduler", 1),
        "lcm-8": (8, 1, "LCMScheduler", 1),
    }


def test_the_refiner_has_settings_of_its_own() -> None:
    """Each variant changes the refiner in the one way that its name says, never the base."""
    jobs = by_label("how-to-refine.yaml", "variant")
    plain = jobs["as-the-base"]
    assert plain.refiner
    changed = {}
    for label, job in jobs.items():
        assert job.refiner
        assert job.model_copy(update={"refiner": None, "high_noise_frac": 0.8}) == (
            plain.model_copy(update={"refiner": None})
        )
        fields = job.refiner.model_dump(exclude_defaults=True).keys() - {"model"}
        changed[label] = (job.high_noise_frac, fields)
    assert changed == {
        "as-the-base": (0.8, set()),
        "gentle": (0.8, {"guidance_scale"}),
        "more-steps": (0.8, {"steps"}),
        "texture": (0.8, {"prompt", "negative_prompt"}),
        "beautiful": (0.8, {"aesthetic_score", "negative_aesthetic_score"}),
        "repaint": (1, {"strength"}),
    }


def test_the_readmes_batch_files_load() -> None:
    """6 cells, and 2 prompts × 8 seeds × 3 guidance × 2 LoRAs less the excluded 16."""
    readme = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    blocks = [part.split("```")[0] for part in readme.split("```yaml\n")[1:]]
    files = [load_batch_file(None, text=text, base_dir=EXAMPLES) for text in blocks]
    assert [Matrix(file.batch).cells for file in files] == [6, 160]
