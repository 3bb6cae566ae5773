"""Worker processes for one test, its ledger, and a gate that its model waits at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import TopicNames
from ledger import Ledger
from worker_process import Gate, Workers, workers_for


@pytest.fixture
def workers(topic_names: TopicNames, tmp_path: Path) -> Iterator[Workers]:
    """Starts workers on the test's topics; all are gone when it ends, and their logs are shown when it failed."""
    with workers_for(topic_names, tmp_path) as workers:
        yield workers


@pytest.fixture
def ledger(topic_names: TopicNames) -> Ledger:
    """Knows what the test produces; the topics are not created."""
    return Ledger(topic_names)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """Closed at first."""
    return Gate(tmp_path / "gate")
