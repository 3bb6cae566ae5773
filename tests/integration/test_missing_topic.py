"""Topics that are deleted while a worker is running."""

from __future__ import annotations

import kafka_tools
import pytest
from kafka_tools import Message
from ledger import Ledger
from worker_process import WorkerProcess, Workers, eventually

from worker.devkafka import Cluster
from worker.errors import ExitCode


def reviews(first: int) -> list[Message]:
    return [Message(b'{"review_id":%d,"text":"good"}' % number, b"%d" % number) for number in range(first, first + 100)]


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_a_missing_topic_is_named_and_read_when_it_is_created_again(
    guarantee: str, kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, names.output, names.dead_letters, partitions=2)
    settings = {"special": "free", "processing_guarantee": guarantee, "stall_timeout_s": 5}
    worker = await workers.start(servers, **settings).ready()
    await ledger.produce(servers, reviews(0))
    (await ledger.settled(servers)).check()
    await kafka_tools.delete_topics(servers, names.input)
    await worker.says(f"topic {names.input} is missing")
    assert await worker.get("/readyz") == (503, "the input topic is missing\n")
    assert (await worker.get("/healthz"))[0] == 200
    metrics = await worker.metrics()
    assert (metrics["topic_missing"], metrics["broker_up"]) == (1, 1)
    await eventually(lambda: created(servers, names.input), "the topic is created again")
    await worker.says(f"topic {names.input} is there again")
    await worker.ready()
    published = await worker.metric("events_out_total")
    await kafka_tools.produce(servers, names.input, reviews(100))
    await worker.reaches("events_out_total", published + 100)
    assert not of_ours(worker, "does not answer")
    assert await worker.stopped() == ExitCode.OK


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_a_missing_output_topic_is_named_and_written_when_it_is_created_again(
    guarantee: str, kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, names.output, names.dead_letters, partitions=2)
    worker = await workers.start(servers, special="free", processing_guarantee=guarantee).ready()
    await ledger.produce(servers, reviews(0))
    (await ledger.settled(servers)).check()
    await kafka_tools.delete_topics(servers, names.output)
    ledger.forget_positions(names.output)
    await ledger.produce(servers, reviews(100))
    await worker.says(f"{names.output} does not take outputs now (the broker knows no such topic)")
    await eventually(lambda: created(servers, names.output), "the topic is created again")
    (await ledger.settled(servers)).check(max_repeats=100 if guarantee == "at_least_once" else 0)
    await worker.says(f"{names.output} takes outputs again")
    assert await worker.stopped() == ExitCode.OK


async def created(servers: str, topic: str) -> bool:
    try:
        await kafka_tools.create_topics(servers, topic, partitions=2)
    except kafka_tools.KafkaError:  # the old one is still being deleted
        return False
    return True


def of_ours(worker: WorkerProcess, *parts: str) -> list[str]:
    return [line.message for line in worker.said(*parts) if line.logger.startswith("worker.")]
