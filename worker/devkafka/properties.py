"""The settings of a broker that is started here: ``server.properties``."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.devkafka.ports import HOST


@dataclass(frozen=True)
class Node:
    """One broker, which is a controller as well."""

    id: int
    port: int
    controller_port: int
    directory_id: str

    @property
    def address(self) -> str:
        """Where clients reach it."""
        return f"{HOST}:{self.port}"

    @property
    def controller_address(self) -> str:
        """Where the other controllers reach it."""
        return f"{HOST}:{self.controller_port}"

    @property
    def voter(self) -> str:
        """How it is named among the first controllers of a cluster."""
        return f"{self.id}@{self.controller_address}:{self.directory_id}"


Overrides = Mapping[str, str] | Callable[[Node], Mapping[str, str]]
"""Settings for all brokers alike, or for each its own."""


def random_id() -> str:
    """An id as Kafka writes it: 22 characters of URL-safe base64, the first of them never a dash."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text


def server_properties(node: Node, nodes: Sequence[Node], data: Path, overrides: Overrides) -> dict[str, str]:
    """The settings of `node` in the cluster of `nodes`, with its data in `data`; `overrides` win."""
    replicas = min(3, len(nodes))
    in_sync = 2 if replicas == 3 else 1
    listeners = f"PLAINTEXT://{node.address},CONTROLLER://{node.controller_address}"
    return {
        "process.roles": "broker,controller",
        "node.id": str(node.id),
        "controller.quorum.bootstrap.servers": ",".join(each.controller_address for each in nodes),
        "controller.listener.names": "CONTROLLER",
        "listeners": listeners,
        "advertised.listeners": listeners,
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data),
        "default.replication.factor": str(replicas),
        "min.insync.replicas": str(in_sync),
        **_internal_topics(replicas, in_sync),
        **_BEHAVIOUR,
        **(overrides(node) if callable(overrides) else overrides),
    }


def render(properties: Mapping[str, str]) -> str:
    """The text of a properties file."""
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def _internal_topics(replicas: int, in_sync: int) -> dict[str, str]:
    return {
        "offsets.topic.replication.factor": str(replicas),
        "offsets.topic.num.partitions": "3",
        "transaction.state.log.replication.factor": str(replicas),
        "transaction.state.log.min.isr": str(in_sync),
        "transaction.state.log.num.partitions": "3",
        "share.coordinator.state.topic.replication.factor": str(replicas),
        "share.coordinator.state.topic.min.isr": str(in_sync),
        "share.coordinator.state.topic.num.partitions": "1",
    }


_BEHAVIOUR = {
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # A killed broker is missed soon, and may come back soon: its old registration must run out first.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # Compaction within a second, and without the 128 MB that the cleaner takes by default.
    "log.cleaner.backoff.ms": "1000",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
}
