"""The Kafka that a scenario runs against: brokers of our own, which may be killed.

Each broker has a second listener whose advertised address is another port: that of a `proxy` which a scenario may put
there. A worker that is given the proxies' addresses never learns of any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.chaos.scenario import Need
from worker.devkafka import LocalCluster, kafka_cluster, ports
from worker.devkafka.properties import Node

HOST = ports.HOST


@dataclass(frozen=True)
class Ports:
    """Of one broker, for those who go through the proxy."""

    broker: int
    """Where the broker listens."""
    proxy: int
    """Where it says that it listens."""


@dataclass(frozen=True)
class Kafka:
    """A cluster and its side doors, by broker."""

    cluster: LocalCluster
    ports: Mapping[int, Ports]

    @property
    def servers(self) -> str:
        """The bootstrap servers, past any proxy."""
        return self.cluster.bootstrap_servers

    @property
    def proxied_servers(self) -> str:
        """The bootstrap servers behind the proxies."""
        return ",".join(f"{HOST}:{each.proxy}" for each in self.ports.values())

    def revive(self) -> None:
        """Start every broker that does not run, and wait until all are in the cluster."""
        away = set(self.ports) - set(self.cluster.pids)
        for number in away:
            self.cluster.start_broker(number, wait=False)
        if away:
            self.cluster.wait_ready()


class Kafkas:
    """Starts what is needed, keeps the last, and stops it when something else is needed."""

    def __init__(self) -> None:
        self._need: Need | None = None
        self._kafka: Kafka | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def get(self, need: Need) -> Kafka:
        """A Kafka with all of its brokers running."""
        if self._kafka is None or self._need != need:
            self._stack.close()
            self._kafka, self._need = self._start(need), need
        self._kafka.revive()
        return self._kafka

    def _start(self, need: Need) -> Kafka:
        picked = ports.pick(2 * need.brokers)
        doors = {n: Ports(picked[2 * n - 2], picked[2 * n - 1]) for n in range(1, need.brokers + 1)}

        def properties(node: Node) -> dict[str, str]:
            door = doors[node.id]
            usual = f"PLAINTEXT://{node.address},CONTROLLER://{node.controller_address}"
            return {
                "listeners": f"{usual},PROXIED://{HOST}:{door.broker}",
                "advertised.listeners": f"{usual},PROXIED://{HOST}:{door.proxy}",
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT",
                "inter.broker.listener.name": "PLAINTEXT",
                **dict(need.properties),
            }

        cluster = self._stack.enter_context(kafka_cluster(need.brokers, kind="local", properties=properties))
        return Kafka(cluster, doors)
