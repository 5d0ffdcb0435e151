"""A batch's progress in Redis. Each method is one atomic step of `ledger.lua`, by its name.

Redis is traffic, not truth: everything here can be rebuilt from the store (`Dispatcher`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import parse_qs, urlsplit

from common.errors import BrokerError, BrokerRefused, BrokerUnreachable

if TYPE_CHECKING:
    from redis import Redis

State = Literal["rendering", "paused", "cancelled", "done"]
PRIORITIES = {"low": 0, "normal": 1, "high": 2}
UNFINISHED: tuple[State, ...] = ("rendering", "paused")

LEASE_MS = 15_000
LOST_AFTER_MS = 15_000
SWEEP_EVERY_MS = 2_000
#: What is done or cancelled is forgotten after a day; the store knows it.
KEEP_FINISHED_MS = 24 * 3600 * 1000
FEED_STEPS = 20_000
#: What does not answer for so long is away. A lease outlives it and a second try.
SILENCE_S = 5

CHECK_BROKER = "is Redis running there, and GRIDFARM_BROKER right (rediss:// is TLS)?"
UNTRUSTED = (
    "where a CA of your own has signed the broker's certificate, name it: "
    "rediss://host:6379/0?ssl_ca_certs=/path/ca.pem"
)

#: Written to see whether that is possible.
PROBE = "gridfarm:probe"

Claim = Literal["ok", "tried", "done", "stale", "leased", "elsewhere", "unknown"]


@dataclass(frozen=True)
class Opening:
    """What a batch enters the ledger with. `total` counts the jobs: cells without the holes."""

    batch_id: str
    queue: str
    length: int
    total: int
    order: list[tuple[int, int]]
    generation: int = 0
    state: State = "rendering"
    priority: int = PRIORITIES["normal"]
    done: bytes = b""
    holes: bytes = b""
    failures: Mapping[int, str] | None = None


@dataclass(frozen=True)
class LedgerStatus:
    state: State
    generation: int
    priority: int
    total: int
    done: int
    failed: int
    queue: str
    running: int


@dataclass(frozen=True)
class WorkerReport:
    """What a worker says of itself with each beat.

    `state` is `starting`, `downloading`, `loading`, `listening`, `rendering`, `paused` or
    `leaving`; `message` says what is downloading and how far, what is loading onto which device,
    why it is paused or leaves, and `lasts_s` for how many seconds that has been so: a span, as
    the machines' clocks disagree.
    """

    name: str
    machine: str
    queues: tuple[str, ...]
    threads: int
    device: str
    state: str
    message: str = ""
    lasts_s: float = 0.0


class Ledger:
    """The ledgers of all batches on one broker, e.g. `redis://:secret@host:6379/0`."""

    def __init__(self, broker: str) -> None:
        self.broker = broker
        self.place = without_password(broker)

    @cached_property
    def redis(self) -> Redis:
        from redis import Redis, exceptions
        from redis.backoff import ExponentialBackoff
        from redis.retry import Retry

        _check_url(self.broker, self.place)
        with self._errors():
            return Redis.from_url(
                self.broker,
                socket_timeout=SILENCE_S,
                socket_connect_timeout=SILENCE_S,
                health_check_interval=25,
                # Not after a timeout: the tries are nested, and 17 of them would be minutes.
                retry=Retry(ExponentialBackoff(cap=1, base=0.05), 3, (exceptions.ConnectionError,)),
            )

    @cached_property
    def _script(self) -> Any:
        return self.redis.register_script(Path(__file__).with_name("ledger.lua").read_text())

    def _call(self, function: str, *arguments: str | bytes | int) -> Any:
        from redis.exceptions import TimeoutError

        with self._errors():
            try:
                return self._script(args=[function, *arguments])
            except TimeoutError:  # perhaps only this connection's; the next try makes another
                return self._script(args=[function, *arguments])

    def _word(self, function: str, *arguments: str | bytes | int) -> str:
        return cast(bytes, self._call(function, *arguments)).decode()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from redis import exceptions

        try:
            yield
        except (exceptions.AuthenticationError, exceptions.NoPermissionError) as error:
            raise BrokerRefused(
                f"the broker at {self.place} refuses the credentials: {error}",
                hint="check user and password in GRIDFARM_BROKER (redis://user:password@host:6379)",
            ) from error
        except exceptions.BusyLoadingError as error:
            raise BrokerUnreachable(
                f"the broker at {self.place} is still loading its data", hint="try again in a while"
            ) from error
        except exceptions.OutOfMemoryError as error:
            raise BrokerRefused(
                f"the broker at {self.place} is full: {error}",
                hint="raise its maxmemory, or remove what else lies in it",
            ) from error
        except exceptions.ReadOnlyError as error:
            raise BrokerRefused(
                f"the broker at {self.place} is a read-only replica: {error}",
                hint="name the primary in GRIDFARM_BROKER, or end the replication",
            ) from error
        except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as error:
            raise BrokerUnreachable(
                f"the broker at {self.place} cannot be reached: {error}",
                hint=UNTRUSTED if "CERTIFICATE_VERIFY" in str(error) else CHECK_BROKER,
            ) from error
        except ValueError as error:
            raise BrokerRefused(
                f"{self.place!r} is no broker: {error}",
                hint="GRIDFARM_BROKER is redis://host:6379/0, or rediss:// for TLS",
            ) from error
        except exceptions.RedisError as error:
            raise BrokerError(f"the broker at {self.place} answered: {error}") from error

    def ping(self) -> None:
        """Raises BrokerUnreachable or BrokerRefused."""
        with self._errors():
            self.redis.ping()

    def probe(self) -> None:
        """Raises BrokerUnreachable, or BrokerRefused where nothing can be written."""
        with self._errors():
            self.redis.set(PROBE, 1, px=1_000)

    def shut_down_broker(self) -> None:
        """End the broker; only for one that was started for a single command."""
        with suppress(BrokerError), self._errors():
            self.redis.shutdown(nosave=True)

    def memory_policy(self) -> str:
        """What Redis does when it is full; "" where CONFIG is not allowed (hosted Redis)."""
        from redis.exceptions import ResponseError

        with self._errors():
            try:
                found = self.redis.config_get("maxmemory-policy")
            except ResponseError:
                return ""
        return str(found.get("maxmemory-policy", ""))

    def open(self, opening: Opening) -> bool:
        """Load a batch; False when the ledger knows it already."""
        fields = {
            "state": opening.state,
            "generation": opening.generation,
            "priority": opening.priority,
            "queue": opening.queue,
            "length": opening.length,
            "total": opening.total,
            "order": json.dumps(opening.order),
        }
        failures = {str(i): reason for i, reason in (opening.failures or {}).items()}
        done, holes = opening.done, opening.holes
        sent = (json.dumps(fields), done, holes, json.dumps(failures))
        return bool(self._call("open", opening.batch_id, *sent))

    def feed(self, queues: str | Sequence[str], task: str) -> int:
        """Fill one or more queues up to their windows; how many tasks were sent."""
        names = [queues] if isinstance(queues, str) else queues
        total, more = 0, 1
        while more:
            sent, more = self._call("feed", task, FEED_STEPS, *names)
            total += sent
        return total

    def claim(self, batch_id: str, i: int, generation: int, key: str, worker: str) -> Claim:
        word = self._word("claim", batch_id, i, generation, key, worker, LEASE_MS)
        return cast(Claim, word)

    def renew(self, batch_id: str, i: int, key: str, worker: str) -> bool:
        """Keep the lease for another LEASE_MS; False: stop rendering this cell."""
        return self._word("renew", batch_id, i, key, worker, LEASE_MS) == "ok"

    def done(self, batch_id: str, i: int, key: str) -> bool:
        """The cell is stored. True when that was the last of the batch."""
        return self._word("done", batch_id, i, key) == "finished"

    def fail(self, batch_id: str, i: int, key: str, worker: str, reason: str) -> bool:
        """The cell cannot be rendered. True when that was the last of the batch."""
        return self._word("fail", batch_id, i, key, worker, reason) == "finished"

    def skip(self, batch_id: str, i: int) -> bool:
        """The cell is excluded, which nobody had looked at before. True when it was the last."""
        return self._word("skip", batch_id, i) == "finished"

    def release(
        self,
        batch_id: str,
        i: int,
        key: str,
        worker: str,
        *,
        pause_ms: int = 0,
        refund: bool = False,
    ) -> None:
        """Hand a claimed cell back, to be sent again after `pause_ms`."""
        self._call("release", batch_id, i, key, worker, pause_ms, int(refund))

    def charge(self, batch_id: str, i: int, machine: str, worker: str) -> tuple[int, int] | None:
        """An attempt enters the GPU: (attempts so far, on how many machines); the same attempt
        counts once. None: `worker` does not hold the cell."""
        counts = self._call("charge", batch_id, i, machine, worker)
        return (counts[0], counts[1]) if counts else None

    @contextmanager
    def charging(
        self, batch_id: str, i: int, machine: str, worker: str
    ) -> Iterator[Callable[[], None]]:
        """For a GPU that does not wait for the broker: the function that this yields charges an
        attempt without waiting for the answer, which is read at the end. When it returns, the
        charge has left this process, so it counts even if the attempt kills that."""
        sent = ("charge", batch_id, i, machine, worker)
        connections = self.redis.connection_pool
        with self._errors():
            connection: Any = connections.get_connection()
        answers = []

        def charge() -> None:
            try:
                with self._errors():
                    connection.can_read()  # raises where the broker has closed it meanwhile
                    connection.send_command("EVALSHA", self._script.sha, 0, *sent)
                answers.append(connection.read_response)
            except BrokerError:  # on another connection, then
                self._call(*sent)

        try:
            yield charge
        finally:
            with suppress(BrokerError), self._errors():
                for answer in answers:
                    answer()
            connections.release(connection)

    def charges(self, batch_id: str, i: int) -> list[str]:
        """The machines on whose GPUs the cell's attempts began, each as often as they did."""
        with self._errors():
            found = self.redis.hget(_part(batch_id, "charges"), str(i))
        return list(json.loads(cast("bytes | None", found) or b"[]"))

    def suspect(self, batch_id: str, i: int, process: str) -> bool:
        """`process` drew NaN or black; True when another process had said so before."""
        return self._word("suspect", batch_id, i, process) == "agreed"

    def sweep(self, queue: str) -> bool:
        """Put back what is lost. False when somebody just did."""
        return bool(self._call("sweep", queue, LOST_AFTER_MS, SWEEP_EVERY_MS))

    def control(self, batch_id: str, *, generation: int, state: State, priority: int) -> bool:
        """Change state or priority; False when the ledger does not know the batch, or knows it
        as done."""
        sent = (generation, state, priority, KEEP_FINISHED_MS)
        return bool(self._call("control", batch_id, *sent))

    def retry(
        self, batch_id: str, *, generation: int, priority: int, done: bytes | None = None
    ) -> bool:
        """Render the failed cells again, with `done` everything that this bitmap lacks; False
        as from `control`."""
        sent = (generation, priority, int(done is not None), done or b"")
        return bool(self._call("retry", batch_id, *sent))

    def finish(self, batch_id: str) -> bool:
        """The batch is over; False when more of it was asked for meanwhile."""
        return bool(self._call("finish", batch_id, KEEP_FINISHED_MS))

    def drop(self, batch_id: str) -> None:
        """Forget a batch altogether, so that it can be opened anew."""
        self._call("drop", batch_id)

    def status(self, batch_id: str) -> LedgerStatus | None:
        row = self._call("status", batch_id)
        if not row:
            return None
        state, queue = row[0].decode(), row[6].decode()
        generation, priority, total, done, failed = (int(cell) for cell in row[1:6])
        return LedgerStatus(state, generation, priority, total, done, failed, queue, row[7])

    def known(self, batch_id: str) -> bool:
        with self._errors():
            return bool(self.redis.exists(f"gridfarm:batch:{batch_id}"))

    def active(self) -> list[str]:
        with self._errors():
            members = cast("set[bytes]", self.redis.smembers("gridfarm:active"))
        return sorted(member.decode() for member in members)

    def done_bitmap(self, batch_id: str) -> bytes:
        """MSB first, as SETBIT writes it; may be shorter than the batch."""
        with self._errors():
            return cast(bytes, self.redis.get(_part(batch_id, "done")) or b"")

    def failures(self, batch_id: str, *, most: int | None = None) -> dict[int, str]:
        """Cell → reason; any `most` of them."""
        with self._errors():
            found = self.redis.hscan_iter(_part(batch_id, "failed"), count=1_000)
            return {int(i): reason.decode() for i, reason in islice(found, most)}

    def beat(self, report: WorkerReport, *, ttl_ms: int) -> None:
        self._call("beat", report.name, json.dumps(asdict(report)), ttl_ms)

    def leave(self, worker: str) -> None:
        self._call("leave", worker)

    def workers(self) -> list[WorkerReport]:
        """The workers that are alive."""
        reports = (_report(text) for text in self._call("alive"))
        return [report for report in reports if report]

    def once(self, name: str, *, every_ms: int) -> bool:
        """True for one caller per `every_ms`, whichever machine asks first."""
        with self._errors():
            return bool(self.redis.set(f"gridfarm:once:{name}", 1, nx=True, px=every_ms))


def _part(batch_id: str, part: str) -> str:
    return f"gridfarm:batch:{batch_id}:{part}"


def bitmap(positions: Iterable[int], length: int) -> bytes:
    """Set bits as Redis' SETBIT lays them out: bit 0 is the first byte's highest."""
    data = bytearray((length + 7) // 8)
    for i in positions:
        data[i // 8] |= 0x80 >> i % 8
    return bytes(data)


def is_set(data: bytes, i: int) -> bool:
    return i // 8 < len(data) and bool(data[i // 8] & 0x80 >> i % 8)


def _report(text: bytes) -> WorkerReport | None:
    """None for what no worker of this version says; what a later one adds is left out."""
    try:
        said = json.loads(text)
        known = {f.name: said[f.name] for f in fields(WorkerReport) if f.name in said}
        report = WorkerReport(**known | {"queues": tuple(map(str, known["queues"]))})
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    numbers = type(report.threads) is int and type(report.lasts_s) in (int, float)
    texts = (report.name, report.machine, report.device, report.state, report.message)
    return report if numbers and all(isinstance(text, str) for text in texts) else None


def _check_url(url: str, place: str) -> None:
    """Raises BrokerRefused for what redis-py and Celery would not read alike."""
    parts = urlsplit(url)
    if "@" in parts.path + parts.query + parts.fragment:
        raise BrokerRefused(
            f"the broker's URL {place!r} has a password with / ? or # in it",
            hint="write these as %2F, %3F and %23",
        )
    options = parse_qs(parts.query)
    for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        if name in options and not Path(options[name][0]).is_file():
            raise BrokerRefused(
                f"the broker's URL names the {name} {options[name][0]!r}, and there is no such file"
            )
    wrong = [name for name in options if not name.startswith("ssl_")]
    if wrong:
        raise BrokerRefused(
            f"the broker's URL {place!r} has the option {wrong[0]!r}",
            hint="write redis://user:password@host:6379/0; its options are those of TLS",
        )


def without_password(url: str) -> str:
    """A URL that may be shown: `redis://:secret@host/0?x=y` → `redis://host/0`. All up to the
    last @ goes, since a password may have a slash that should have been escaped."""
    shown = re.sub(r"(?<=://).*@", "", url, flags=re.DOTALL)
    return re.split(r"[?#]", shown, maxsplit=1)[0]
