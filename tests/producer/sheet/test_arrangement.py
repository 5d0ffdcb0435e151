"""Which axes are rows, which columns, which make further sheets; what is refused."""

from __future__ import annotations

import pytest

from common.batch import RangeAxis
from common.errors import UsageError
from producer.sheet import make_sheets
from tests.support.sheets import (
    PROMPTS,
    VARIANTS,
    article,
    at,
    axis,
    labels_of,
    matrix,
    numbers,
    one_sheet,
    own_seeds,
    painted,
)


def test_rows_are_prompts_and_columns_variants() -> None:
    sheet = one_sheet(article())
    assert labels_of(sheet) == (list(PROMPTS), list(VARIANTS))
    for row, prompt in enumerate(PROMPTS):
        for column, variant in enumerate(VARIANTS):
            cell = sheet.table.cells[row][column]
            assert cell and cell.labels == {"prompt": prompt, "variant": variant}


@pytest.mark.parametrize(
    ("axes", "rows", "columns"),
    [
        ("prompt seed variant", "prompt", "variant"),
        ("variant prompt seed", "prompt", "variant"),
        ("prompt seed steps", "prompt", "steps"),
        ("seed steps", "seed", "steps"),
        ("prompt", "prompt", ""),
        ("seed", "", "seed"),
    ],
)
def test_defaults(axes: str, rows: str, columns: str) -> None:
    """Columns: variant, else the last axis. Rows: prompt, else the largest that is left."""
    known = {
        "prompt": axis("prompt", {p: {"prompt": p} for p in PROMPTS}),
        "seed": RangeAxis(name="seed", first="1", last="4"),
        "steps": numbers("steps", 10, 20),
        "variant": axis("variant", VARIANTS),
    }
    table = make_sheets(matrix(*(known[name] for name in axes.split())), painted)[0].table
    assert [level.axis for level in table.rows] == rows.split()
    assert [level.axis for level in table.columns] == columns.split()


def test_what_is_chosen_for_the_rows_leaves_the_rest_to_the_columns() -> None:
    assert labels_of(one_sheet(article(), rows="variant")) == (list(VARIANTS), list(PROMPTS))


def test_joined_axes_share_the_heading_of_the_outer_one() -> None:
    cells = matrix(own_seeds(), numbers("steps", 10, 20), axis("variant", VARIANTS))
    sheet = one_sheet(cells, rows="prompt, steps")
    outer, inner = sheet.table.rows
    assert [(h.label, h.first, h.count) for h in outer.headings] == [
        (prompt, 2 * number, 2) for number, prompt in enumerate(PROMPTS)
    ]
    assert [h.label for h in inner.headings] == ["10", "20"] * 3
    _, layout = sheet.draw()
    gap, wider = (at(layout, row, 0).box.top - at(layout, row - 1, 0).box.bottom for row in (1, 2))
    assert gap < wider  # a new prompt is set apart
    steps = [label.box.left for label in layout.labels if label.text in ("10", "20")]
    prompts = [la.box.right for la in layout.labels if la.text in (*PROMPTS, *PROMPTS.values())]
    assert max(prompts) < min(steps)


def test_where_keeps_labels() -> None:
    sheet = one_sheet(article(), where={"prompt": "wolf", "variant": ["base", "wrong-lora"]})
    assert labels_of(sheet) == ([], ["base", "wrong-lora"])
    assert [cell.labels["prompt"] for cell in sheet.table.present()] == ["wolf", "wolf"]


def test_where_finds_a_value_of_an_axis_too_long_to_list() -> None:
    cells = matrix(RangeAxis(name="seed", first="0", last=str(10**9 - 1)))
    sheet = one_sheet(cells, where={"seed": ["5", "999999999"]})
    assert labels_of(sheet)[1] == ["5", "999999999"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [("prompts", "prompt"), ("seeds", "seed"), ("variants", "variant"), ("moods", "mood"),
     ("step", "steps"), ("colours", "colours"), ("colour", "colour"), ("bodies", "body")],
)  # fmt: skip
def test_an_axis_is_meant_by_its_plural_too(written: str, meant: str) -> None:
    """Of an axis that is really called so, no other is meant."""
    names = ("prompt", "seed", "variant", "mood", "steps", "colour", "colours", "body")
    values = {name: {f"{name} {at}": {} for at in (1, 2)} for name in names}
    cells = matrix(*(axis(name, values[name]) for name in names))
    one = {name: f"{name} 1" for name in names if name != meant}
    for side in ("rows", "columns"):
        other = {"rows": "columns", "columns": "rows"}[side]
        [sheet] = make_sheets(cells, painted, **{side: written, other: "", "where": one})  # type: ignore[arg-type]
        table = sheet.table
        assert [level.axis for level in (*table.rows, *table.columns)] == [meant]
    kept = {**one, written: f"{meant} 2"}
    [cell] = make_sheets(cells, painted, where=kept)[0].table.present()
    assert cell.labels[meant] == f"{meant} 2"


def test_values_of_an_axis_under_both_its_names_are_kept_together() -> None:
    kept = {"prompt": "wolf", "prompts": ["hamburger"]}
    assert labels_of(one_sheet(article(), where=kept))[0] == ["wolf", "hamburger"]


@pytest.mark.parametrize(
    ("choice", "said", "hint"),
    [
        (
            {"rows": "promts"},
            "no axis 'promts'",
            "did you mean 'prompt'? there are: prompt, seed",
        ),
        ({"columns": "zebra"}, "no axis 'zebra'", "there are: prompt, seed"),
        ({"where": {"sed": "1"}}, "no axis 'sed'", "did you mean 'seed'?"),
        ({"where": {"prompt": "wolv"}}, "no value of prompt is 'wolv'", "did you mean 'wolf'?"),
        ({"where": {"seed": "5000"}}, "no value of seed is 5000", ""),
        ({"where": {"seed": "one"}}, "no value of seed is 'one'", ""),
        ({"rows": "seed", "columns": "prompt,seed"}, "in the rows and in the columns", "once"),
        ({"rows": "seed", "columns": "prompt"}, "5,010 cells", "--where"),
        ({"rows": "prompt", "columns": ""}, "1,670 sheets", "seed 1,670"),
        ({"where": {"seed": "1"}, "cell_size": 4}, "4 pixels", "16"),
        ({"where": {"seed": "1"}, "rows": "prompt", "cell_size": 9000}, "pixels", "cell-size"),
    ],
)
def test_a_choice_that_cannot_be_drawn_says_why(
    choice: dict[str, object], said: str, hint: str
) -> None:
    cells = matrix(
        axis("prompt", {p: {"prompt": p} for p in PROMPTS}),
        RangeAxis(name="seed", first="1", last="1670"),
        settings={"size": "8192x8192"},
    )
    with pytest.raises(UsageError) as caught:
        make_sheets(cells, painted, **choice)  # type: ignore[arg-type]
    assert said in caught.value.message and hint in caught.value.hint


def test_a_million_cells_are_refused_without_being_listed() -> None:
    cells = matrix(own_seeds(), RangeAxis(name="number", first="1", last=str(10**8)))
    with pytest.raises(UsageError, match="too many"):
        make_sheets(cells, painted)


def test_rows_and_columns_that_are_excluded_whole_are_not_drawn() -> None:
    cells = article(exclude=({"variant": ("base",)}, {"prompt": ("wolf",)}))
    assert labels_of(one_sheet(cells)) == (
        ["hamburger", "front-page"],
        ["wrong-negative", "wrong-lora"],
    )


def test_a_sheet_of_excluded_cells_alone_is_refused() -> None:
    cells = article(exclude=({"variant": ("base",)},))
    with pytest.raises(UsageError, match="excluded"):
        make_sheets(cells, painted, where={"variant": "base"})
