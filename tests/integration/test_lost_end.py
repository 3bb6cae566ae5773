"""A committed offset beyond the end of its partition: the topic was made anew, or a broker lost its newest records."""

from __future__ import annotations

import kafka_tools
import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata
from kafka_tools import Message
from ledger import Ledger
from worker_process import Workers

from worker.devkafka import Cluster
from worker.errors import ExitCode

GUARANTEES = ("at_least_once", "exactly_once")
BEYOND = 1000


def review(number: int) -> Message:
    return Message(b'{"review_id":%d,"text":"number %d was good"}' % (number, number), b"key", partition=0)


@pytest.mark.parametrize("guarantee", GUARANTEES)
async def test_what_comes_below_the_committed_offset_is_not_taken_for_done(
    guarantee: str, kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, names.output, names.dead_letters)
    async with AIOKafkaConsumer(bootstrap_servers=servers, group_id=names.group, enable_auto_commit=False) as consumer:
        consumer.assign([partition := TopicPartition(names.input, 0)])
        await consumer.commit({partition: OffsetAndMetadata(BEYOND, "")})
    worker = await workers.start(servers, special="free", processing_guarantee=guarantee).ready()
    await worker.says(f"{names.input}/0 ends at 0, and the group has committed {BEYOND}")
    await ledger.produce(servers, map(review, range(500)))
    (await ledger.settled(servers)).check()
    await ledger.produce(servers, map(review, range(500, BEYOND + 10)))
    (await ledger.settled(servers)).check()
    assert await worker.stopped() == ExitCode.OK
    assert await kafka_tools.stable_offsets(servers, names.group, names.input) == {partition: BEYOND + 10}


@pytest.mark.parametrize("guarantee", GUARANTEES)
async def test_a_topic_that_is_made_anew_while_it_is_read_is_read_from_its_beginning(
    guarantee: str, kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, names.output, names.dead_letters)
    worker = await workers.start(servers, special="free", processing_guarantee=guarantee).ready()
    await kafka_tools.produce(servers, names.input, map(review, range(6000)))
    await worker.reaches("events_out_total", 3000)
    await kafka_tools.created_again(servers, names.input)
    await kafka_tools.produce(servers, names.input, map(review, range(10_000, 10_500)))
    records = await kafka_tools.consume_all(servers, names.output, until=_has_all_new, read_committed=True)
    new = [number for number in map(_number, records) if number >= 10_000]
    if guarantee == "exactly_once":
        assert new == list(range(10_000, 10_500))
    assert list(dict.fromkeys(new)) == list(range(10_000, 10_500))
    assert "Traceback" not in worker.output
    assert await worker.stopped() == ExitCode.OK


def _number(record: kafka_tools.ConsumerRecord) -> int:
    return int(orjson.loads(record.value)["review_id"])


def _has_all_new(records: list[kafka_tools.ConsumerRecord]) -> bool:
    return {number for number in map(_number, records) if number >= 10_000} == set(range(10_000, 10_500))
