"""A producer upstream leaves a transaction open: what lies behind its beginning waits, and everybody is told."""

from __future__ import annotations

import kafka_tools
from aiokafka import AIOKafkaProducer
from kafka_tools import Message
from ledger import Ledger
from worker_process import Workers, eventually

from worker.devkafka import Cluster
from worker.errors import ExitCode

WAITING = 7
STALL_TIMEOUT_S = 3


def review(number: int) -> Message:
    return Message(b'{"review_id":%d,"text":"good"}' % number, b"key", partition=0)


async def test_what_waits_for_a_transaction_is_lag_and_the_transaction_is_named(
    kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, names.output, names.dead_letters, partitions=2)
    worker = await workers.start(servers, special="free", stall_timeout_s=STALL_TIMEOUT_S).ready()
    await ledger.produce(servers, [review(0)])
    await worker.reaches("events_out_total", 1)
    async with AIOKafkaProducer(bootstrap_servers=servers, transactional_id=names.group) as upstream:
        await upstream.begin_transaction()
        await upstream.send_and_wait(names.input, review(1).value, key=b"key", partition=0)
        await ledger.produce(servers, map(review, range(2, WAITING + 1)))
        await worker.reaches("lag_in_transactions{partition=0}", WAITING)
        await worker.says(f"a transaction in {names.input}/0 that begins at offset 1 has been open for")
        metrics = await worker.metrics()
        assert metrics["lag{partition=0}"] == metrics["lag_in_transactions{partition=0}"] == WAITING
        assert metrics["open_transaction_seconds{partition=0}"] >= STALL_TIMEOUT_S
        assert metrics["lag{partition=1}"] == metrics["open_transaction_seconds{partition=1}"] == 0
        assert metrics["drain_seconds"] == 0
        assert await worker.metric("events_out_total") == 1
        assert [(await worker.get(path))[0] for path in ("/healthz", "/readyz")] == [200, 200]
        await upstream.commit_transaction()
    await worker.says(f"the transaction in {names.input}/0 from offset 1 has ended")
    await worker.reaches("events_out_total", 1 + WAITING)

    async def all_done() -> bool:
        metrics = await worker.metrics()
        return metrics["lag{partition=0}"] == metrics["lag_in_transactions{partition=0}"] == 0

    await eventually(all_done, "markers are no lag")
    assert len(worker.said("has been open for")) == 1
    assert await worker.stopped() == ExitCode.OK
