"""Sets of cells as bits, laid out as Redis' SETBIT does it: bit 0 is the first byte's highest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def bitmap_of(cells: Iterable[int], length: int) -> bytes:
    """The bitmap of a batch of `length` cells in which these are set."""
    data = bytearray((length + 7) // 8)
    for i in cells:
        data[i // 8] |= 0x80 >> i % 8
    return bytes(data)


def is_set(data: bytes, i: int) -> bool:
    """Whether bit `i` is set; a bitmap may be shorter than its batch, and then it is not."""
    return i // 8 < len(data) and bool(data[i // 8] & 0x80 >> i % 8)


def cells_in(data: bytes) -> Iterator[int]:
    """The cells that are set, in order."""
    for at, byte in enumerate(data):
        if byte:
            yield from (at * 8 + bit for bit in range(8) if byte & 0x80 >> bit)


def cut_to(data: bytes, length: int) -> bytes:
    """The first `length` bits; what follows them in their last byte is cleared."""
    data = data[: (length + 7) // 8]
    if len(data) * 8 > length:
        data = data[:-1] + bytes([data[-1] & 0xFF << -length % 8])
    return data
