"""One broker in a container, where a Docker daemon answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from worker.devkafka import external
from worker.devkafka.cluster import Cluster, DevKafkaError

IMAGE = "confluentinc/cp-kafka:7.9.0"
"""The image that testcontainers knows how to start; Apache Kafka 3.9."""

BASE = {
    "auto.create.topics.enable": "false",
    "group.min.session.timeout.ms": "1000",
    "min.insync.replicas": "1",
    "offsets.topic.num.partitions": "3",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "3",
}


def environment(properties: Mapping[str, str]) -> dict[str, str]:
    """Broker settings as the image takes them: ``a.b`` is ``KAFKA_A_B``."""
    settings = {**BASE, **properties}
    return {f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in settings.items()}


@contextmanager
def container_cluster(properties: Mapping[str, str]) -> Iterator[Cluster]:
    """Start a container, hand out its cluster, and remove it whatever happens; raises DevKafkaError."""
    with ExitStack() as stack:
        try:
            container = external.RunningContainer(IMAGE, environment(properties))
            stack.callback(container.stop)
            servers = container.start()
        except Exception as error:  # the client's errors are of many kinds: no image, no space, no rights, no time
            raise DevKafkaError(f"{IMAGE} does not start in Docker: {type(error).__name__}: {error}") from error
        cluster = Cluster("testcontainers", servers, 1)
        cluster.wait_ready()
        yield cluster
