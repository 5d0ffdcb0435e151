"""Whose turn it is: of all processes that could do a piece of work, one does it at a time.

A turn is a key in Redis that expires. Whoever finds it gone sets it and does the work; whoever
finds it there has nothing to do and comes back later. Nobody is elected and nobody has to be
alive: a process that dies or freezes in its turn is followed by the next that looks. Two that
work at once, because one slept through the end of its turn, do no harm: each step is atomic, and
what is written to the store may be written twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from common.broker import Broker


class Turns:
    """The turns on one broker. A name is that of `Broker.once`, or `sweep:` and a queue, of which
    the ledger's step of that name takes the turn. Raises BrokerError."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker

    def any_due(self, turns: Mapping[str, int]) -> bool:
        """Whether one of them is to be had; one cheap question for all. With each name the longest
        that it may be taken for, in ms: one that is for longer was taken before the server's clock
        went back."""
        with self.broker.errors(), self.broker.redis.pipeline(transaction=False) as questions:
            for name in turns:
                questions.pttl(_key(name))
            left = cast("list[int]", questions.execute())
        return any(not 0 <= ms <= longest for ms, longest in zip(left, turns.values(), strict=True))

    def take(self, name: str, *, every_ms: int, longest_ms: int = 0) -> bool:
        """True for one process per `every_ms`; `longest_ms` is what `put_off` is called with."""
        return self.broker.once(name, every_ms=every_ms, longest_ms=longest_ms)

    def put_off(self, name: str, ms: int) -> bool:
        """The work of a turn is done, or goes on: it is nobody else's for so long. False when the
        turn is over meanwhile, perhaps because the broker was wiped or `call` was called: then
        it stays due."""
        with self.broker.errors():
            return bool(self.broker.redis.set(_key(name), 1, px=ms, xx=True))

    def call(self, *names: str) -> None:
        """They are due now, whoever had them last."""
        with self.broker.errors():
            self.broker.redis.delete(*map(_key, names))


def _key(name: str) -> str:
    kind, _, queue = name.partition(":")
    return f"gridfarm:swept:{queue}" if kind == "sweep" else f"gridfarm:once:{name}"
