"""How partitions are shared out where they do not divide evenly."""

from __future__ import annotations

import asyncio

import kafka_tools
from conftest import TopicNames
from kafka_tools import Message
from worker_process import Workers, evenly_shared, eventually

from worker.devkafka import Cluster

PARTITIONS = 6


async def test_no_worker_is_idle_while_another_has_two_partitions_more(
    kafka: Cluster, workers: Workers, topic_names: TopicNames
) -> None:
    servers = kafka.bootstrap_servers
    await kafka_tools.create_topics(servers, topic_names.input, partitions=PARTITIONS)
    three = [workers.start(servers, special="free") for _ in range(3)]
    await asyncio.gather(*(worker.ready() for worker in three))
    fourth = await workers.start(servers, special="free").ready()

    async def shares() -> list[float]:
        return sorted([await worker.metric("assigned_partitions") for worker in (*three, fourth)])

    async def are_even() -> bool:
        return await shares() == [1, 1, 2, 2]

    await eventually(are_even, "four workers have one or two of six partitions each")


async def test_workers_of_one_group_on_two_topics_do_not_mix_them(
    kafka: Cluster, workers: Workers, topic_names: TopicNames
) -> None:
    servers = kafka.bootstrap_servers
    topics = {f"{topic_names.input}.{name}": f"{topic_names.output}.{name}" for name in ("films", "books")}
    await kafka_tools.create_topics(servers, *topics, partitions=2)
    for topic, output in topics.items():
        messages = [Message(b'{"text":"good"}', partition=number % 2) for number in range(50)]
        await kafka_tools.produce(servers, topic, messages)
        workers.start(servers, special="free", input_topic=topic, output_topic=output)
    await asyncio.gather(*(worker.ready() for worker in workers.started))
    for topic, output in topics.items():
        records = await kafka_tools.consume_all(servers, output, count=50)
        sources = {dict(record.headers)["source"].decode() for record in records}
        assert sources == {f"{topic}/{partition}/{offset}" for partition in (0, 1) for offset in range(25)}
    await evenly_shared(2 * len(workers.started), *workers.started)
    assert [await worker.stopped() for worker in workers.started] == [0, 0]
    stored = await kafka_tools.committed_offsets(servers, topic_names.group)
    assert sorted(stored.values()) == [25, 25, 25, 25]
