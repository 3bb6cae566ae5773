"""A cluster that runs here, as processes of ours, in a temporary folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.devkafka import ports, readiness
from worker.devkafka.artefacts import Artefacts
from worker.devkafka.broker import Broker, PortTakenError
from worker.devkafka.cluster import Cluster, DevKafkaError
from worker.devkafka.properties import Node, Overrides, random_id, render, server_properties
from worker.devkafka.reaper import Reaper

START_TIMEOUT_S = 90.0
"""Patience with a machine that is busy; an idle one takes 5 s."""
ATTEMPTS = 3


class LocalCluster(Cluster):
    """Brokers 1 to n, each a controller too. Their data outlives a broker, not the cluster."""

    def __init__(self, artefacts: Artefacts, brokers: int, properties: Overrides) -> None:
        picked = ports.pick(2 * brokers)
        nodes = [Node(i + 1, picked[2 * i], picked[2 * i + 1], random_id()) for i in range(brokers)]
        super().__init__("local", ",".join(node.address for node in nodes), brokers)
        self.folder = Path(tempfile.mkdtemp(prefix="reviews-worker-kafka-"))
        self._reaper = Reaper(self.folder)
        self._brokers = {
            node.id: Broker(node, self.folder / f"broker-{node.id}", artefacts, self._reaper) for node in nodes
        }
        for broker in self._brokers.values():
            settings = server_properties(broker.node, nodes, broker.data, properties)
            broker.settings_file.write_text(render(settings))

    @property
    def pids(self) -> dict[int, int]:
        """Number of the process of each broker that runs, by broker id."""
        return {number: broker.pid for number, broker in self._brokers.items() if broker.pid is not None}

    def start(self) -> None:
        """Format all, start all, and wait until all are in the cluster; raises DevKafkaError with a log's end."""
        cluster_id = random_id()
        nodes = [broker.node for broker in self._brokers.values()]
        for broker in self._brokers.values():
            broker.format(cluster_id, nodes)
        for broker in self._brokers.values():
            broker.finish_format()
        for broker in self._brokers.values():
            broker.start()
        self.wait_ready(START_TIMEOUT_S)

    def start_broker(self, number: int, *, wait: bool = True) -> None:
        """Start a broker that was stopped or killed, on its old port with its old data, and wait until it is back.

        A cluster of three answers only while two of them run: without `wait` several can be started together.
        """
        broker = self._broker(number)
        broker.start()
        if wait:
            self._wait_for({number}, broker.node.address, START_TIMEOUT_S)

    def stop_broker(self, number: int) -> None:
        """Stop a broker in an orderly way and wait until it has ended."""
        self._broker(number).stop()

    def kill_broker(self, number: int) -> None:
        """Kill a broker with SIGKILL and wait until it has ended."""
        self._broker(number).kill()

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Block until every broker that runs is in the cluster's metadata; raises DevKafkaError with a log's end."""
        running = {number for number, broker in self._brokers.items() if broker.running}
        if not running:
            self._check_all()
            raise DevKafkaError("no broker of the local Kafka is running")
        for number in running:
            self._wait_for(running, self._broker(number).node.address, timeout_s)

    def log_tail(self, number: int = 1) -> str:
        """The last lines of a broker's log."""
        return self._broker(number).log_tail()

    def close(self) -> None:
        """Kill all and delete the folder; may be called twice."""
        for broker in self._brokers.values():
            broker.kill()
        self._reaper.close()

    def _wait_for(self, expected: set[int], address: str, timeout_s: float) -> None:
        if readiness.wait(address, expected.issubset, timeout_s, give_up=self._check_all) is None:
            slow = next(broker for broker in self._brokers.values() if broker.node.address == address)
            raise slow.failure(f"did not answer within {timeout_s:g} s")

    def _check_all(self) -> None:
        for broker in self._brokers.values():
            broker.check()

    def _broker(self, number: int) -> Broker:
        if number not in self._brokers:
            raise ValueError(f"there is no broker {number}: they are {', '.join(map(str, self._brokers))}")
        return self._brokers[number]


@contextmanager
def local_cluster(artefacts: Artefacts, brokers: int, properties: Overrides) -> Iterator[LocalCluster]:
    """Start a cluster here, hand it out, and stop it whatever happens."""
    cluster = _start(artefacts, brokers, properties)
    try:
        yield cluster
    finally:
        cluster.close()


def _start(artefacts: Artefacts, brokers: int, properties: Overrides) -> LocalCluster:
    for attempt in range(1, ATTEMPTS + 1):
        cluster = LocalCluster(artefacts, brokers, properties)
        try:
            cluster.start()
        except PortTakenError:
            cluster.close()
            if attempt == ATTEMPTS:
                raise
        except BaseException:
            cluster.close()
            raise
        else:
            return cluster
    raise AssertionError("unreachable: the last attempt returns or raises")
