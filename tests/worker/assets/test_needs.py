"""What a job is made with has one name, whoever says it."""

from __future__ import annotations

import pytest

from common.errors import BadInput
from common.job import TINY_BASE, TINY_FOLDER, TINY_REFINER, RefinerUse
from common.store import Store
from tests.support.engine import REFINED, job, put, put_tree, use
from worker.assets import Assets, needing, needs_of
from worker.engine import Renderer

NOWHERE = f"tree:{'0' * 64}"


def test_all_that_a_job_is_made_with() -> None:
    cell = job(loras=(use("a" * 64),), vae=NOWHERE, **REFINED)
    assert needs_of(cell) == [
        f"base {TINY_BASE} fp32",
        f"lora {'a' * 64}",
        f"vae {NOWHERE} fp32",
        f"refiner {TINY_REFINER} fp32",
        f"refiner {TINY_REFINER} fp32 for {TINY_BASE}",
    ]


def test_an_error_says_what_it_is_about_and_the_innermost_is_right() -> None:
    with pytest.raises(BadInput) as failed, needing("all"), needing("part"):
        raise BadInput("x")
    assert failed.value.needs == "part"


def test_what_the_store_lacks_is_one_of_the_jobs_needs(assets: Assets) -> None:
    for cell in (
        job(model=NOWHERE),
        job(vae=NOWHERE),
        job(**REFINED | {"refiner": RefinerUse(model=NOWHERE)}),
        job(loras=(use("0" * 64),)),
    ):
        with pytest.raises(BadInput) as failed:
            Renderer(assets, device="cpu").fetch(cell)
        assert failed.value.needs in needs_of(cell)
        assert failed.value.needs not in needs_of(job())


def test_and_so_is_what_cannot_be_loaded(renderer: Renderer, engine_store: Store) -> None:
    """A refiner that does not fit its base says nothing of it with another base."""
    broken = put_tree(engine_store, TINY_FOLDER / "base", {"model_index.json": None})
    for cell in (
        job(model=broken),
        job(model=TINY_REFINER),
        job(vae=f"file:{put(engine_store, b'<')}"),
    ):
        with pytest.raises(BadInput) as failed:
            renderer.render(cell)
        assert failed.value.needs in needs_of(cell)
    cell = job(**REFINED | {"refiner": RefinerUse(model=TINY_BASE)})
    with pytest.raises(BadInput) as failed:
        renderer.render(cell)
    assert failed.value.needs in needs_of(cell)
    assert str(TINY_BASE) in failed.value.needs.partition(" for ")[2]
