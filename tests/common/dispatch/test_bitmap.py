"""Sets of cells as bits, as Redis lays them out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.dispatch import bitmap_of, is_set
from common.dispatch.bitmap import cut_to

LENGTHS = st.integers(0, 70)


def test_bitmaps_are_msb_first() -> None:
    data = bitmap_of([0, 9], 12)
    assert data == b"\x80\x40"
    assert [i for i in range(16) if is_set(data, i)] == [0, 9]


def test_no_bit_is_set_beyond_the_end() -> None:
    assert not is_set(b"\xff", 8)
    assert not is_set(b"", 0)


@given(length=LENGTHS, data=st.data())
def test_what_was_set_is_set(length: int, data: st.DataObject) -> None:
    cells = data.draw(st.sets(st.integers(0, length - 1))) if length else set()
    bits = bitmap_of(cells, length)
    assert len(bits) == (length + 7) // 8
    assert {i for i in range(length + 9) if is_set(bits, i)} == cells


@given(bits=st.binary(max_size=9), length=LENGTHS)
def test_a_cut_bitmap_has_the_first_bits_alone(bits: bytes, length: int) -> None:
    cut = cut_to(bits, length)
    assert len(cut) <= (length + 7) // 8
    assert [is_set(cut, i) for i in range(length)] == [is_set(bits, i) for i in range(length)]
    assert not any(is_set(cut, i) for i in range(length, length + 16))
