"""The proxy of the chaos suite: it passes bytes on unchanged, and makes exactly the trouble that it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from worker_process import eventually

from tests.chaos.proxy import Proxy
from worker.devkafka import ports

HOST = ports.HOST
MOMENT_S = 0.2
"""Long enough for bytes to arrive on the loopback; only used to see that nothing does."""


class Echo:
    """A server that answers with what it got."""

    def __init__(self) -> None:
        self.received = bytearray()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65536):
                self.received += piece
                writer.write(piece)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


@pytest.fixture
async def echo() -> Echo:
    return Echo()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    target, port = ports.pick(2)
    server = await asyncio.start_server(echo.answer, HOST, target)
    async with Proxy(port, target, HOST) as proxy:
        yield proxy
    server.close()


async def connect(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(HOST, proxy._port)


async def test_every_byte_passes_in_order(proxy: Proxy) -> None:
    sent = bytes(range(256)) * 4096
    reader, writer = await connect(proxy)
    writer.write(sent)
    assert await reader.readexactly(len(sent)) == sent
    assert proxy.bytes_passed == {"to_broker": len(sent), "to_client": len(sent)}


async def test_what_is_cut_waits_and_passes_when_it_heals(proxy: Proxy, echo: Echo) -> None:
    reader, writer = await connect(proxy)
    proxy.cut()
    writer.write(b"hello")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), MOMENT_S)
    assert not echo.received
    proxy.heal()
    assert await reader.readexactly(5) == b"hello"


async def test_one_way_can_be_cut_alone(proxy: Proxy, echo: Echo) -> None:
    reader, writer = await connect(proxy)
    proxy.cut(["to_client"])
    writer.write(b"hello")
    await eventually(lambda: echo.received == b"hello", "the request arrives")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), MOMENT_S)
    proxy.heal()
    assert await reader.readexactly(5) == b"hello"


async def test_a_reset_ends_every_connection_and_the_next_one_is_welcome(proxy: Proxy) -> None:
    reader, writer = await connect(proxy)
    writer.write(b"one")
    assert await reader.readexactly(3) == b"one"
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    await eventually(lambda: not proxy.connections, "the connection is gone")
    reader, writer = await connect(proxy)
    writer.write(b"two")
    assert await reader.readexactly(3) == b"two"


async def test_an_answer_under_way_is_lost_with_a_reset(proxy: Proxy, echo: Echo) -> None:
    reader, writer = await connect(proxy)
    proxy.cut(["to_client"])
    writer.write(b"hello")
    await eventually(lambda: echo.received == b"hello", "the request arrives")
    proxy.reset()
    proxy.heal()
    with pytest.raises(ConnectionResetError):
        await reader.read(1)


async def test_who_is_refused_is_welcome_again_when_it_heals(proxy: Proxy) -> None:
    proxy.refuse()
    reader, _ = await connect(proxy)
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    proxy.heal()
    reader, writer = await connect(proxy)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"


async def test_slow_means_later_by_the_latency_of_each_way(proxy: Proxy) -> None:
    reader, writer = await connect(proxy)
    proxy.slow_down(latency_s=MOMENT_S)
    writer.write(b"hello")
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    assert await reader.readexactly(5) == b"hello"
    assert loop.time() - began_at >= 2 * MOMENT_S  # it can only take longer, however busy the machine is


async def test_a_broker_that_is_away_ends_the_connection() -> None:
    target, port = ports.pick(2)
    async with Proxy(port, target, HOST) as proxy:
        reader, _ = await connect(proxy)
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
