"""What runs out on this machine is not taken for a broker that is away: the process ends and says what to raise."""

from __future__ import annotations

import asyncio
from pathlib import Path

import kafka_tools
import limited_worker
import pytest
from conftest import TopicNames
from kafka_tools import Message
from ledger import Ledger
from worker_process import WorkerProcess, Workers

from worker.devkafka import Cluster
from worker.errors import ExitCode
from worker.exhaustion import OWN_FILES

PROGRAM = Path(limited_worker.__file__)
PARTITIONS = 60
FEW_FILES = 70
EVENTS = [Message(b'{"text":"number %d was good"}' % number, partition=number % PARTITIONS) for number in range(120)]


def limited(workers: Workers, kafka: Cluster, files: int, soft: int | None = None, **settings: object) -> WorkerProcess:
    variables = {limited_worker.FILES_VARIABLE: str(files), limited_worker.SOFT_VARIABLE: str(soft or files)}
    return workers.start(
        kafka.bootstrap_servers,
        special="free",
        program=PROGRAM,
        variables=variables,
        processing_guarantee="exactly_once",
        **{"topic_partitions": PARTITIONS, **settings},
    )


def one_line(worker: WorkerProcess) -> str:
    (line,) = (line for line in worker.errors if line.startswith("error: "))
    return line


async def test_connections_that_run_out_end_the_worker_with_the_limit_to_raise(
    kafka: Cluster, workers: Workers
) -> None:
    worker = limited(workers, kafka, FEW_FILES)
    assert await worker.ended() == ExitCode.EXHAUSTED
    assert f"as many files and connections open as it may ({FEW_FILES})" in one_line(worker)
    assert worker.said("needs up to", f"may open {FEW_FILES}"), "it was warned of before"


async def test_a_health_port_that_can_accept_nothing_ends_the_worker(kafka: Cluster, workers: Workers) -> None:
    worker = await limited(workers, kafka, FEW_FILES, topic_partitions=1).ready()
    host, _, port = worker.url.removeprefix("http://").partition(":")
    held = [await asyncio.open_connection(host, int(port)) for _ in range(FEW_FILES)]
    assert await worker.ended() == ExitCode.EXHAUSTED
    assert f"({FEW_FILES})" in one_line(worker)
    for _, writer in held:
        writer.close()


async def test_the_soft_limit_is_raised_and_a_producer_has_one_connection_for_each_broker(
    kafka: Cluster, workers: Workers, ledger: Ledger, topic_names: TopicNames
) -> None:
    await kafka_tools.create_topics(kafka.bootstrap_servers, topic_names.input, partitions=PARTITIONS)
    await ledger.produce(kafka.bootstrap_servers, EVENTS)
    worker = limited(workers, kafka, OWN_FILES + 3 * PARTITIONS, soft=50)
    await worker.ready()
    (await ledger.settled(kafka.bootstrap_servers)).check()
    assert worker.open_files() < OWN_FILES + PARTITIONS
    assert await worker.stopped() == ExitCode.OK


@pytest.mark.parametrize("left", [1, 4, 5])
async def test_threads_that_cannot_be_started_end_the_worker(
    kafka: Cluster, workers: Workers, topic_names: TopicNames, left: int
) -> None:
    await kafka_tools.create_topics(kafka.bootstrap_servers, topic_names.input, partitions=PARTITIONS)
    await kafka_tools.produce(kafka.bootstrap_servers, topic_names.input, EVENTS)
    variables = {limited_worker.THREADS_VARIABLE: str(left)}
    worker = workers.start(kafka.bootstrap_servers, special="free", program=PROGRAM, variables=variables)
    assert await worker.ended() == ExitCode.EXHAUSTED
    assert "no more threads can be started here" in one_line(worker)
