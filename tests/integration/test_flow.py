"""Records in odd shapes and small bounds, through a real worker."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import kafka_tools
import pytest
from aiokafka import AIOKafkaProducer
from audit import source_of_output
from kafka_tools import Message
from ledger import Ledger
from record_batches import codecs_of
from special_worker import POISON
from worker_process import Gate, Workers, eventually

from worker.devkafka import Cluster


def review(number: int, keys: int = 8) -> Message:
    return Message(b'{"review_id":%d,"text":"number %d was good"}' % (number, number), b"key-%d" % (number % keys))


@pytest.mark.parametrize(("bound", "count"), [(1, 60), (7, 300)])
async def test_a_small_bound_on_what_is_in_flight_is_kept(
    kafka: Cluster, workers: Workers, ledger: Ledger, bound: int, count: int
) -> None:
    servers = kafka.bootstrap_servers
    await kafka_tools.create_topics(servers, ledger.names.input, partitions=3)
    await ledger.produce(servers, map(review, range(count)))
    worker = await workers.start(servers, special="free", max_in_flight_reviews=bound).ready()
    seen = 0.0
    done = 0.0
    while done < count:
        metrics = await worker.metrics()
        seen, done = max(seen, metrics["in_flight_reviews"]), metrics["events_out_total"]
    assert 0 < seen <= bound
    (await ledger.settled(servers)).check()


async def test_intake_stops_at_the_bound_while_the_session_computes(
    kafka: Cluster, workers: Workers, ledger: Ledger, gate: Gate
) -> None:
    servers = kafka.bootstrap_servers
    await kafka_tools.create_topics(servers, ledger.names.input, partitions=3)
    await ledger.produce(servers, map(review, range(1000)))
    settings = {"special": "gated", "variables": gate.variables, "max_in_flight_reviews": 100}
    worker = await workers.start(servers, **settings).ready()
    await worker.reaches("intake_paused", 1)
    metrics = await worker.metrics()
    assert 80 <= metrics["in_flight_reviews"] <= 100
    assert metrics["events_out_total"] == 0

    async def lag() -> float:
        return sum(value for name, value in (await worker.metrics()).items() if name.startswith("lag{"))

    async def whole_lag() -> bool:
        return await lag() == 1000

    await eventually(whole_lag, "the lag is everything that was produced")
    gate.open()
    (await ledger.settled(servers)).check()

    async def no_lag() -> bool:
        return await lag() == 0

    await eventually(no_lag, "the lag is gone")


@pytest.mark.parametrize(("inputs", "outputs"), [(6, 4), (2, 5)])
async def test_each_key_keeps_its_order_when_the_topics_have_other_numbers_of_partitions(
    kafka: Cluster, workers: Workers, ledger: Ledger, inputs: int, outputs: int
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, partitions=inputs)
    await kafka_tools.create_topics(servers, names.output, partitions=outputs)
    await kafka_tools.create_topics(servers, names.dead_letters, partitions=1)
    messages = [review(number, keys=50) for number in range(600)]
    messages[100:500:50] = [Message(b"not json", b"key-%d" % number) for number in range(8)]
    messages += [Message(b'{"text":"without a key"}', partition=number % inputs) for number in range(60)]
    await ledger.produce(servers, messages)
    await workers.start(servers, special="free").ready()
    (await ledger.settled(servers)).check()
    records, _ = await ledger.outputs(servers)
    per_key = defaultdict(list)
    for record in records:
        if record.key is not None:
            per_key[record.key].append((record.partition, source_of_output(record)))
    order = {key: [source for source, message in ledger.produced.items() if message.key == key] for key in per_key}
    for key, placed in per_key.items():
        assert len({partition for partition, _ in placed}) == 1
        published = {source for _, source in placed}
        assert [source for _, source in placed] == [source for source in order[key] if source in published]
    assert {record.partition for record in records} == set(range(outputs))


async def test_aborted_transactions_are_not_classified_and_gaps_do_not_hold_the_commit_back(
    kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, partitions=2)
    for round_number in range(4):
        messages = [review(100 * round_number + number) for number in range(50)]
        identity = f"{names.group}-{round_number % 2}"
        aborted = round_number % 2 == 1
        sent = await kafka_tools.produce(servers, names.input, messages, transactional_id=identity, abort=aborted)
        if not aborted:
            ledger.note(messages, sent)
    worker = await workers.start(servers, special="free").ready()
    verdict = await ledger.settled(servers)
    verdict.check()
    assert verdict.outputs == 100
    assert await worker.stopped() == 0
    ends = await kafka_tools.end_offsets(servers, names.input)
    committed = await kafka_tools.committed_offsets(servers, names.group)
    for partition, end in ends.items():
        last = max(
            int(source.rsplit("/", 1)[1])
            for source in ledger.produced
            if source.split("/")[1] == str(partition.partition)
        )
        # Behind the last record there are only markers: nobody can tell them from records that are still to come.
        assert last < committed[partition] <= end


async def test_what_is_aborted_is_classified_when_the_operator_asks_for_it(
    kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input)
    messages = [review(number) for number in range(20)]
    sent = await kafka_tools.produce(servers, names.input, messages, transactional_id=names.group, abort=True)
    ledger.note(messages, sent)
    await workers.start(servers, special="free", read_committed="false").ready()
    (await ledger.settled(servers)).check()


async def test_an_open_transaction_upstream_holds_nothing_else_back(
    kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, partitions=2)
    producer = AIOKafkaProducer(bootstrap_servers=servers, transactional_id=names.group)
    async with producer:
        await producer.begin_transaction()
        pending = review(1)
        sent = await producer.send_and_wait(names.input, pending.value, pending.key, partition=0)
        await ledger.produce(servers, [Message(b'{"text":"good"}', partition=1) for _ in range(30)])
        worker = await workers.start(servers, special="free").ready()
        (await ledger.settled(servers)).check()
        assert (await worker.get("/healthz"))[0] == 200
        await producer.commit_transaction()
    ledger.note([pending], [sent])
    (await ledger.settled(servers)).check()


async def test_one_poisonous_review_goes_to_the_dead_letters_alone(
    kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers = kafka.bootstrap_servers
    await kafka_tools.create_topics(servers, ledger.names.input, partitions=2)
    messages = [review(number) for number in range(200)]
    messages[57] = Message(b'{"text":"a %s"}' % POISON.encode(), b"key-1", [("trace", b"1")])
    sources = await ledger.produce(servers, messages)
    await workers.start(servers, special="poisoned").ready()
    verdict = await ledger.settled(servers)
    verdict.check()
    _, (letter,) = await ledger.outputs(servers)
    headers = {name: value.decode() for name, value in letter.headers}
    assert headers["reviews_worker.errors.reason"] == "inference_failed"
    assert "/".join(headers[f"__streams.errors.{name}"] for name in ("topic", "partition", "offset")) == sources[57]


async def test_a_large_event_comes_through_whole(kafka: Cluster, workers: Workers, ledger: Ledger) -> None:
    servers = kafka.bootstrap_servers
    await kafka_tools.create_topics(servers, ledger.names.input, config={"max.message.bytes": "3000000"})
    await kafka_tools.create_topics(servers, ledger.names.output, config={"max.message.bytes": "3000000"})
    large = [
        Message(b'{"text":"good","pad":"%s"}' % (b"%d " % number * size)) for number, size in enumerate((10, 450_000))
    ]
    messages = [*large, *map(review, range(20)), *large]
    await ledger.produce(servers, messages)
    await workers.start(servers, special="free", max_output_bytes=2_000_000).ready()
    (await ledger.settled(servers)).check()


CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


async def test_every_codec_is_read_and_written(kafka: Cluster, workers: Workers, ledger: Ledger) -> None:
    servers = kafka.bootstrap_servers
    names = ledger.names
    await kafka_tools.create_topics(servers, names.input, names.dead_letters, partitions=1)
    started = []
    for codec in CODECS:
        # Each writes to a topic of its own, and all read everything.
        topic = f"{names.output}.{codec}"
        await kafka_tools.create_topics(servers, topic)
        settings = {"output_topic": topic, "group": f"{names.group}.{codec}", "compression": codec}
        started.append(workers.start(servers, special="free", **settings))
    for codec in CODECS:
        text = b'{"text":"%s is good"}' % codec.encode()
        await ledger.produce(servers, [Message(text)] * 20, compression=None if codec == "none" else codec)
    await asyncio.gather(*(worker.ready() for worker in started))
    for codec, number in CODECS.items():
        topic = f"{names.output}.{codec}"
        records = await kafka_tools.consume_all(servers, topic, count=20 * len(CODECS))
        ledger.judge(records, []).check()
        assert await codecs_of(servers, topic) == {number}
