"""The broker: one Redis server, what can be asked of it, and its errors as ours.

redis-py is imported when something is asked of the broker, so that commands that need none do
not load it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from common.errors import BrokerError, BrokerRefused, BrokerUnreachable
from common.text import without_password

if TYPE_CHECKING:
    from redis import Redis

#: A broker that does not answer for so long is away. A lease outlives it and a second try.
SILENCE_S = 5

CHECK_BROKER = "is Redis running there, and GRIDFARM_BROKER right (rediss:// is TLS)?"
UNTRUSTED = (
    "where a CA of your own has signed the broker's certificate, name it: "
    "rediss://host:6379/0?ssl_ca_certs=/path/ca.pem"
)

#: Written to see whether that is possible.
PROBE = "gridfarm:probe"


class Broker:
    """A Redis server by its URL, e.g. `redis://:secret@host:6379/0`; connected on first use.

    `place` is how messages name the server: its URL without the password. Every method raises
    BrokerUnreachable, BrokerRefused or, for what else Redis may answer, BrokerError. All are
    safe to call from several threads.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.place = without_password(url)

    @cached_property
    def redis(self) -> Redis:
        """redis-py's client. What it raises is redis-py's own, outside of `errors`."""
        from redis import Redis, exceptions
        from redis.backoff import ExponentialBackoff
        from redis.retry import Retry

        _check_url(self.url, self.place)
        with self.errors():
            return Redis.from_url(
                self.url,
                socket_timeout=SILENCE_S,
                socket_connect_timeout=SILENCE_S,
                health_check_interval=25,
                # Not after a timeout: the tries are nested, and 17 of them would be minutes.
                retry=Retry(ExponentialBackoff(cap=1, base=0.05), 3, (exceptions.ConnectionError,)),
            )

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise what redis-py raises as a BrokerError that names the broker."""
        from redis.exceptions import RedisError

        try:
            yield
        except (RedisError, OSError, ValueError) as error:
            raise _broker_error(self.place, error) from error

    def ping(self) -> None:
        """Raises BrokerUnreachable or BrokerRefused."""
        with self.errors():
            self.redis.ping()

    def probe(self) -> None:
        """Raises BrokerUnreachable, or BrokerRefused where nothing can be written."""
        with self.errors():
            self.redis.set(PROBE, 1, px=1_000)

    def memory_policy(self) -> str:
        """What Redis does when it is full; "" where CONFIG is not allowed (hosted Redis)."""
        from redis.exceptions import ResponseError

        with self.errors():
            try:
                options = self.redis.config_get("maxmemory-policy")
            except ResponseError:
                return ""
        return str(options.get("maxmemory-policy", ""))

    def once(self, name: str, *, every_ms: int) -> bool:
        """True for one caller per `every_ms`, whichever machine asks first."""
        with self.errors():
            return bool(self.redis.set(f"gridfarm:once:{name}", 1, nx=True, px=every_ms))

    def shut_down(self) -> None:
        """End the server; only for one that was started for a single command."""
        with suppress(BrokerError), self.errors():
            self.redis.shutdown(nosave=True)

    @cached_property
    def _script(self) -> Any:
        return self.redis.register_script(Path(__file__).with_name("ledger.lua").read_text())

    def step(self, name: str, *arguments: str | bytes | int) -> Any:
        """Run a step of `ledger.lua`, which is atomic; its answer as redis-py gives it."""
        from redis.exceptions import TimeoutError

        with self.errors():
            try:
                return self._script(args=[name, *arguments])
            except TimeoutError:  # perhaps only this connection's; the next try makes another
                return self._script(args=[name, *arguments])

    @contextmanager
    def sending(self, name: str, *arguments: str | bytes | int) -> Iterator[Callable[[], None]]:
        """Yield a function that sends a step without waiting for its answer, which is read when
        the block ends. When the function returns, the step has left this process."""
        connections = self.redis.connection_pool
        with self.errors():
            connection: Any = connections.get_connection()
        answers = []

        def send() -> None:
            try:
                with self.errors():
                    connection.can_read()  # raises where the broker has closed it meanwhile
                    connection.send_command("EVALSHA", self._script.sha, 0, name, *arguments)
                answers.append(connection.read_response)
            except BrokerError:  # on another connection, then
                self.step(name, *arguments)

        try:
            yield send
        finally:
            with suppress(BrokerError), self.errors():
                for read_answer in answers:
                    read_answer()
            connections.release(connection)


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


def _broker_error(place: str, error: Exception) -> BrokerError:
    """What redis-py raised for the broker at `place`. Some of its errors are kinds of others,
    so the order matters: a refused password is a ConnectionError too."""
    from redis import exceptions

    if isinstance(error, (exceptions.AuthenticationError, exceptions.NoPermissionError)):
        return BrokerRefused(
            f"the broker at {place} refuses the credentials: {error}",
            hint="check user and password in GRIDFARM_BROKER (redis://user:password@host:6379)",
        )
    if isinstance(error, exceptions.BusyLoadingError):
        return BrokerUnreachable(
            f"the broker at {place} is still loading its data", hint="try again in a while"
        )
    if isinstance(error, exceptions.OutOfMemoryError):
        return BrokerRefused(
            f"the broker at {place} is full: {error}",
            hint="raise its maxmemory, or remove what else lies in it",
        )
    if isinstance(error, exceptions.ReadOnlyError):
        return BrokerRefused(
            f"the broker at {place} is a read-only replica: {error}",
            hint="name the primary in GRIDFARM_BROKER, or end the replication",
        )
    if isinstance(error, (exceptions.ConnectionError, exceptions.TimeoutError, OSError)):
        return BrokerUnreachable(
            f"the broker at {place} cannot be reached: {error}",
            hint=UNTRUSTED if "CERTIFICATE_VERIFY" in str(error) else CHECK_BROKER,
        )
    if isinstance(error, ValueError):
        return BrokerRefused(
            f"{place!r} is no broker: {error}",
            hint="GRIDFARM_BROKER is redis://host:6379/0, or rediss:// for TLS",
        )
    return BrokerError(f"the broker at {place} answered: {error}")
