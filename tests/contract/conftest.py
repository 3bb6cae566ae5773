"""The fixture `world`: each test of this folder runs in memory and on a real Kafka."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from contract.world import FakeWorld, KafkaWorld, World

from worker.inference import Artifact
from worker.settings import Settings
from worker.tokenization import Tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """The bundled model's."""
    return Artifact.load(None).load_tokeniser()


@pytest.fixture(params=["fake", "kafka"])
async def world(request: pytest.FixtureRequest, tokenizer: Tokenizer, topic_names) -> AsyncIterator[World]:
    """Topics do not exist yet, no worker runs."""
    servers = "localhost:1" if request.param == "fake" else request.getfixturevalue("kafka").bootstrap_servers
    settings = Settings(
        bootstrap_servers=servers,
        group=topic_names.group,
        input_topic=topic_names.input,
        output_topic=topic_names.output,
        dead_letter_topic=topic_names.dead_letters,
        create_topics=False,
        port=0,
        commit_interval_s=0.05,
        grace_period_s=20.0,
        retry_backoff_s=0.01,
        compression="none",
    )
    world = FakeWorld(settings, tokenizer) if request.param == "fake" else KafkaWorld(settings, tokenizer)
    yield world
    await world.close()
