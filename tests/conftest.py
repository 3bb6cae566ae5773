"""Fixtures for all tests: a clean environment, a real Kafka, and names of topics that no other test uses."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from logging_kept import logging_kept

from worker.devkafka import Cluster, kafka_cluster

FOREIGN_VARIABLES = ("REVIEWS_WORKER_", "KAFKA_BOOTSTRAP_SERVERS", "OTEL_")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of whoever runs the tests reaches the code under test."""
    for name in list(os.environ):
        if name.startswith(FOREIGN_VARIABLES):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command that sets up logging sets it up for its own test only."""
    with logging_kept():
        yield


@pytest.fixture(scope="session")
def kafka() -> Iterator[Cluster]:
    """One Kafka for all tests that share it: the one in ``KAFKA_BOOTSTRAP_SERVERS``, or one that is started here.

    A test that stops or kills brokers starts its own: ``kafka_cluster(kind="local")``.
    """
    with kafka_cluster() as cluster:
        yield cluster


@dataclass(frozen=True)
class TopicNames:
    """Names for one test; nothing is created."""

    input: str
    output: str
    dead_letters: str
    group: str


@pytest.fixture
def topic_names() -> TopicNames:
    """Names that no other test, and no other run against the same Kafka, uses."""
    unique = uuid.uuid4().hex[:12]
    return TopicNames(f"test.{unique}.in", f"test.{unique}.out", f"test.{unique}.dlq", f"test.{unique}")
