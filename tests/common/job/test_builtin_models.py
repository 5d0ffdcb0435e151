"""Each of our words for a model is one revision, and what comes with gridfarm is there."""

from __future__ import annotations

import pytest

from common.job import BUILTIN_MODELS, TINY_LORAS, builtin_models
from common.job.builtin_models import pinned

COMMIT = "462165984030d82259a11f4367a4eed129e94a7b"


@pytest.mark.parametrize("name", BUILTIN_MODELS)
def test_a_word_is_pinned(name: str) -> None:
    assert pinned(name) == BUILTIN_MODELS[name]
    assert BUILTIN_MODELS[name].kind in ("hub", "builtin")


def test_sdxl_is_the_revision_it_always_was() -> None:
    """Keys of pictures are made from it."""
    assert pinned("sdxl") == f"stabilityai/stable-diffusion-xl-base-1.0@{COMMIT}"
    assert pinned("tiny") == "tiny@3"


def test_a_hub_id_is_pinned_by_a_full_commit_alone() -> None:
    assert pinned(f"owner/name@{COMMIT}") == f"owner/name@{COMMIT}"
    assert pinned("owner/name@main") is None
    assert pinned("owner/name") is None


@pytest.mark.parametrize("written", ["own", "./model.safetensors", "", "sdxl "])
def test_everything_else_has_yet_to_be_resolved(written: str) -> None:
    assert pinned(written) is None


@pytest.mark.parametrize("name", TINY_LORAS)
def test_the_tiny_loras_come_along(name: str) -> None:
    assert TINY_LORAS[name].is_file()
    assert TINY_LORAS[name].parent == builtin_models.TINY_FOLDER
