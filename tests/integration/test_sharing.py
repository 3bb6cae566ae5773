"""How partitions are shared out where they do not divide evenly."""

from __future__ import annotations

import asyncio

import kafka_tools
from conftest import TopicNames
from worker_process import Workers, eventually

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
