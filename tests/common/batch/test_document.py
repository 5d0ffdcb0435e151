"""The stored document: its id is golden and blind to what is not used."""

from __future__ import annotations

import json
import sys

import pytest

from common.batch import Axis, Batch, RangeAxis, Value, is_batch_id, slug
from common.errors import GridfarmError

PLAIN = Batch(name="A night!", settings={"model": "tiny", "prompt": "a wolf"}, axes=())
FULL = Batch(
    name="wrong LoRA",
    settings={"model": "sdxl", "seed": "18446744073709551615", "guidance_scale": 5.0},
    axes=(
        Axis(name="prompt", values=(Value(label="wölfe", settings={"prompt": "“zwei”\n"}),)),
        RangeAxis(name="seed", first="0", last="9"),
        RangeAxis(name="guidance_scale", first="1", last="2", step="0.5"),
    ),
    exclude=({"seed": ("3", "5..7")},),
    only=({"prompt": ("wölfe",)},),
    models={"sdxl": None, "tiny": "tiny@1"},
    loras={"wrong": "ab" * 32},
    gpu="a100",
)
GOLDEN = {
    "plain": (PLAIN, "a-night-146aaa824a8ff34d"),
    "full": (FULL, "wrong-lora-43359629b891e68c"),
}


@pytest.mark.parametrize(("batch", "batch_id"), GOLDEN.values(), ids=GOLDEN)
def test_ids_are_golden(batch: Batch, batch_id: str) -> None:
    """An id that changes renders no picture again, but nobody finds the batch by its id."""
    assert batch.id == batch_id


class Later(Batch):
    """The document as it may be once there is more to say."""

    deadline: str | None = None
    tags: tuple[str, ...] = ()


@pytest.mark.parametrize("batch", [batch for batch, _ in GOLDEN.values()], ids=GOLDEN)
def test_a_field_that_comes_later_changes_no_id(batch: Batch) -> None:
    later = Later.from_bytes(batch.to_bytes(), source="the store")
    assert later.id == batch.id
    assert later.model_copy(update={"deadline": "tonight"}).id != batch.id


@pytest.mark.parametrize(
    "change",
    [
        {"name": "wrong lora"},
        {"settings": {}},
        {"axes": ()},
        {"exclude": ()},
        {"only": ()},
        {"models": {}},
        {"loras": {"wrong": None}},
        {"gpu": None},
    ],
    ids=str,
)
def test_whatever_is_ordered_changes_the_id(change: dict[str, object]) -> None:
    assert FULL.model_copy(update=change).id != FULL.id


def test_the_id_has_64_bits_of_the_hash() -> None:
    longest = FULL.model_copy(update={"name": "n" * 100})
    for batch in (PLAIN, longest):
        assert len(batch.id.rpartition("-")[2]) == 16
        assert is_batch_id(batch.id)


@pytest.mark.parametrize(
    "batch_id", ["night-1a2b3c4d", f"night-{'0' * 16}", f"{'n' * 60}-{'0' * 16}"]
)
def test_ids_of_before_and_of_now_are_ids(batch_id: str) -> None:
    assert is_batch_id(batch_id)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("A night!", "a-night"),
        ("wrong_LoRA  2.1", "wrong-lora-2-1"),
        ("n" * 59 + " x", "n" * 59),
        ("!?", "batch"),
        ("Ünïcode 猫", "ünïcode-猫"),
        ("猫", "猫"),
        ("ΟΔΟΣ Straße", "οδος-straße"),
        ("cafe\u0301", "café"),
        ("猫" * 60, "猫" * 26),
        ("../\u202eevil\u200b\0", "evil"),
    ],
)
def test_a_name_keeps_the_letters_of_its_script(name: str, kept: str) -> None:
    assert slug(name) == kept
    assert is_batch_id(f"{kept}-{'0' * 16}")


def test_whatever_a_name_is_made_of_its_slug_begins_an_id() -> None:
    """Every character there is, behind a letter; a slug is its own slug."""
    for first in range(0, sys.maxunicode + 1, 8):
        for char in {*slug(" a".join(map(chr, range(first, first + 8))))} - {"-"}:
            name = slug(f"a{char}")
            assert slug(name) == name
            assert is_batch_id(f"{name}-0123456789abcdef"), char


@pytest.mark.parametrize(
    "text",
    [
        "", "-x", "A-1", "../x", "a/b", "n" * 81, "night-1\n", "cafe\u0301-1", "a\u202e-1",
        "a\u200d-1", "\u0301a-1", "猫" * 34, "\ud800",
    ],
)  # fmt: skip
def test_what_is_no_id(text: str) -> None:
    assert not is_batch_id(text)


@pytest.mark.parametrize("batch", [batch for batch, _ in GOLDEN.values()], ids=GOLDEN)
def test_the_stored_document_says_everything(batch: Batch) -> None:
    """Defaults too: whoever reads one by eye or with other tools needs none of ours."""
    data = batch.to_bytes()
    assert json.loads(data).keys() == Batch.model_fields.keys()
    assert Batch.from_bytes(data, source="the store") == batch


def test_what_is_no_document_is_refused_with_its_place() -> None:
    with pytest.raises(GridfarmError, match="x is not a batch document: name"):
        Batch.from_bytes(b'{"settings": {}, "axes": []}', source="x")


def test_a_range_may_have_more_values_than_len_can_say() -> None:
    axis = RangeAxis(name="seed", first="0", last=str(2**64 - 1))
    assert axis.count == 2**64
    assert axis.value(axis.count - 1).label == str(2**64 - 1)


def test_layers_are_everything_that_sets_something() -> None:
    """The settings, each value of a list, and the first of a range for all of it."""
    assert [*FULL.layers()] == [
        FULL.settings, {"prompt": "“zwei”\n"}, {"seed": "0"}, {"guidance_scale": 1.0},
    ]  # fmt: skip
