"""What a broker does by itself: it slows clients down, forgets transactional ids, and keeps batches without records."""

from __future__ import annotations

import kafka_tools
import pytest
from broker_requests import slowed_down, transactional_ids
from kafka_tools import Message
from ledger import Ledger
from worker_process import Workers, eventually

from worker.delivery.transactions import transactional_id
from worker.devkafka import Cluster, kafka_cluster
from worker.records import TopicPartition

GUARANTEES = ("at_least_once", "exactly_once")
FORGETFUL = {
    "transactional.id.expiration.ms": "1000",
    "transaction.remove.expired.transaction.cleanup.interval.ms": "200",
    "producer.id.expiration.ms": "1000",
    "producer.id.expiration.check.interval.ms": "200",
}
COMPACTED = {
    "cleanup.policy": "compact",
    "segment.ms": "100",
    "min.cleanable.dirty.ratio": "0.01",
    "delete.retention.ms": "0",
}
SLOW_BYTES_PER_S = 20_000.0


def review(number: int, *, key: bytes | None = None, pad: int = 0) -> Message:
    return Message(b'{"text":"number %d was good","pad":"%s"}' % (number, b"x" * pad), key or b"key-%d" % number)


@pytest.mark.parametrize("guarantee", GUARANTEES)
async def test_a_worker_that_is_slowed_down_by_quotas_loses_nothing_and_stays_alive(
    guarantee: str, kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, names.output, names.dead_letters, partitions=2)
    await ledger.produce(servers, [review(number, pad=1000) for number in range(300)])
    async with slowed_down(servers, "reviews-worker", SLOW_BYTES_PER_S):
        settings = {"special": "free", "processing_guarantee": guarantee, "compression": "none"}
        worker = await workers.start(servers, **settings).ready()
        verdict = await ledger.settled(servers)
        assert (await worker.get("/healthz"))[0] == 200
    verdict.check()
    assert verdict.repeats == 0
    assert await worker.stopped() == 0


async def test_a_transactional_id_that_the_broker_has_forgotten_is_asked_for_again(
    workers: Workers, ledger: Ledger
) -> None:
    with kafka_cluster(kind="local", properties=FORGETFUL) as kafka:
        servers, names = kafka.bootstrap_servers, ledger.names
        await kafka_tools.create_topics(servers, names.input, names.output, names.dead_letters)
        worker = await workers.start(servers, special="free", processing_guarantee="exactly_once").ready()
        await ledger.produce(servers, map(review, range(20)))
        (await ledger.settled(servers)).check()
        identity = transactional_id(names.group, TopicPartition(names.input, 0))

        async def is_forgotten() -> bool:
            return identity not in await transactional_ids(servers)

        assert not await is_forgotten()
        await eventually(is_forgotten, "the broker has forgotten the transactional id")
        await ledger.produce(servers, map(review, range(20, 40)))
        verdict = await ledger.settled(servers)
        verdict.check()
        assert verdict.repeats == 0
        assert await worker.stopped() == 0


@pytest.mark.parametrize("guarantee", GUARANTEES)
async def test_batches_that_compaction_has_emptied_and_aborted_ones_hold_nothing_up(
    guarantee: str, kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    """Of the last batch of each producer the broker keeps the frame when its records are gone."""
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, config=COMPACTED)
    await kafka_tools.create_topics(servers, names.output, names.dead_letters)
    for number in range(5):  # a producer and a batch each, all but the last superseded
        await kafka_tools.produce(servers, names.input, [review(number, key=b"same")])
        aborted = [review(number, key=b"other")]
        await kafka_tools.produce(servers, names.input, aborted, transactional_id=f"{names.group}.{number}", abort=True)
    await ledger.produce(servers, [review(100, key=b"same")])

    async def has_been_compacted() -> bool:
        # The newest segment is never cleaned, so there has to be a newer one.
        await ledger.produce(servers, [review(200, key=b"ever new")])
        ledger.produced = {source: each for source, each in ledger.produced.items() if each.key == b"same"}
        records = await kafka_tools.consume_all(servers, names.input)
        return [record.key for record in records].count(b"same") == 1

    await eventually(has_been_compacted, "the records that were superseded are gone")
    worker = await workers.start(servers, special="free", processing_guarantee=guarantee).ready()
    end = next(iter((await kafka_tools.end_offsets(servers, names.input)).values()))
    records = await kafka_tools.consume_all(
        servers,
        names.output,
        until=lambda seen: any(_source(each).endswith(f"/{end - 1}") for each in seen),
        read_committed=True,
    )
    assert [record.key for record in records].count(b"same") == 1
    assert b"other" not in {record.key for record in records}
    assert await worker.stopped() == 0


def _source(record: kafka_tools.ConsumerRecord) -> str:
    return str(dict(record.headers)["source"].decode())
