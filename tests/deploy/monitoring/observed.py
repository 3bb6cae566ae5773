"""A worker that has seen everything that needs no fault, and a Prometheus that has watched it."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator

import pytest
from conftest import TopicNames
from deploy_tools import REPOSITORY, tool
from kafka_tools import Message
from ledger import Ledger
from prometheus_server import Prometheus, prometheus_server
from worker_process import WorkerProcess, workers_for

from worker.devkafka import Cluster

FILES = REPOSITORY / "deploy" / "helm" / "reviews-worker" / "files"
ALERTS, DASHBOARD = FILES / "alerts.yaml", FILES / "dashboard.json"
REVIEWS = 200
LONG_REVIEW = "A long and winding film about nothing at all. " * 200


@pytest.fixture(scope="session")
def observed(kafka: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It has scraped a worker before and after that one did all of `_messages`."""
    unique = uuid.uuid4().hex[:12]
    names = TopicNames(f"seen.{unique}.in", f"seen.{unique}.out", f"seen.{unique}.dlq", f"seen.{unique}")
    program = tool("prometheus").path
    folder = tmp_path_factory.mktemp("observed")
    with workers_for(names, folder) as workers:
        worker = workers.start(kafka.bootstrap_servers)
        asyncio.run(_standing_by(worker))
        with prometheus_server(program, folder, worker.url.removeprefix("http://"), ALERTS) as server:
            asyncio.run(_watched(server, kafka.bootstrap_servers, names))
            yield server


async def _standing_by(worker: WorkerProcess) -> None:
    await worker.ready()
    await worker.reaches("assigned_partitions", 1)


async def _watched(server: Prometheus, servers: str, names: TopicNames) -> None:
    await server.finds("reviews_worker_lag")
    ledger = Ledger(names)
    await ledger.produce(servers, _messages())
    await ledger.settled(servers)
    await server.finds(f"sum(reviews_worker_events_out_total) == {REVIEWS + 1}")
    await server.finds("sum(reviews_worker_dead_letters_total) == 1")
    await server.finds("sum(reviews_worker_lag) == 0")
    await server.finds('ALERTS{alertname="ReviewsWorkerDeadLetters",alertstate="firing"}')


def _messages() -> list[Message]:
    """Reviews, one of them longer than the model, a tombstone, and an event without a text."""
    texts = [f"A film that I have seen {number} times." for number in range(REVIEWS)]
    reviews = [
        Message(json.dumps({"text": text}).encode(), b"%d" % (number % 7))
        for number, text in enumerate([*texts, LONG_REVIEW])
    ]
    return [*reviews, Message(None, b"gone"), Message(b'{"stars": 5}', b"dead")]
