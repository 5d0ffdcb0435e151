"""The broker: one Redis server, what can be asked of it, and its errors as ours.

broker    `Broker`: connect, ask, run a step of a script
url       what its URL may be, and the one form of it that every client reads the same
answers   what redis-py raises, as the errors of `common.errors`
"""

from __future__ import annotations

from common.broker.broker import PROBE, Broker
from common.broker.url import read_url

__all__ = ["PROBE", "Broker", "read_url"]
