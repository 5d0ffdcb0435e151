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

from common.broker.answers import broker_error
from common.broker.url import NO_SENTINEL, ONE_SERVER, Address, read_url
from common.errors import BrokerError, BrokerRefused

if TYPE_CHECKING:
    from redis import Redis

#: A broker that does not answer for so long is away. A lease outlives it and a second try.
SILENCE_S = 5

#: Written to see whether that is possible.
PROBE = "gridfarm:probe"

#: What HELLO says of a server that is no broker: what it is, and what to use.
_NO_BROKER = {
    b"cluster": ("a node of a Redis Cluster", ONE_SERVER),
    b"sentinel": ("a Sentinel", NO_SENTINEL),
}


class Broker:
    """A Redis server by its URL, e.g. `redis://:secret@host:6379/0`; connected on first use.

    `script` are the files, one behind the other, whose steps `step` and `sending` run. Every
    method raises BrokerUnreachable, BrokerRefused (also for a URL that is none) or, for what else
    Redis may answer, BrokerError. All are safe to call from several threads.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.script: tuple[Path, ...] = ()
        #: How often it could not be reached or answered with an error.
        self.troubles = 0
        self._is_checked = False

    @cached_property
    def address(self) -> Address:
        """Raises BrokerRefused."""
        return read_url(self.url)

    @property
    def place(self) -> str:
        """How messages name the server: its URL without the password; none of a wrong URL."""
        try:
            return self.address.place
        except BrokerRefused:
            return "redis://?"

    @cached_property
    def redis(self) -> Redis:
        """redis-py's client. What it raises is redis-py's own, outside of `errors`."""
        from redis import Redis, exceptions
        from redis.backoff import ExponentialBackoff
        from redis.retry import Retry

        url = self.address.url
        with self.errors():
            return Redis.from_url(
                url,
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
            self.troubles += 1
            raise broker_error(self.place, error) from error

    def ping(self) -> None:
        """Raises BrokerUnreachable or BrokerRefused."""
        with self.errors():
            self.redis.ping()
        self._check_kind()

    def probe(self) -> None:
        """Raises BrokerUnreachable, or BrokerRefused where nothing can be written."""
        self._check_kind()
        with self.errors():
            self.redis.set(PROBE, 1, px=1_000)

    def _check_kind(self) -> None:
        """Raises BrokerRefused for a cluster's node and a Sentinel. What is neither is asked once;
        what answers no HELLO is believed."""
        from redis.exceptions import ResponseError

        if self._is_checked:
            return
        with self.errors():
            try:
                client: Any = self.redis
                said = client.execute_command("HELLO")
            except ResponseError:
                return
        fields = said if isinstance(said, dict) else dict(zip(said[::2], said[1::2], strict=True))
        if kind := _NO_BROKER.get(fields.get(b"mode", b"")):
            what, hint = kind
            raise BrokerRefused(f"{self.place} is {what}, which cannot be a broker", hint=hint)
        self._is_checked = True

    def memory_policy(self) -> str:
        """What Redis does when it is full; "" where CONFIG is not allowed (hosted Redis)."""
        from redis.exceptions import ResponseError

        with self.errors():
            try:
                options = self.redis.config_get("maxmemory-policy")
            except ResponseError:
                return ""
        return str(options.get("maxmemory-policy", ""))

    def once(self, name: str, *, every_ms: int, longest_ms: int = 0) -> bool:
        """True for one caller per `every_ms`, whichever machine asks first. `longest_ms` is for how
        long `hold` may have put it off, if that is longer."""
        key = f"gridfarm:once:{name}"
        with self.errors(), self.redis.pipeline(transaction=False) as both:
            both.set(key, 1, nx=True, px=every_ms)
            both.pttl(key)
            taken, left_ms = both.execute(raise_on_error=False)
            for answer in (taken, left_ms):
                if isinstance(answer, Exception):
                    raise answer
            if taken or left_ms <= max(every_ms, longest_ms):
                return bool(taken)
            # The server's clock went back, and nobody would have a turn for as long.
            return bool(self.redis.set(key, 1, px=every_ms))

    def hold(self, name: str, *, ms: int) -> None:
        """Nobody is given `once` of that name before this time is over."""
        with self.errors():
            self.redis.set(f"gridfarm:once:{name}", 1, px=ms)

    def not_any_more(self, name: str) -> None:
        """What `once` has given to one caller is given again."""
        with self.errors():
            self.redis.delete(f"gridfarm:once:{name}")

    def shut_down(self) -> None:
        """End the server; only for one that was started for a single command."""
        with suppress(BrokerError), self.errors():
            self.redis.shutdown(nosave=True)

    @cached_property
    def _script(self) -> Any:
        assert self.script
        return self.redis.register_script("\n".join(file.read_text() for file in self.script))

    def step(self, name: str, *arguments: str | bytes | int) -> Any:
        """Run a step of the script, which is atomic; its answer as redis-py gives it."""
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
        from redis.exceptions import NoScriptError

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
                    try:
                        read_answer()
                    except NoScriptError:  # it was flushed; `step` loads it again
                        self.step(name, *arguments)
            connections.release(connection)
