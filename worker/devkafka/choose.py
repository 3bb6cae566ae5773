"""Which Kafka it is: the one that is configured, one in a container, or one that runs here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, overload

from worker.devkafka import artefacts, external
from worker.devkafka.cluster import Cluster, DevKafkaError, Kind, Say
from worker.devkafka.containers import container_cluster
from worker.devkafka.local import LocalCluster, local_cluster
from worker.devkafka.properties import Overrides
from worker.devkafka.recording import with_recording

SERVERS_VARIABLE = "KAFKA_BOOTSTRAP_SERVERS"
SIZES = (1, 3)


def choose(environ: Mapping[str, str], brokers: int, docker_answers: Callable[[], bool]) -> Kind:
    """The first that there is. Docker is asked only when its answer matters; a container holds one broker only."""
    if environ.get(SERVERS_VARIABLE, "").strip():
        return "configured"
    if brokers == 1 and docker_answers():
        return "testcontainers"
    return "local"


@overload
def kafka_cluster(
    brokers: int = 1,
    *,
    kind: Literal["local"],
    properties: Overrides | None = None,
    cache: Path | None = None,
    say: Say = ...,
) -> AbstractContextManager[LocalCluster]: ...


@overload
def kafka_cluster(
    brokers: int = 1,
    *,
    kind: Kind | None = None,
    properties: Mapping[str, str] | None = None,
    client_options: Mapping[str, Any] | None = None,
    cache: Path | None = None,
    say: Say = ...,
) -> AbstractContextManager[Cluster]: ...


def kafka_cluster(
    brokers: int = 1,
    *,
    kind: Kind | None = None,
    properties: Overrides | None = None,
    client_options: Mapping[str, Any] | None = None,
    cache: Path | None = None,
    say: Say = lambda line: None,
) -> AbstractContextManager[Cluster]:
    """A Kafka that answers, for the length of a ``with`` block; blocks until it does.

    Without `kind` it is the configured one (``KAFKA_BOOTSTRAP_SERVERS``), else a container, else local brokers.
    ``kind="local"`` forces brokers of our own, which may be killed. `properties` are broker settings for a cluster
    that is started here; for brokers of our own they may be a function from the `Node` to its settings. The configured
    one may ask for more than an address: `client_options` are aiokafka's arguments for it. Downloads are kept in
    `cache`; `say` is told about what takes long.
    Raises ValueError for another number of brokers than 1 or 3, and DevKafkaError when there is no Kafka to be had.
    """
    if brokers not in SIZES:
        raise ValueError(f"a cluster has {' or '.join(map(str, SIZES))} brokers, not {brokers}")
    chosen = kind or choose(os.environ, brokers, external.docker_answers)
    if chosen == "configured":
        return _configured(os.environ.get(SERVERS_VARIABLE, "").strip(), brokers, client_options)
    folder = cache or artefacts.cache_folder(os.environ, Path.home())
    if chosen == "local":
        return _local(folder, brokers, properties or {}, say)
    if callable(properties):
        raise TypeError("settings for each broker are for brokers of our own: kind='local'")
    return _container(folder, properties or {}, say, strict=kind is not None)


@contextmanager
def _configured(servers: str, brokers: int, client_options: Mapping[str, Any] | None) -> Iterator[Cluster]:
    if not servers:
        raise DevKafkaError(f"no Kafka is configured: set {SERVERS_VARIABLE}")
    cluster = Cluster("configured", servers, brokers, client_options)
    cluster.wait_ready()
    yield cluster


@contextmanager
def _local(folder: Path, brokers: int, properties: Overrides, say: Say) -> Iterator[LocalCluster]:
    fetched = with_recording(artefacts.fetch(folder, say), folder, say)
    say(f"starting Apache Kafka {artefacts.KAFKA_VERSION} with {brokers} broker(s)")
    with local_cluster(fetched, brokers, properties) as cluster:
        yield cluster


@contextmanager
def _container(folder: Path, properties: Mapping[str, str], say: Say, *, strict: bool) -> Iterator[Cluster]:
    """A container; when it does not start and nobody insisted on it, local brokers."""
    with ExitStack() as stack:
        say("starting Apache Kafka in Docker")
        try:
            cluster = stack.enter_context(container_cluster(properties))
        except DevKafkaError as error:
            if strict:
                raise
            say(f"{error}; running Kafka without Docker")
            cluster = stack.enter_context(_local(folder, 1, properties, say))
        yield cluster
