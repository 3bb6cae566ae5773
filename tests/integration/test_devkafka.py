"""A real broker of our own: what clients need from it, and that it never outlives its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import kafka_tools
import pytest
from kafka_tools import Message

from worker.devkafka import Cluster, DevKafkaError, kafka_cluster, readiness

REPOSITORY = Path(__file__).parents[2]
SPARE_TIME_S = 60


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_every_codec_comes_through_unchanged(kafka: Cluster, topic_names, codec: str) -> None:
    await kafka_tools.create_topics(kafka.bootstrap_servers, topic_names.input, config={"compression.type": "gzip"})
    values = [f"review {number} ".encode() * 50 for number in range(200)]
    # The topic's own codec is another one, so the broker itself has to unpack what it was sent.
    await kafka_tools.create_topics(kafka.bootstrap_servers, topic_names.output, config={"compression.type": "lz4"})
    for topic in (topic_names.input, topic_names.output):
        await kafka_tools.produce(kafka.bootstrap_servers, topic, values, compression=codec)
        records = await kafka_tools.consume_all(kafka.bootstrap_servers, topic, count=len(values))
        assert [record.value for record in records] == values


async def test_key_headers_timestamp_and_partition_are_kept(kafka: Cluster, topic_names) -> None:
    await kafka_tools.create_topics(kafka.bootstrap_servers, topic_names.input, partitions=3)
    message = Message(b"{}", b"key", [("trace", b"1"), ("trace", b"2")], timestamp_ms=1_700_000_000_123, partition=2)
    await kafka_tools.produce(kafka.bootstrap_servers, topic_names.input, [message])
    (record,) = await kafka_tools.consume_all(kafka.bootstrap_servers, topic_names.input)
    assert (record.key, record.value, record.timestamp) == (message.key, message.value, message.timestamp_ms)
    assert (record.partition, list(record.headers)) == (2, list(message.headers))


async def test_read_committed_leaves_an_aborted_transaction_out(kafka: Cluster, topic_names) -> None:
    servers, topic, identity = kafka.bootstrap_servers, topic_names.input, topic_names.group
    await kafka_tools.create_topics(servers, topic)
    await kafka_tools.produce(servers, topic, [b"aborted"], transactional_id=identity, abort=True)
    await kafka_tools.produce(servers, topic, [b"committed"], transactional_id=identity)
    committed = await kafka_tools.consume_all(servers, topic, read_committed=True)
    everything = await kafka_tools.consume_all(servers, topic, count=2)
    assert [record.value for record in committed] == [b"committed"]
    assert [record.value for record in everything] == [b"aborted", b"committed"]


async def test_a_deadline_says_what_was_seen(kafka: Cluster, topic_names) -> None:
    await kafka_tools.create_topics(kafka.bootstrap_servers, topic_names.input)
    await kafka_tools.produce(kafka.bootstrap_servers, topic_names.input, [b"the only one"])
    with pytest.raises(AssertionError, match=r"2 records within 1 s; seen: 1 records .*the only one"):
        await kafka_tools.consume_all(kafka.bootstrap_servers, topic_names.input, count=2, deadline_s=1)


async def test_a_group_without_commits_has_no_offsets(kafka: Cluster, topic_names) -> None:
    assert await kafka_tools.committed_offsets(kafka.bootstrap_servers, topic_names.group) == {}


async def test_data_survive_the_kill_of_the_only_broker(topic_names) -> None:
    topic = topic_names.input
    with kafka_cluster(kind="local") as cluster:
        servers, killed = cluster.bootstrap_servers, cluster.pids[1]
        await kafka_tools.create_topics(servers, topic)
        await kafka_tools.produce(servers, topic, [b"before the kill"])
        cluster.kill_broker(1)
        assert cluster.pids == {}
        cluster.start_broker(1)
        assert cluster.bootstrap_servers == servers
        assert cluster.pids[1] != killed
        await kafka_tools.produce(servers, topic, [b"after it"])
        records = await kafka_tools.consume_all(servers, topic, count=2)
    assert [record.value for record in records] == [b"before the kill", b"after it"]
    assert not cluster.folder.exists()


async def test_three_brokers_take_writes_while_one_of_them_is_away(topic_names) -> None:
    topic = topic_names.input
    with kafka_cluster(3, kind="local") as cluster:
        servers = cluster.bootstrap_servers
        await kafka_tools.create_topics(servers, topic, partitions=3)
        cluster.kill_broker(2)
        values = [b"%d" % number for number in range(9)]
        messages = [Message(value, partition=number % 3) for number, value in enumerate(values)]
        await kafka_tools.produce(servers, topic, messages)
        cluster.start_broker(2)
        cluster.stop_broker(1)
        cluster.wait_ready()
        records = await kafka_tools.consume_all(servers, topic, count=len(values))
    assert sorted(record.value for record in records) == values


def test_a_broker_that_cannot_start_shows_its_log() -> None:
    with (
        pytest.raises(DevKafkaError, match="the end of its log") as raised,
        kafka_cluster(kind="local", properties={"log.retention.ms": "for ever"}),
    ):
        pass
    assert "Invalid value for ever for configuration log.retention.ms" in str(raised.value)
    assert "127.0.0.1" in str(raised.value)


OWNER = """
import signal
from worker.devkafka import kafka_cluster
with kafka_cluster(kind="local") as cluster:
    print(cluster.bootstrap_servers, flush=True)
    signal.pause()
"""


@pytest.mark.parametrize(
    ("arguments", "number", "exit_code"),
    [
        pytest.param(["-c", OWNER], signal.SIGKILL, -signal.SIGKILL, id="killed"),
        pytest.param(["-m", "worker.devkafka", "--local"], signal.SIGTERM, 0, id="command"),
    ],
)
def test_no_broker_outlives_its_owner(
    arguments: list[str], number: signal.Signals, exit_code: int, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as owner:
        servers = owner.stdout.readline().strip()
        assert readiness.port_is_open(servers)
        assert len(list(tmp_path.iterdir())) == 1
        owner.send_signal(number)
        # Whoever cleans up after the owner holds its standard error open until all is done.
        owner.communicate(timeout=SPARE_TIME_S)
    assert owner.returncode == exit_code
    assert not readiness.port_is_open(servers)
    assert list(tmp_path.iterdir()) == []
