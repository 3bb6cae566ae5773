"""One secured broker for all of these tests, and a user for each."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import kafka_tools
import pytest
from conftest import TopicNames
from kafka_access import Access
from oauth_tokens import TokenEndpoint, token_endpoint
from secured_kafka import HOST, SecuredKafka, secured_kafka


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    with secured_kafka(tmp_path_factory.mktemp("secured")) as kafka:
        yield kafka


@pytest.fixture
def access(secured: SecuredKafka, tmp_path: Path) -> Access:
    folder = tmp_path / "secrets"
    folder.mkdir()
    return Access(secured, folder)


@pytest.fixture
def user() -> str:
    """A name that no other test uses, and that has no rights."""
    return f"user-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def endpoint(secured: SecuredKafka, user: str) -> Iterator[TokenEndpoint]:
    """A token end point that knows the test's user."""
    with token_endpoint(TokenEndpoint(user), *secured.authority.issue(HOST)) as endpoint:
        yield endpoint


@pytest.fixture
async def topics(secured: SecuredKafka, topic_names: TopicNames) -> TopicNames:
    """The test's topics, created."""
    names = (topic_names.input, topic_names.output, topic_names.dead_letters)
    await kafka_tools.create_topics(secured.servers, *names, partitions=2)
    return topic_names
