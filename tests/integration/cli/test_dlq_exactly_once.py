"""A replay that is killed, stopped or overtaken sends each event once all the same; and loops end."""

from __future__ import annotations

import asyncio
import functools
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from conftest import TopicNames
from dead_letters import event, message
from dlq_shell import DlqShell
from kafka_tools import Message, consume_all, create_topics, produce
from worker_process import DEADLINE_S, Workers

from worker.devkafka import Cluster
from worker.replay.letters import HOPS_HEADER
from worker.replay.replay import MOST_LETTERS

LETTERS = 24 * MOST_LETTERS
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def shell(kafka: Cluster, topic_names: TopicNames) -> DlqShell:
    return DlqShell(kafka, topic_names)


@pytest.fixture
def full(shell: DlqShell) -> DlqShell:
    """A topic of many transactions' worth of letters, and one for the notes that is there from the start."""
    letters = []
    for number in range(LETTERS):
        record = event(
            f"{shell.names.input}/{number % 2}/{number}", key=b"%d" % number, timestamp_ms=time.time_ns() // 1_000_000
        )
        letters.append(message(record, partition=number % 2))
    shell.put(*letters)
    asyncio.run(create_topics(shell.servers, shell.notes, config={"retention.ms": "-1"}))
    return shell


@pytest.fixture
def start(full: DlqShell) -> Iterator[Start]:
    """Starts replays in processes of their own, all of which are gone when the test ends."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        processes.append(full.start("replay", *arguments))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


async def stopped_midway(shell: DlqShell, process: subprocess.Popen[bytes], notes: int) -> None:
    """Stop a process (it goes on at SIGCONT) as soon as there are `notes` notes in all; it must not have ended."""
    consumer = AIOKafkaConsumer(bootstrap_servers=shell.servers, isolation_level="read_committed", fetch_max_wait_ms=50)
    place, seen = TopicPartition(shell.notes, 0), 0
    async with consumer, asyncio.timeout(DEADLINE_S):
        consumer.assign([place])
        consumer.seek(place, 0)
        while seen < notes:
            assert process.poll() is None, process.communicate()[0]
            seen += len((await consumer.getmany(place, timeout_ms=200)).get(place, ()))
        process.send_signal(signal.SIGSTOP)
    assert process.poll() is None, "the replay was faster than the test; give it more letters"


def each_once(shell: DlqShell) -> None:
    """Every letter was sent, once, in the order of its partition."""
    sent = shell.sent()
    for partition in (0, 1):
        numbers = [int(record.key) for record in sent if record.partition == partition]
        assert numbers == list(range(partition, LETTERS, 2))
    assert all(record.headers == ((HOPS_HEADER, b"1"),) for record in sent)


def test_a_replay_that_is_killed_again_and_again_sends_each_event_once(full: DlqShell, start: Start) -> None:
    for notes in (2, 6):
        process = start()
        asyncio.run(stopped_midway(full, process, notes))
        process.kill()
        process.wait()
    last = full.replay()
    assert 0 < last["replayed"] <= LETTERS - 6 * MOST_LETTERS
    each_once(full)
    assert full.replay()["replayed"] == 0


def test_of_two_replays_the_later_goes_on_and_the_earlier_ends_and_each_event_is_sent_once(
    full: DlqShell, start: Start
) -> None:
    earlier = start()
    asyncio.run(stopped_midway(full, earlier, 2))
    later = full.replay()
    assert later["replayed"] < LETTERS
    earlier.send_signal(signal.SIGCONT)
    output = earlier.communicate(timeout=DEADLINE_S)[0].decode()
    assert earlier.returncode == 8, output
    assert "error: another replay of the same dead letters has taken over" in output
    assert "Traceback" not in output
    (result,) = (orjson.loads(line) for line in output.splitlines() if line.startswith("{"))
    assert result["replayed"] + later["replayed"] == LETTERS
    each_once(full)


def test_an_interrupted_replay_says_how_far_it_came_and_the_next_goes_on_behind_it(
    full: DlqShell, start: Start
) -> None:
    process = start()
    asyncio.run(stopped_midway(full, process, 2))
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    output = process.communicate(timeout=DEADLINE_S)[0].decode()
    assert process.returncode == 130, output
    result = orjson.loads(output)
    sent = len(full.sent())
    assert 2 * MOST_LETTERS <= sent < LETTERS
    assert sent - result["replayed"] in (0, MOST_LETTERS)  # of the last transaction nobody may have heard the end
    assert full.replay()["replayed"] == LETTERS - sent
    each_once(full)


async def test_an_event_that_is_repaired_is_classified_and_one_that_fails_again_and_again_is_left_in_the_end(
    shell: DlqShell, workers: Workers
) -> None:
    replay = functools.partial(asyncio.to_thread, shell.replay)
    names = shell.names
    events = [
        Message(b'{"body": "I really liked that movie!"}', b"repaired", (("trace", b"a"),), partition=1),
        Message(b"not JSON", b"hopeless", (("trace", b"b"),), partition=1),
    ]
    wrong = workers.start(shell.servers, special="free")
    await wrong.ready()
    await produce(shell.servers, names.input, events)
    await consume_all(shell.servers, names.dead_letters, count=2)
    assert await wrong.stopped() == 0

    right = workers.start(shell.servers, special="free", text_field="body")
    await right.ready()
    assert (await replay())["replayed"] == 2
    for hops in (1, 2, 3):
        dead = await consume_all(shell.servers, names.dead_letters, count=2 + hops)
        latest = max((record for record in dead if record.key == b"hopeless"), key=lambda record: record.offset)
        assert latest.headers[:2] == (("trace", b"b"), (HOPS_HEADER, str(hops).encode()))
        assert latest.value == b"not JSON"
        result = await replay()
        assert (result["replayed"], result["left"]) == ((1, {}) if hops < 3 else (0, {"hops": 1}))
    (classified,) = await consume_all(shell.servers, names.output, count=1)
    assert classified.key == b"repaired"
    assert classified.headers[:2] == (("trace", b"a"), (HOPS_HEADER, b"1"))
    assert await right.stopped() == 0
