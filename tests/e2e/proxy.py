"""What can the network do to one daemon alone? Cut, freeze or slow its way to one service, at once or at a chosen request.

- cut: open connections are reset and new ones refused; whoever waits for an answer does not know whether it was heard.
- freeze: everything is taken and nothing passes; once healed all of it arrives, late, as TCP delivers what it held back.
- slow: everything passes, so many seconds later.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Coroutine
from contextlib import suppress
from enum import Enum
from threading import Thread
from typing import Any

ADDRESS = "127.0.0.1"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, for 0 s: closing resets, as a cut cable's firewall does


class Fate(Enum):
    """What becomes of the request that a snare waits for, and of everything after it."""

    NOT_HEARD = "it is lost, with all connections"
    NOT_ANSWERED = "it is heard, and its answer is lost, with all connections"
    LATE = "it is held back until healed, with everything else"


class Network:
    """A thread that carries the traffic of all proxies of a test."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._proxies: list[Proxy] = []

    def __enter__(self) -> Network:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for proxy in self._proxies:
            proxy.close()
        self.run(_cancel_the_rest())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def proxy(self, port: int) -> Proxy:
        """A new port in front of that one."""
        made = Proxy(self, port)
        self._proxies.append(made)
        return made

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


class Proxy:
    """One way to one port of loopback. Its methods are for the test's thread; what begins with _ runs in the network's."""

    def __init__(self, network: Network, target: int) -> None:
        self._network, self._target = network, target
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._reserved.bind((ADDRESS, 0))  # kept, never listening: while cut, the port is nobody else's and refuses
        self.port: int = self._reserved.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._delay_s = 0.0
        self._snare: tuple[bytes, Fate] | None = None
        self._is_sprung = False
        self._unanswered: asyncio.StreamReader | None = None  # where the answer that is to be lost will come from
        network.run(self._heal())

    # ------------------------------------------------------------------ the test's

    def cut(self) -> None:
        self._network.run(self._cut())

    def freeze(self) -> None:
        self._network.run(self._freeze())

    def slow(self, seconds: float) -> None:
        """Each piece of data, in each direction."""
        self._delay_s = seconds

    def heal(self) -> None:
        self._network.run(self._heal())

    def snare(self, text: bytes, fate: Fate) -> None:
        """Wait for the next request with this text; from then on the way is cut or frozen until healed."""
        self._is_sprung = False
        self._snare = (text, fate)

    def is_sprung(self) -> bool:
        return self._is_sprung

    def close(self) -> None:
        self._network.run(self._cut())
        self._reserved.close()

    # ------------------------------------------------------------------ the network's

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            _reset(writer)
        self._flows.set()  # who was held finds its connection closed

    async def _freeze(self) -> None:
        self._flows.clear()

    async def _heal(self) -> None:
        self._delay_s = 0.0
        self._snare = self._unanswered = None
        self._flows.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, ADDRESS, self.port, reuse_port=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(ADDRESS, self._target)
        except OSError:
            _reset(writer)  # nobody is there, and a client must see that
            return
        self._writers |= {writer, far_writer}
        pumps = [asyncio.create_task(pump) for pump in (self._ask(reader, far_writer, far_reader), self._answer(far_reader, writer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            self._writers -= {writer, far_writer}
            _reset(writer)
            far_writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                await self._spring(data, answers)
                await self._pass(data, writer)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if reader is self._unanswered:
                    await self._cut()
                await self._pass(data, writer)

    async def _spring(self, data: bytes, answers: asyncio.StreamReader) -> None:
        if self._snare is None or self._is_sprung or self._snare[0] not in data:
            return
        self._is_sprung = True
        if self._snare[1] is Fate.NOT_HEARD:
            await self._cut()
        elif self._snare[1] is Fate.LATE:
            await self._freeze()
        else:
            self._unanswered = answers

    async def _pass(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        await self._flows.wait()
        await asyncio.sleep(self._delay_s)
        if writer.is_closing():
            raise ConnectionResetError
        writer.write(data)
        await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    if not writer.is_closing():
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()


async def _cancel_the_rest() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
