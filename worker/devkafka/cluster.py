"""What every cluster offers, wherever it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from worker.devkafka import readiness
from worker.errors import ExitCode, FatalError

Kind = Literal["configured", "testcontainers", "local"]
"""Somebody else's cluster, one in a container, or one that runs here as processes of ours."""

Say = Callable[[str], None]
"""Takes one line for a person about what happens now."""


class DevKafkaError(FatalError):
    """No Kafka for tests and demo could be had; the message says why and what to do."""

    exit_code = ExitCode.UNREACHABLE


class Cluster:
    """A Kafka cluster that answers."""

    def __init__(
        self, kind: Kind, bootstrap_servers: str, brokers: int, client_options: Mapping[str, Any] | None = None
    ) -> None:
        self.kind: Kind = kind
        self.bootstrap_servers = bootstrap_servers
        """``host:port``, separated by commas."""
        self.brokers = brokers
        """How many brokers were asked for; a configured cluster may have more."""
        self._client_options = client_options

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Block until as many brokers as asked for are in the cluster's own metadata; raises DevKafkaError."""
        seen = readiness.wait(
            self.bootstrap_servers, lambda ids: len(ids) >= self.brokers, timeout_s, client_options=self._client_options
        )
        if seen is None:
            raise DevKafkaError(f"no Kafka answers at {self.bootstrap_servers} within {timeout_s:g} s")
        if len(seen) < self.brokers:
            raise DevKafkaError(f"{self.bootstrap_servers} has {len(seen)} broker(s), {self.brokers} were asked for")
