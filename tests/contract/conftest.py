"""The fixture `world`: each test of this folder runs in memory and on a real Kafka, at least once and exactly once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from contract.world import FakeWorld, KafkaWorld, World

from worker.devkafka import Cluster, kafka_cluster
from worker.inference import Artifact
from worker.settings import Settings
from worker.tokenization.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """The bundled model's."""
    return Artifact.load(None).load_tokeniser()


@pytest.fixture(scope="module")
def kafka_to_break() -> Iterator[Cluster]:
    """A Kafka of one broker that a test may kill."""
    with kafka_cluster(kind="local") as cluster:
        yield cluster


WORLDS = ["fake", "kafka", "fake-exactly_once", "kafka-exactly_once"]


@pytest.fixture(params=WORLDS)
async def world(request: pytest.FixtureRequest, tokenizer: Tokenizer, topic_names) -> AsyncIterator[World]:
    """Topics do not exist yet, no worker runs."""
    async with _world(request, tokenizer, topic_names, "kafka") as world:
        yield world


@pytest.fixture(params=WORLDS)
async def breakable_world(request: pytest.FixtureRequest, tokenizer: Tokenizer, topic_names) -> AsyncIterator[World]:
    """The same, with a broker that may go away."""
    async with _world(request, tokenizer, topic_names, "kafka_to_break") as world:
        yield world


@asynccontextmanager
async def _world(request: pytest.FixtureRequest, tokenizer: Tokenizer, names, kafka: str) -> AsyncIterator[World]:
    place, _, guarantee = request.param.partition("-")

    def settings(bootstrap_servers: str) -> Settings:
        return Settings(
            processing_guarantee=guarantee or "at_least_once",
            bootstrap_servers=bootstrap_servers,
            group=names.group,
            input_topic=names.input,
            output_topic=names.output,
            dead_letter_topic=names.dead_letters,
            create_topics=False,
            port=0,
            commit_interval_s=0.05,
            grace_period_s=20.0,
            retry_backoff_s=0.01,
            session_timeout_s=6.0,
            compression="none",
        )

    world: World
    if place == "fake":
        world = FakeWorld(settings("nowhere:1"), tokenizer)
    else:
        cluster: Cluster = request.getfixturevalue(kafka)
        world = KafkaWorld(settings(cluster.bootstrap_servers), tokenizer, cluster)
    try:
        yield world
    finally:
        await world.close()
