"""Each row of the table of exit codes on the operations page, by a real process: code, line, and entry in the log."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kafka_tools
import limited_worker
import pytest
from conftest import TopicNames
from kafka_tools import Message
from worker_process import CONSOLE_SCRIPT, SPECIAL, WorkerProcess, Workers

from worker.devkafka import Cluster
from worker.errors import ExitCode

REVIEWS = [Message(b'{"text":"number %d was good"}' % number) for number in range(20)]
BROKEN = [Message(b"no JSON")] * 20


async def nothing(worker: WorkerProcess) -> None: ...


async def stop(worker: WorkerProcess) -> None:
    await worker.ready()
    worker.send(signal.SIGTERM)


async def stop_in_the_middle(worker: WorkerProcess) -> None:
    await worker.ready()
    await worker.reaches("in_flight_reviews", len(REVIEWS))
    worker.send(signal.SIGTERM)


async def stop_twice(worker: WorkerProcess) -> None:
    await stop_in_the_middle(worker)
    await worker.says("signal received")
    worker.send(signal.SIGTERM)


@dataclass(frozen=True)
class Row:
    """What leads to a code."""

    code: ExitCode
    settings: dict[str, Any] = field(default_factory=dict)
    special: str | None = "free"
    events: list[Message] = field(default_factory=list)
    dead_letters: dict[str, str] = field(default_factory=dict)
    """Settings of that topic."""
    variables: dict[str, str] | None = None
    """Of `limited_worker`."""
    then: Callable[[WorkerProcess], Awaitable[None]] = nothing
    says: str = ""
    """A part of the line."""


ROWS = (
    Row(ExitCode.OK, then=stop),
    Row(ExitCode.BUG, special="bug", events=REVIEWS, says="This is a bug: RuntimeError in fault"),
    Row(ExitCode.USAGE, {"fuse_share": 2}, special=None, says="REVIEWS_WORKER_FUSE_SHARE=2"),
    Row(ExitCode.ARTIFACT, {"model": "/nowhere"}, special=None, says="/nowhere"),
    Row(ExitCode.TOPIC, {"create_topics": "false", "input_topic": "no.such.topic"}, says="no.such.topic"),
    Row(ExitCode.UNREACHABLE, {"bootstrap_servers": "dead", "start_timeout_s": 0.3}, says="was not ready within 0.3 s"),
    Row(ExitCode.SESSION, {"retry_attempts": 0}, special="broken", events=REVIEWS, says="the device is gone"),
    Row(ExitCode.FUSE, {"fuse_run_length": 10}, events=BROKEN, says="dead letters"),
    Row(ExitCode.DELIVERY, events=BROKEN, dead_letters={"cleanup.policy": "compact"}, says="dead letter"),
    Row(ExitCode.ACCESS, {"security_protocol": "SSL"}, says="the broker speaks no TLS there"),
    Row(ExitCode.PORT_TAKEN, {"port": "taken"}, says="is in use"),
    Row(
        ExitCode.GRACE_EXCEEDED,
        {"grace_period_s": 0.2},
        special="hanging",
        events=REVIEWS,
        then=stop_in_the_middle,
        says="20 reviews were not finished in 0.2 s",
    ),
    Row(ExitCode.EXHAUSTED, variables={limited_worker.THREADS_VARIABLE: "1"}, says="no more threads can be started"),
    Row(ExitCode.KILLED, special="hanging", events=REVIEWS, then=stop_twice),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.code.name)
async def test_a_worker_says_with_which_code_it_ends_and_why(
    kafka: Cluster, workers: Workers, topic_names: TopicNames, row: Row
) -> None:
    servers = kafka.bootstrap_servers
    await kafka_tools.create_topics(servers, topic_names.input, topic_names.output)
    await kafka_tools.create_topics(servers, topic_names.dead_letters, config=row.dead_letters)
    await kafka_tools.produce(servers, topic_names.input, row.events)
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))  # and nobody listens
        places = {"taken": listener.getsockname()[1], "dead": f"127.0.0.1:{holder.getsockname()[1]}"}
        settings = {name: places.get(value, value) for name, value in row.settings.items()}
        program = Path(limited_worker.__file__) if row.variables else SPECIAL
        servers = settings.pop("bootstrap_servers", servers)
        worker = workers.start(servers, special=row.special, program=program, variables=row.variables, **settings)
        await row.then(worker)
        assert await worker.ended() == row.code
    assert "Traceback" not in "\n".join(worker.errors)
    entries = [json.loads(line) for line in worker.output.splitlines() if '"exit_code"' in line]
    if row.code in (ExitCode.OK, ExitCode.KILLED):
        assert (worker.errors, entries) == ([], [])
        return
    (line,), (entry,) = worker.errors, entries
    assert row.says in line
    assert (entry["level"], entry["exit_code"]) == ("CRITICAL", row.code)
    assert entry["message"].removeprefix("stopping: ") == line.removeprefix("error: ")


def test_a_check_that_finds_something_has_a_line_for_it() -> None:
    command = [str(CONSOLE_SCRIPT), "check", "--bootstrap-servers", "127.0.0.1:1", "--model", "/nowhere", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == ExitCode.CHECK_FAILED
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("failed")] == [
        "broker", "group", "topics", "files", "artifact", "provider",
    ]  # fmt: skip


def test_every_code_has_its_row() -> None:
    assert {row.code for row in ROWS} | {ExitCode.CHECK_FAILED} == set(ExitCode)
