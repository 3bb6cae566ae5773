"""One damaged batch: its partition waits and says so, all others go on, and a command leads past it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import kafka_tools
import pytest
import segment_files
from aiokafka import TopicPartition
from conftest import TopicNames
from kafka_tools import Message
from ledger import Ledger
from segment_files import Damage
from worker_process import CONSOLE_SCRIPT, Workers

from worker.devkafka import kafka_cluster
from worker.devkafka.local import LocalCluster
from worker.errors import ExitCode

IN_A_BATCH = 10
BATCHES = 4
DAMAGED = 2
FIRST, END = DAMAGED * IN_A_BATCH, (DAMAGED + 1) * IN_A_BATCH


@pytest.fixture(scope="module")
def kafka() -> Iterator[LocalCluster]:
    """Brokers whose files can be reached."""
    with kafka_cluster(kind="local") as cluster:
        yield cluster


def review(number: int, partition: int = 0) -> Message:
    value = b'{"review_id":%d,"text":"number %d was good"}' % (number, number)
    return Message(value, b"key-%d" % number, partition=partition)


async def fill(kafka: LocalCluster, ledger: Ledger, codec: str | None = None) -> None:
    """Four batches in partition 0, and as many reviews in partition 1."""
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, names.output, names.dead_letters, partitions=2)
    for start in range(0, BATCHES * IN_A_BATCH, IN_A_BATCH):
        await ledger.produce(servers, map(review, range(start, start + IN_A_BATCH)), compression=codec)
    stored = segment_files.batches(kafka, names.input)
    assert [batch.base_offset for batch in stored] == [number * IN_A_BATCH for number in range(BATCHES)]
    await ledger.produce(servers, (review(1000 + number, 1) for number in range(BATCHES * IN_A_BATCH)))


def damage(kafka: LocalCluster, names: TopicNames, how: Damage, number: int = DAMAGED) -> bytes:
    """Damage one batch; answers what it was."""
    batch = segment_files.batches(kafka, names.input)[number]
    before = bytes(batch.data)
    how(batch)
    batch.write()
    return before


def ours(*arguments: str) -> subprocess.CompletedProcess[str]:
    """One of our commands, run to its end."""
    return subprocess.run([CONSOLE_SCRIPT, *arguments], capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize(
    ("guarantee", "how", "codec", "reason"),
    [
        ("at_least_once", segment_files.flip_a_bit, None, "its checksum is wrong"),
        ("exactly_once", segment_files.garble, "zstd", "what it holds cannot be unpacked"),
    ],
)
async def test_its_partition_waits_the_others_go_on_and_a_command_leads_past_it(
    guarantee: str, how: Damage, codec: str | None, reason: str, kafka: LocalCluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    await fill(kafka, ledger, codec)
    damage(kafka, names, how)
    behind = [f"{names.input}/0/{offset}" for offset in range(FIRST, BATCHES * IN_A_BATCH)]
    ledger.optional.update(behind)
    worker = await workers.start(servers, special="free", processing_guarantee=guarantee).ready()
    await worker.reaches("damaged_offset{partition=0}", FIRST)
    await worker.reaches("events_out_total", len(ledger.produced) - len(behind))
    (await ledger.settled(servers)).check()
    assert await worker.metric("lag{partition=0}") == len(behind)
    line = await worker.says(f"{names.input}/0 cannot be read at offset {FIRST}, up to {END - 1}: {reason}")
    assert line.level == "ERROR"
    told = f"--bootstrap-servers {servers} --group {names.group} --input-topic {names.input} {names.input}/0/{FIRST}"
    assert f"reviews-worker skip {told}`" in line.message
    assert [await worker.get("/healthz"), await worker.get("/readyz")] == [(200, "ok\n")] * 2

    skip = ("skip", f"{names.input}/0/{FIRST}", "--group", names.group, "--bootstrap-servers", servers)
    refused = ours(*skip)
    assert (refused.returncode, refused.stdout) == (ExitCode.USAGE, "")
    assert f"group {names.group} has members" in refused.stderr
    assert await worker.stopped() == ExitCode.OK
    assert "Traceback" not in worker.output

    expected = {"topic": names.input, "partition": 0, "first": FIRST, "until": END, "offsets": IN_A_BATCH}
    for option in (["--dry-run"], []):
        before = await kafka_tools.stable_offsets(servers, names.group, names.input)
        assert before[TopicPartition(names.input, 0)] == FIRST
        done = ours(*skip, *option)
        assert (done.returncode, done.stderr) == (ExitCode.OK, "")
        assert json.loads(done.stdout).items() >= {**expected, "dry_run": bool(option)}.items()
    again = ours(*skip)
    assert again.returncode == ExitCode.USAGE
    assert f"{names.input}/0/{END} can be read" in again.stderr

    for source in behind:
        ledger.optional.discard(source)
        if int(source.rpartition("/")[2]) < END:
            del ledger.produced[source]
    worker = await workers.start(servers, special="free", processing_guarantee=guarantee).ready()
    (await ledger.settled(servers)).check()
    assert await worker.metric("damaged_offset{partition=0}") == 0
    assert await worker.stopped() == ExitCode.OK


async def test_a_partition_goes_on_by_itself_when_the_damage_has_passed(
    kafka: LocalCluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    await fill(kafka, ledger)
    before = damage(kafka, names, segment_files.outdate)
    worker = await workers.start(servers, special="free").ready()
    await worker.reaches("damaged_offset{partition=0}", FIRST)
    at = ("--bootstrap-servers", servers)
    for command in (
        ("consume", "--from-beginning", "--output-topic", names.input, *at),
        ("dlq", "list", "--dead-letter-topic", names.input, *at),
    ):
        failed = ours(*command)
        assert failed.returncode == ExitCode.TOPIC
        assert failed.stderr.startswith(f"error: {names.input}/0 cannot be read at offset {FIRST}: ")
        assert failed.stderr.count("\n") == 1

    def repair(batch: segment_files.StoredBatch) -> None:
        batch.data[:] = before

    damage(kafka, names, repair)
    (await ledger.settled(servers)).check()
    await worker.says(f"{names.input}/0 can be read again at offset {FIRST}")
    assert await worker.stopped() == ExitCode.OK
