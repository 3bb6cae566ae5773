"""A TCP proxy of our own between workers and a broker: it cuts, stalls, slows down and resets, and changes no byte."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterable
from types import TracebackType
from typing import Literal, Self

Way = Literal["to_broker", "to_client"]
WAYS: tuple[Way, ...] = ("to_broker", "to_client")
PIECE_BYTES = 64 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER with a time of zero: close() sends RST instead of FIN."""


class Proxy:
    """Listens on `port` and passes everything on to `target`, both on `host`, until told otherwise.

    To be used on one event loop, as an asynchronous context manager.
    """

    def __init__(self, port: int, target: int, host: str = "127.0.0.1") -> None:
        self._port, self._target, self._host = port, target, host
        self._server: asyncio.Server | None = None
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._refusing = False
        self._latency_s = 0.0
        self._bytes_per_s = float("inf")
        self._passes = {way: asyncio.Event() for way in WAYS}
        self.bytes_passed = dict.fromkeys(WAYS, 0)
        """How much went each way."""
        self.heal()

    # --- trouble ----------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Everything passes again, what was held back first."""
        self._refusing = False
        self._latency_s, self._bytes_per_s = 0.0, float("inf")
        for passes in self._passes.values():
            passes.set()

    def cut(self, ways: Iterable[Way] = WAYS) -> None:
        """Nothing passes any more and nobody is told, like a cable that is out; one way only, and answers get lost."""
        for way in ways:
            self._passes[way].clear()

    def slow_down(self, *, latency_s: float = 0.0, bytes_per_s: float = float("inf")) -> None:
        """Each piece takes longer, in each direction."""
        self._latency_s, self._bytes_per_s = latency_s, bytes_per_s

    def reset(self) -> None:
        """Every connection ends at once with RST, and what was under way in it is lost; new ones are welcome."""
        for pair in list(self._pairs):
            for writer in pair:
                _reset(writer)

    def refuse(self) -> None:
        """Every connection ends so, new ones too, until `heal`."""
        self._refusing = True
        self.reset()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._pairs)

    # --- life -------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self._host, self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            _reset(writer)
            return
        try:
            broker_reader, broker_writer = await asyncio.open_connection(self._host, self._target)
        except OSError:
            _reset(writer)
            return
        pair = (writer, broker_writer)
        self._pairs.add(pair)
        there = self._spawn(self._pump("to_broker", reader, broker_writer))
        back = self._spawn(self._pump("to_client", broker_reader, writer))
        try:
            await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._pairs.discard(pair)
            for task in (there, back):
                task.cancel()
            for each in pair:
                each.close()

    def _spawn(self, pumping: object) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(pumping)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _pump(self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE_BYTES):
                delay_s = self._latency_s + len(piece) / self._bytes_per_s
                if delay_s:
                    await asyncio.sleep(delay_s)
                await self._passes[way].wait()
                writer.write(piece)
                await writer.drain()
                self.bytes_passed[way] += len(piece)


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
