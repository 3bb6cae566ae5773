"""Whatever of a worker's background ends, the worker does not go on without it: the process ends, and says why."""

from __future__ import annotations

import json
from pathlib import Path

import failing_worker
import kafka_tools
import pytest
from conftest import TopicNames
from kafka_tools import Message
from worker_process import Gate, Workers, eventually

from worker.devkafka import Cluster
from worker.errors import ExitCode

PROGRAM = Path(failing_worker.__file__)
EVENTS = [Message(b'{"text":"number %d was good"}' % number) for number in range(20)]


@pytest.mark.parametrize("name", failing_worker.ROUTINES)
async def test_a_background_routine_that_raises_ends_the_worker_with_a_reason(
    kafka: Cluster, workers: Workers, topic_names: TopicNames, name: str
) -> None:
    servers = kafka.bootstrap_servers
    await kafka_tools.create_topics(servers, topic_names.input, topic_names.output, topic_names.dead_letters)
    await kafka_tools.produce(servers, topic_names.input, EVENTS)
    worker = workers.start(
        servers,
        special="free",
        program=PROGRAM,
        variables={failing_worker.FAILING_VARIABLE: name},
        **failing_worker.ROUTINES[name].settings,
    )
    assert await worker.ended() == ExitCode.BUG
    (line,) = (line for line in worker.errors if line.startswith("error: "))
    kind = "RuntimeError" if "cancelled" in name else "AttributeError"
    assert f"This is a bug: {kind}" in line
    (entry,) = (json.loads(line) for line in worker.output.splitlines() if '"exit_code"' in line)
    assert (entry["level"], entry["exit_code"]) == ("CRITICAL", ExitCode.BUG)


async def test_a_standstill_is_told_with_all_stacks_of_threads_and_tasks(
    kafka: Cluster, workers: Workers, topic_names: TopicNames, gate: Gate
) -> None:
    servers = kafka.bootstrap_servers
    await kafka_tools.create_topics(servers, topic_names.input)
    worker = workers.start(servers, special="gated", variables=gate.variables, stall_timeout_s=1)
    await worker.ready()
    await kafka_tools.produce(servers, topic_names.input, EVENTS)
    stacks = (await worker.says("where everything stands")).message
    assert "thread MainThread" in stacks
    assert "GatedSession.predict" in stacks, "what hangs is named"
    assert "task batch_routine" in stacks
    assert "Pipeline._next_batch" in stacks, "down to what a task waits for"
    assert "task watch the place in the group" in stacks, "of the consumer's event loop too"
    assert "number 1 was good" not in stacks
    gate.open()
    await worker.says("progress again")
    assert len(worker.said("where everything stands")) == 1


async def test_a_start_that_hangs_fails_the_liveness_check(workers: Workers) -> None:
    worker = workers.start("127.0.0.1:1", special="never-loaded", stall_timeout_s=0.5, start_timeout_s=0.5)

    async def problem() -> str:
        status, body = await worker.get("/healthz")
        return body if status == 503 else ""

    assert "is not over" in await eventually(problem, "/healthz fails")
    assert "special_worker" in (await worker.says("where everything stands")).message
