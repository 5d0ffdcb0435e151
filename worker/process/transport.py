"""What a worker believes of a message: which cell it asks for, and nothing else.

kombu's Redis transport ends in the exception that a message brings which is no JSON or no
message, and the process with it; Celery obeys whatever else stands in one: other tasks, times to
wait until, things to call afterwards. So all but what the ledger's `feed` script writes is
dropped here, with a line in the log.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty
from typing import Any

from kombu.transport import redis
from redis.exceptions import ResponseError

from common.batch import is_batch_id
from common.broker import PROBE
from common.dispatch import TASK_NAME

log = logging.getLogger(__name__)

#: For Celery's `broker_transport`.
TRANSPORT = f"{__name__}:Transport"

#: The last is added by kombu to a message that was put back.
HEADERS = frozenset(
    {"lang", "task", "id", "root_id", "argsrepr", "kwargsrepr", "ignore_result", "redelivered"}
)

#: Before a broker that refused to give a message is asked again.
REFUSED_PAUSE_S = 1.0

#: Characters of a body; the ledger writes about 150.
LONGEST = 10_000


class QoS(redis.QoS):  # type: ignore[misc]
    """A message that the broker cannot be told about is done with all the same: once each thread
    had one, this process would never ask for another."""

    def ack(self, delivery_tag: str) -> None:
        with self._done_with(delivery_tag):
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        with self._done_with(delivery_tag):
            super().reject(delivery_tag, requeue)

    @contextmanager
    def _done_with(self, delivery_tag: str) -> Iterator[None]:
        try:
            yield
        except self.channel.connection_errors:
            self._quick_ack(delivery_tag)
            raise


class Channel(redis.Channel):  # type: ignore[misc]
    QoS = QoS

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        try:
            self.client.set(PROBE, 1, px=1_000)
        except Exception:
            self.close()
            raise

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except ResponseError:
            time.sleep(REFUSED_PAUSE_S)  # it would be asked, and refuse, as fast as it answers
            raise
        except (Empty, *self.connection_errors):
            raise
        except Exception as error:
            log.warning("a message that cannot be read was dropped: %s", f"{error}"[:200])
            return True


class Transport(redis.Transport):  # type: ignore[misc]
    """A broker that answers and takes nothing (it is full, read-only, busy, cannot save, …) is to
    Celery as one that is away: it tries again."""

    Channel = Channel
    connection_errors = (*redis.Transport.connection_errors, ResponseError)

    def _deliver(self, message: Any, queue: str) -> None:
        if asks_for_a_cell(message):
            super()._deliver(message, queue)
        else:
            log.warning("a message on %s that asks for no cell was dropped", queue)


def asks_for_a_cell(message: Any) -> bool:
    """Whether it has the form that `lua/feeding.lua` gives it."""
    try:
        headers, properties, body = message["headers"], message["properties"], message["body"]
        return (
            headers.keys() <= HEADERS
            and (headers["task"], headers["lang"]) == (TASK_NAME, "py")
            and isinstance(headers["id"], str)
            and message["content-type"] == "application/json"
            and message["content-encoding"] == "utf-8"
            and isinstance(properties["delivery_tag"], str)
            and isinstance(properties["delivery_info"]["routing_key"], str)
            and properties["delivery_info"]["exchange"] == ""
            and len(body) <= LONGEST
            and _names_a_cell(*json.loads(body))
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False


def _names_a_cell(arguments: Any, options: Any, embedded: Any) -> bool:
    """Nothing is embedded: no signature to call, whether it goes well or not."""
    batch_id, i, generation = arguments
    numbers = all(type(number) is int and 0 <= number < 2**53 for number in (i, generation))
    nothing = options == {} and isinstance(embedded, dict) and not any(embedded.values())
    return is_batch_id(batch_id) and numbers and nothing
