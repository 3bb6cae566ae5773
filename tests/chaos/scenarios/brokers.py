"""Brokers that are killed, stopped and started again under three workers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import kafka_tools
from worker_process import eventually

from tests.chaos.scenario import scenario
from tests.chaos.stage import UNCOMMITTED, Stage

WORKERS = ("worker 1", "worker 2", "worker 3")
AWAY_S = 9.0
"""Longest that a broker stays away, longer than a session: the group is made anew then."""


def broker_away(stage: Stage) -> None:
    """Allow what a broker that goes away may repeat, if the group gives the partitions to others meanwhile."""
    stage.may_repeat(len(WORKERS) * UNCOMMITTED, "a broker away: what each worker had published and not committed")


@scenario(alone_with="kafka", short=0.05, deadline_s=900)
async def the_broker_restarts(stage: Stage) -> None:
    """The only broker is killed, or stopped, and started again at random moments, 20 times, under load."""
    await stage.create_topics()
    await stage.start_workers(*WORKERS)
    async with stage.load():
        await stage.flows(300)
        for number in range(stage.times(20)):
            await stage.pause(stage.rng.uniform(0.0, 2.0))
            await (stage.stop_broker(1) if number % 2 else stage.kill_broker(1))
            broker_away(stage)
            await stage.pause(stage.rng.uniform(0.0, AWAY_S))
            await stage.start_broker(1)
            await stage.flows(300, deadline_s=90)


@scenario(alone_with="kafka", brokers=3, short=0.34, deadline_s=900)
async def the_cluster_loses_a_leader(stage: Stage) -> None:
    """Of three brokers the one that leads a partition of the output is killed, 3 times; two go on without it."""

    async def leader() -> int:
        return (await kafka_tools.leaders(stage.servers, stage.names.output))[0]

    await loses(stage, leader, times=3)


@scenario(alone_with="kafka", brokers=3, deadline_s=900)
async def the_cluster_loses_a_coordinator(stage: Stage) -> None:
    """Of three brokers the one that coordinates the group is killed, 3 times; two go on without it."""

    async def coordinator() -> int:
        return await kafka_tools.coordinator(stage.servers, stage.names.group)

    await loses(stage, coordinator, times=3)


@scenario(alone_with="kafka", brokers=3, deadline_s=900)
async def the_cluster_loses_one_after_the_other(stage: Stage) -> None:
    """Each of three brokers is stopped, then killed, one at a time, twice around; two go on without it."""
    turns = iter([1, 2, 3] * 2)

    async def next_one() -> int:
        return next(turns)

    await loses(stage, next_one, times=6)


async def loses(stage: Stage, which: Callable[[], Awaitable[int]], *, times: int) -> None:
    """Under load, kill the broker that `which` names; go on without it; bring it back and wait for its replicas."""
    await stage.create_topics()
    await stage.start_workers(*WORKERS)
    async with stage.load():
        await stage.flows(300)
        for number in range(stage.times(times)):
            await stage.pause(stage.rng.uniform(0.0, 2.0))
            victim = await which()
            await (stage.stop_broker(victim) if number % 2 else stage.kill_broker(victim))
            broker_away(stage)
            await stage.flows(600, deadline_s=90)
            await stage.start_broker(victim)
            await eventually(lambda: kafka_tools.all_in_sync(stage.servers), "all replicas are in sync")
            stage.note(f"broker {victim}", "all replicas in sync")
            await stage.flows(300, deadline_s=90)
