"""Sessions that fail or hang: the process says so, and what was not classified stays where it is."""

from __future__ import annotations

import kafka_tools
from kafka_tools import Message
from ledger import Ledger
from worker_process import Workers, eventually

from worker.devkafka import Cluster
from worker.errors import ExitCode

EVENTS = [Message(b'{"text":"number %d was good"}' % number, b"key-%d" % (number % 8)) for number in range(100)]


async def test_a_session_that_stays_broken_ends_the_worker_and_dead_letters_nothing(
    kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, partitions=2)
    await ledger.produce(servers, EVENTS)
    worker = workers.start(servers, special="broken", retry_attempts=3, retry_backoff_s=0.05)
    assert await worker.ended() == ExitCode.SESSION
    assert "Traceback" not in worker.output
    (line,) = worker.errors
    assert "the session failed 4 times in a row" in line
    assert "the device is gone" in line
    assert len(worker.said("trying again")) == 3
    assert await ledger.outputs(servers) == ([], [])
    assert await kafka_tools.committed_offsets(servers, names.group) == {}
    await workers.start(servers, special="free").ready()
    (await ledger.settled(servers)).check()


async def test_a_stop_while_the_session_fails_does_not_wait_for_all_tries(
    kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, partitions=2)
    await ledger.produce(servers, EVENTS)
    worker = workers.start(servers, special="broken", retry_backoff_s=1000, grace_period_s=1)
    await worker.says("trying again")
    assert await worker.stopped() in (ExitCode.GRACE_EXCEEDED, ExitCode.SESSION)
    assert "Traceback" not in worker.output
    assert await ledger.outputs(servers) == ([], [])
    assert await kafka_tools.committed_offsets(servers, names.group) == {}


async def test_a_session_that_hangs_fails_the_liveness_check_and_is_named_in_the_log(
    kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, partitions=2)
    worker = await workers.start(servers, special="hanging", stall_timeout_s=1).ready()
    assert (await worker.get("/healthz")) == (200, "ok\n")
    await ledger.produce(servers, EVENTS)

    async def problem() -> str:
        status, body = await worker.get("/healthz")
        return body if status == 503 else ""

    assert "the session has computed one batch for" in await eventually(problem, "/healthz fails")
    line = await worker.says("no progress")
    assert line.level == "ERROR"
    assert "the session has computed one batch for" in line.message
    assert (await worker.get("/readyz"))[0] == 503
    assert worker.process.poll() is None
