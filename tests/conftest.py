"""Fixtures for all tests: a clean environment, a real Kafka, and names of topics that no other test uses."""

from __future__ import annotations

import os
import uuid
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import absent
import pytest
from logging_kept import logging_kept

from worker.devkafka import Cluster, kafka_cluster

FOREIGN_VARIABLES = ("REVIEWS_WORKER_", "KAFKA_BOOTSTRAP_SERVERS", "OTEL_")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # all tests run on all machines; what a GPU computes is `make bench-gpu`'s


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skip that nobody accounts for, or that CI must not have, is a failure."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple) and (fault := absent.fault_of(report.longrepr[2])):
        report.outcome, report.longrepr = "failed", fault
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What did not run on this machine, by kind."""
    skipped = [report.longrepr for report in terminalreporter.stats.get("skipped", [])]
    if lines := absent.listed(reason[2] for reason in skipped if isinstance(reason, tuple)):
        terminalreporter.section("not run, for want of")
        for line in lines:
            terminalreporter.write_line(line)


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
