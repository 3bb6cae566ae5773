"""The brokers come back under other addresses, while the address that clients start from stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import kafka_tools
import pytest
from kafka_tools import Message
from ledger import Ledger
from worker_process import WorkerProcess, Workers, eventually

from tests.chaos.proxy import Proxy
from worker.devkafka import LocalCluster, kafka_cluster, ports
from worker.devkafka.properties import Node
from worker.errors import BrokerError, ExitCode
from worker.kafka.topics import TopicAdmin, open_admin
from worker.settings import Settings

BROKEN_WORKER = Path(__file__).parent / "broken_worker.py"
HOST = ports.HOST
LISTENER, FIRST_ADDRESS, SECOND_ADDRESS, START = ports.pick(4)


def properties(node: Node) -> dict[str, str]:
    usual = f"PLAINTEXT://{node.address},CONTROLLER://{node.controller_address}"
    return {
        "listeners": f"{usual},MOVED://{HOST}:{LISTENER}",
        "advertised.listeners": f"{usual},MOVED://{HOST}:{FIRST_ADDRESS}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,MOVED:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
    }


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """One broker that is reached through a proxy at the address that it advertises."""
    with kafka_cluster(kind="local", properties=properties) as cluster:
        yield cluster


@dataclass
class Place:
    """Where the broker is reached: at the address that it advertises, and at one to start from."""

    cluster: LocalCluster
    address: int = FIRST_ADDRESS
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def servers(self) -> str:
        """What a worker starts from."""
        return f"{HOST}:{START}"

    async def open(self) -> None:
        """Be reachable."""
        await self._stack.enter_async_context(Proxy(START, LISTENER))
        self._door = await self._stack.enter_async_context(Proxy(self.address, LISTENER))

    async def move(self, *, silently: bool = False) -> None:
        """Stop, and start with another address; `silently` the old one still takes connections, and says nothing."""
        self.cluster.stop_broker(1)
        await self.close()
        if silently:
            await self._stack.enter_async_context(await asyncio.start_server(_say_nothing, HOST, self.address))
        before, self.address = self.address, SECOND_ADDRESS + FIRST_ADDRESS - self.address
        file = self.cluster.folder / "broker-1" / "server.properties"
        file.write_text(file.read_text().replace(f"MOVED://{HOST}:{before}", f"MOVED://{HOST}:{self.address}"))
        await self.open()
        await asyncio.to_thread(self.cluster.start_broker, 1)

    async def close(self) -> None:
        """Be reachable no more."""
        await self._stack.aclose()


async def _say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1024):
        pass
    writer.close()


@pytest.fixture
async def place(cluster: LocalCluster) -> AsyncIterator[Place]:
    text = (cluster.folder / "broker-1" / "server.properties").read_text()
    place = Place(cluster, FIRST_ADDRESS if f"MOVED://{HOST}:{FIRST_ADDRESS}" in text else SECOND_ADDRESS)
    await place.open()
    yield place
    await place.close()


def reviews(first: int) -> list[Message]:
    return [Message(b'{"review_id":%d,"text":"good"}' % number, b"%d" % number) for number in range(first, first + 200)]


def of_ours(worker: WorkerProcess, *parts: str) -> list[str]:
    return [line.message for line in worker.said(*parts) if line.logger.startswith("worker.")]


async def has_topics(admin: TopicAdmin, name: str) -> bool:
    try:
        return name in await admin.describe([name])
    except BrokerError:
        return False


@pytest.mark.parametrize(
    ("guarantee", "silently"), [("at_least_once", False), ("exactly_once", False), ("exactly_once", True)]
)
async def test_a_worker_finds_brokers_that_have_moved(
    guarantee: str, silently: bool, place: Place, workers: Workers, ledger: Ledger
) -> None:
    past, names = place.cluster.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(past, names.input, names.output, names.dead_letters, partitions=3)
    worker = await workers.start(place.servers, special="free", processing_guarantee=guarantee).ready()
    await ledger.produce(past, reviews(0))
    (await ledger.settled(past)).check()
    async with open_admin(Settings(bootstrap_servers=place.servers)) as admin:
        await place.move(silently=silently)
        await eventually(lambda: has_topics(admin, names.input), "an admin client that was open finds them")
    await ledger.produce(past, reviews(200))
    repeats = 200 if guarantee == "at_least_once" else 0
    (await ledger.settled(past)).check(max_repeats=repeats)
    await worker.ready()
    assert await worker.metric("broker_up") == 1
    assert (await worker.get("/healthz"))[0] == 200
    assert len(of_ours(worker, "does not answer")) == len(of_ours(worker, "answers again"))
    assert of_ours(worker, f"{HOST}:{place.address}")
    assert await worker.stopped() == ExitCode.OK


async def test_a_worker_that_does_not_find_them_is_not_alive_as_another_one_would(
    place: Place, workers: Workers, ledger: Ledger
) -> None:
    past, names = place.cluster.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(past, names.input, names.output, names.dead_letters, partitions=3)
    settings = {"special": "free", "stall_timeout_s": 3, "session_timeout_s": 6}
    trap = {"TEST_TRAP": "learnt-brokers-only"}
    lost = await workers.start(place.servers, program=BROKEN_WORKER, variables=trap, **settings).ready()
    await place.move()
    await eventually(lambda: unhealthy(lost, "the broker answers other clients"), "/healthz fails")
    assert of_ours(lost, "does not answer", "the address that the broker advertises")
    assert await lost.stopped() in (ExitCode.OK, ExitCode.GRACE_EXCEEDED)
    await workers.start(place.servers, **settings).ready()
    await ledger.produce(past, reviews(0))
    (await ledger.settled(past)).check()


async def unhealthy(worker: WorkerProcess, reason: str) -> bool:
    status, text = await worker.get("/healthz")
    return status == 503 and reason in text
