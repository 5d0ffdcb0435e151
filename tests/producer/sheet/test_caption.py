"""The words: what a label stands for, what all cells share, what is amiss."""

from __future__ import annotations

import pytest

from common.batch import RangeAxis
from producer.sheet import make_sheets, typography
from producer.sheet.caption import NO_FONT
from tests.support.sheets import (
    PROMPTS,
    VARIANTS,
    article,
    axis,
    draw,
    labels_of,
    matrix,
    mixed,
    one_sheet,
    own_seeds,
    painted,
    texts,
)


def test_a_prompt_with_its_own_seed_is_told_in_full() -> None:
    _, layout = draw(article())
    details = texts(layout, "detail")
    for number, prompt in enumerate(PROMPTS.values()):
        assert prompt in details and f"seed {84061037 + number}" in details


def test_a_prompt_without_a_name_is_not_told_twice() -> None:
    _, layout = draw(matrix(own_seeds(named=False), axis("variant", VARIANTS)))
    for prompt in PROMPTS.values():
        assert texts(layout).count(prompt) == 1


def test_a_variant_says_what_it_sets() -> None:
    _, layout = draw(article())
    assert "negative_prompt wrong · loras wrong 1" in texts(layout, "detail")


def test_the_base_says_what_the_others_change() -> None:
    """Where its cells have that alike; and so does whoever changes less than another."""
    variants = VARIANTS | {
        "guided": {"guidance_scale": 20.0},
        "euler": {"scheduler": {"name": "euler"}},
        "second": {"prompt_2": "x", "refiner.steps": 10},
    }
    [sheet] = make_sheets(matrix(own_seeds(), axis("variant", variants)), painted)
    told = {heading.label: heading.details for heading in sheet.table.columns[0].headings}
    assert told == {
        "base": ("negative_prompt none · loras none · guidance_scale 13 · scheduler default",),
        "wrong-negative": ("negative_prompt wrong · loras none",),
        "wrong-lora": ("negative_prompt wrong · loras wrong 1",),
        "guided": ("guidance_scale 20",),
        "euler": ("scheduler euler",),
        "second": ("prompt_2 x · refiner.steps 10",),
    }


def test_what_another_axis_changes_is_not_the_bases() -> None:
    variants = axis("variant", {"base": {}, "both": {"guidance_scale": 20.0, "steps": 9}})
    guidance = axis("guidance_scale", {"5": {"guidance_scale": 5.0}, "8": {"guidance_scale": 8.0}})
    [sheet] = make_sheets(matrix(guidance, variants), painted, columns="variant")
    assert [h.details for h in sheet.table.columns[0].headings] == [
        ("steps 50",),
        ("guidance_scale 20 · steps 9",),
    ]
    [sheet] = make_sheets(matrix(guidance, variants), painted, where={"guidance_scale": "8"})
    assert sheet.table.columns[0].headings[0].details == ("guidance_scale 8 · steps 50",)


def test_without_the_others_the_base_says_nothing() -> None:
    [sheet] = make_sheets(article(), painted, where={"variant": ["base"]})
    assert sheet.table.columns == ()


def test_the_caption_tells_what_is_constant() -> None:
    _, layout = draw(article())
    (title,), (facts,) = texts(layout, "title"), texts(layout, "facts")
    assert title == "wrong-lora"
    for fact in ("model sdxl", "size 256x256", "steps 50", "guidance_scale 13"):
        assert fact in facts
    assert "high_noise_frac 0.8" in facts and "refiner.model sdxl-refiner" in facts
    assert "seed" not in facts and "negative_prompt" not in facts and "loras" not in facts


def test_a_prompt_with_words_is_told_as_it_is_written() -> None:
    """Its cells have different prompts, so the template is what they share."""
    words = axis("animal", {name: {"words.animal": name} for name in ("wolf", "cat")})
    prompt = axis("prompt", {"a {animal}": {"prompt": "a {animal}"}})
    [sheet] = make_sheets(matrix(words, prompt), painted)
    assert "a {animal}" in sheet.caption.context
    [level] = sheet.table.columns or sheet.table.rows
    assert [heading.details for heading in level.headings] == [(), ()]


def test_a_random_seed_is_headed_by_its_first_digits() -> None:
    """With the whole of it below; `where` takes either."""
    full = ("12426054289685354689", "12427200041832915037", "10603912086726310123")
    cells = matrix(axis("seed", {label: {"seed": label} for label in full}))
    headings = make_sheets(cells, painted)[0].table.columns[0].headings
    assert [(heading.label, heading.details) for heading in headings] == [
        ("12426…", (full[0],)),
        ("12427…", (full[1],)),
        ("1060…", (full[2],)),
    ]
    for kept in (["12426…", "1060"], ["12426", full[2]], "12426,1060…", "!=12427…"):
        table = make_sheets(cells, painted, where={"seed": kept})[0].table
        assert [cell.labels["seed"] for cell in table.present()] == [full[0], full[2]]


def test_a_seed_of_each_image_is_labelled_once() -> None:
    seeds = axis("seed", {f"random {n}": {"seed": {"from": "7"}} for n in (1, 2)})
    [sheet] = make_sheets(matrix(seeds, settings={"prompt": "a"}), painted)
    [level] = sheet.table.columns or sheet.table.rows
    labels = [(heading.label, heading.details) for heading in level.headings]
    assert labels == [("random 1", ()), ("random 2", ())]


def test_the_title_may_be_chosen() -> None:
    _, layout = draw(article(), title="Wolves & hamburgers")
    assert texts(layout, "title") == ["Wolves & hamburgers"]


def test_an_axis_of_one_value_goes_into_the_caption() -> None:
    cells = matrix(
        axis("prompt", {"wolf": {"prompt": "a wolf in snow"}}),
        axis("style", {"loud": {"guidance_scale": 20.0}}),
        RangeAxis(name="seed", first="7", last="7"),
        axis("variant", VARIANTS),
    )
    sheet = one_sheet(cells)
    assert labels_of(sheet) == ([], list(VARIANTS))
    _, layout = sheet.draw()
    context = texts(layout, "context")
    assert context == ["style loud (guidance_scale 20)", "wolf", "a wolf in snow"]
    assert "seed 7" in texts(layout, "facts")[0]


def test_the_caption_counts_what_is_not_there() -> None:
    cells = article(exclude=({"prompt": ("front-page",), "variant": ("wrong-lora",)},))
    _, layout = draw(cells, mixed)
    assert texts(layout, "note") == ["1 not rendered yet, 2 failed of 8 cells"]
    assert texts(layout, "facts")[0].endswith("1 cell left out (blank)")
    assert texts(draw(article())[1], "note") == []


@pytest.mark.parametrize("fonts", [True, False])
def test_letters_that_no_font_has_are_explained(
    monkeypatch: pytest.MonkeyPatch, fonts: bool
) -> None:
    for name in ("system_fonts", "other_fonts"):
        monkeypatch.setattr(typography, name, lambda: ())
    cells = matrix(axis("prompt", {"wolf" if fonts else "猫": {"prompt": "a wolf"}, "b": {}}))
    _, layout = draw(cells)
    assert texts(layout, "note") == ([] if fonts else [NO_FONT])
