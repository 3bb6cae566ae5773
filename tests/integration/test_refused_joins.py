"""Brokers that do not take a worker as a member of its group, and what they say about it beforehand."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator

import pytest
from conftest import TopicNames
from worker_process import CONSOLE_SCRIPT, WorkerProcess, Workers

from worker.devkafka import Cluster, kafka_cluster
from worker.errors import ExitCode

ALLOWED = "the broker allows from 1 to 1800 s"


@pytest.fixture(scope="module")
def small_groups() -> Iterator[Cluster]:
    """A broker that takes one member into a group."""
    with kafka_cluster(kind="local", properties={"group.max.size": "1"}) as cluster:
        yield cluster


async def checked(servers: str, group: str, *options: str) -> str:
    """What `check` says of the group."""
    command = [CONSOLE_SCRIPT, "check", "--bootstrap-servers", servers, "--group", group, "--port", "0", *options]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=120)
    return next(line for line in done.stdout.splitlines() if line.split()[1] == "group")


def the_line(worker: WorkerProcess) -> str:
    (line,) = worker.errors
    return line


async def test_a_session_that_the_broker_does_not_allow_is_one_line_with_the_settings_to_change(
    kafka: Cluster, workers: Workers, topic_names: TopicNames
) -> None:
    servers = kafka.bootstrap_servers
    worker = workers.start(servers, special="free", session_timeout_s=3600)
    assert await worker.ended() == ExitCode.USAGE
    for part in ("session_timeout_s is 3600", ALLOWED, "group.max.session.timeout.ms"):
        assert part in the_line(worker)
    found = await checked(servers, topic_names.group, "--session-timeout-s", "3600")
    assert found.startswith("failed")
    assert ALLOWED in found
    assert (await checked(servers, topic_names.group)).startswith("ok")


async def test_a_group_that_is_full_is_one_line_with_the_setting_to_change(
    small_groups: Cluster, workers: Workers, topic_names: TopicNames
) -> None:
    servers = small_groups.bootstrap_servers
    assert (await checked(servers, topic_names.group)).startswith("ok")
    member = await workers.start(servers, special="free").ready()
    refused = workers.start(servers, special="free")
    assert await refused.ended() == ExitCode.ACCESS
    assert "group.max.size" in the_line(refused)
    found = await checked(servers, topic_names.group)
    assert found.startswith("failed")
    assert "group.max.size" in found
    assert await member.metric("rebalances_total") == 1
    assert await member.stopped() == ExitCode.OK
