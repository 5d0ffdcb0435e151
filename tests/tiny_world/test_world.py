"""The judge passes what is drawn as wished and fails what is not; the held-out set is fair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.tiny_world.judge import correct, is_glorp, verdict
from tests.tiny_world.wishes import wish
from worker.tiny.train.samples import Sample, pastel, sample, wrong
from worker.tiny.world import glorp
from worker.tiny.world.captions import EVERYTHING, Said, caption, some
from worker.tiny.world.drawing import draw
from worker.tiny.world.scene import (
    FLAWS,
    PALETTE,
    STYLES,
    Scene,
    Thing,
    combinations,
    held_out,
    pair,
    single,
)

Make = Callable[[np.random.Generator], Scene]

KINDS: dict[str, Make] = {
    "one thing": single,
    "two things": pair,
    **{style: lambda rng, s=style: replace(single(rng), style=s) for style in STYLES},
}

STAR = Scene((Thing("star", "red", "large", 0.35, 0.5, 0.29),), "blue", position="left", style=None)
BOTH = Scene(
    (
        Thing("star", "red", "medium", 0.5, 0.27, 0.17),
        Thing("heart", "pink", "medium", 0.5, 0.73, 0.17),
    ),
    "blue",
    relation="above",
)


def drawn(scene: Scene, seed: int = 0) -> np.ndarray:
    return (draw(scene, np.random.default_rng(seed)) * 255 + 0.5).astype(np.uint8)


def star(**changes: object) -> Scene:
    return replace(STAR, things=(replace(STAR.things[0], **changes),))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_drawn_as_wished_is_right_in_every_word(kind: str) -> None:
    rng = np.random.default_rng(1)
    scenes = [KINDS[kind](rng) for _ in range(25)]
    verdicts = [verdict(drawn(scene, seed), scene) for seed, scene in enumerate(scenes)]
    assert all(all(words.values()) for words in verdicts)


OTHER = {
    "shape": star(shape="heart"),
    "colour": star(colour="orange"),
    "size": star(size="small", radius=0.14),
    "position": star(x=0.65),
    "background": replace(STAR, background="grey"),
    "count": replace(BOTH, relation=None),
}


@pytest.mark.parametrize("word", OTHER)
def test_another_picture_fails_that_word_alone(word: str) -> None:
    words = verdict(drawn(OTHER[word]), STAR)
    assert not words[word]
    if word != "count":
        assert all(right for other, right in words.items() if other != word)


@pytest.mark.parametrize(
    "caption", ["a star above a heart on a blue background", "a red star above a heart"]
)
def test_two_things_are_judged_by_what_was_said_of_them(caption: str) -> None:
    assert all(verdict(drawn(BOTH), *wish(caption)).values())


def test_two_things_the_other_way_round_fail_the_relation() -> None:
    one, two = BOTH.things
    turned = replace(BOTH, things=(replace(one, y=0.73), replace(two, y=0.27)))
    assert all(verdict(drawn(BOTH), BOTH).values())
    assert [w for w, right in verdict(drawn(turned), BOTH).items() if not right] == ["relation"]


@pytest.mark.parametrize("flaw", FLAWS)
def test_spoilt_pictures_are_not_correct(flaw: str) -> None:
    rng = np.random.default_rng(2)
    scenes = [replace(single(rng), flaws=(flaw,)) for _ in range(20)]
    passed = [correct(verdict(drawn(scene, seed), scene)) for seed, scene in enumerate(scenes)]
    assert sum(passed) <= 2


SQUARE = Scene((Thing("square", "red", "large", 0.5, 0.5, 0.3),), "white", position="centre")


@pytest.mark.parametrize("at", [64, 8], ids=["thing", "background"])
@pytest.mark.parametrize("colour", ["black", "white", "orange", "red"])
def test_a_spot_of_another_colour_is_not_clean(at: int, colour: str) -> None:
    """Four pixels wide, in the middle of a square or in a corner; its own colour is no spot."""
    picture = drawn(SQUARE)
    surface = picture[at, at].copy()
    picture[at : at + 4, at : at + 4] = np.array(PALETTE[colour]) * 255
    spot = np.abs(picture[at, at].astype(int) - surface).max() > 30
    assert verdict(picture, SQUARE)["clean"] == (not spot)


def test_an_empty_picture_and_noise_are_not_correct() -> None:
    flat = np.full((128, 128, 3), 200, np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    assert not correct(verdict(flat, STAR))
    assert not correct(verdict(noise, STAR))


def test_captions_say_what_is_wished() -> None:
    assert caption(STAR) == "a large red star on the left on a blue background"
    assert caption(BOTH) == "a red star above a pink heart on a blue background"
    little = Said(colour=False, size=False, position=False, background=False)
    assert caption(replace(STAR, flaws=("blurry",)), little) == "a star, blurry"
    assert "an orange star" in caption(star(colour="orange"), replace(EVERYTHING, size=False))


def test_parts_of_held_out_combinations_are_trained() -> None:
    held, trained = combinations(held=True), combinations(held=False)
    assert len(held) >= 30
    for part in (slice(0, 2), slice(1, 3)):
        assert {c[part] for c in held} <= {c[part] for c in trained}


@pytest.mark.parametrize("stream", [sample, pastel, wrong])
def test_no_held_out_combination_is_in_a_stream(stream: Callable[[int], Sample]) -> None:
    """By what the captions say; of 600, hundreds say all three."""
    seen = []
    for number in range(600):
        scene, _ = wish(stream(number).caption or "")
        seen += [(thing.shape, thing.colour, scene.background) for thing in scene.things]
    complete = [combination for combination in seen if all(combination)]
    assert len(complete) > 200
    assert not any(held_out(*combination) for combination in complete)


def test_glorps_are_seen_and_nothing_else_is_one() -> None:
    rng = np.random.default_rng(4)
    glorps = [glorp.draw(glorp.scene(rng), rng) for _ in range(20)]
    assert all(is_glorp((picture * 255).astype(np.uint8)) for picture in glorps)
    assert not any(is_glorp(drawn(single(rng))) for _ in range(20))


def test_a_caption_is_read_as_it_was_meant() -> None:
    rng = np.random.default_rng(5)
    for number in range(300):
        scene = pair(rng) if number % 4 == 0 else single(rng)
        said = some(rng)
        read, words = wish(caption(scene, said))
        assert caption(read, words) == caption(scene, said)
        assert (words.background, words.colour) == (said.background, said.colour)
