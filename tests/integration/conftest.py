"""Worker processes for one test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import TopicNames
from worker_process import Workers, workers_for


@pytest.fixture
def workers(topic_names: TopicNames, tmp_path: Path) -> Iterator[Workers]:
    """Starts workers on the test's topics; all are gone when it ends, and their logs are shown when it failed."""
    with workers_for(topic_names, tmp_path) as workers:
        yield workers
