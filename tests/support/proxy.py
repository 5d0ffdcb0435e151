"""A bad network: a TCP proxy on loopback in front of a broker or an S3 server.

with Proxy(broker.port, latency_s=0.01) as network:   # each way: 20 ms for a request
    url = network.url(broker.url)
    network.cut()            # every connection is reset now; new ones are taken
    network.hang()           # half-open: connections stay, nothing goes through, nor gets lost
    network.flow()           # what was held arrives
    network.forget()         # half-open for good, as when a NAT forgets; new connections work
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

CHUNK = 1 << 16
RESET = struct.pack("ii", 1, 0)  # SO_LINGER for 0 seconds: close() sends a RST


class Proxy:
    """Forwards `port` (a free one, 127.0.0.1) to `target` in a thread of its own. `latency_s` is
    added each way, and pipelining is kept; it may be changed while connections are open. With
    `tls` it is the end of its clients' TLS; what it forwards is plain."""

    def __init__(
        self, target: int, *, latency_s: float = 0.0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.target = target
        self.latency_s = latency_s
        self._tls = tls
        self.port = 0
        self.accepted = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing: asyncio.Event
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def url(self, url: str) -> str:
        """The same URL through this proxy."""
        parts = urlsplit(url)
        login = parts.netloc.rpartition("@")[0]
        netloc = f"{login}@127.0.0.1:{self.port}" if login else f"127.0.0.1:{self.port}"
        return parts._replace(netloc=netloc).geturl()

    def cut(self) -> int:
        """Reset every connection; how many there were."""
        return asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(10)

    def hang(self) -> None:
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def flow(self) -> None:
        self._loop.call_soon_threadsafe(self._flowing.set)

    def forget(self) -> None:
        self._loop.call_soon_threadsafe(self._forget)

    def _forget(self) -> None:
        self._flowing.clear()
        self._flowing = asyncio.Event()
        self._flowing.set()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _run(self) -> None:
        self._flowing = asyncio.Event()
        self._flowing.set()
        serving = asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512, ssl=self._tls)
        server = self._loop.run_until_complete(serving)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        server.close()
        self._loop.set_exception_handler(lambda *_: None)  # of the tasks that are cancelled here
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
            with suppress(asyncio.CancelledError):
                self._loop.run_until_complete(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._writers.add(writer)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:  # nobody listens behind it: the client sees its connection reset
            self._reset(writer)
            return
        self._writers.add(back)
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivering = asyncio.ensure_future(self._deliver(line, writer))
        data = b"?"
        while data:
            try:
                data = await reader.read(CHUNK)
            except OSError:
                data = b""
            line.put_nowait((self._loop.time() + self.latency_s, data))
        await delivering

    async def _deliver(
        self, line: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        flowing = self._flowing
        while True:
            due, data = await line.get()
            await asyncio.sleep(due - self._loop.time())
            await flowing.wait()
            if not data:
                break
            with suppress(OSError):
                writer.write(data)
                await writer.drain()
        self._writers.discard(writer)
        writer.close()

    async def _cut(self) -> int:
        writers, self._writers = self._writers, set()
        for writer in writers:
            self._reset(writer)
        return len(writers) // 2

    def _reset(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        if (wire := writer.get_extra_info("socket")) is not None:
            with suppress(OSError):
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()
