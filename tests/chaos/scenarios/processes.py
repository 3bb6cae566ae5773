"""Workers that are killed, or stopped in order, and started again, under load; with static membership and without."""

from __future__ import annotations

from worker_process import WorkerProcess

from tests.chaos.scenario import scenario
from tests.chaos.stage import SESSION_TIMEOUT_S, Stage, instance

WORKERS = ("worker 1", "worker 2", "worker 3")
TIMES = 100
BETWEEN_S = 1.0
"""Mean pause before the next blow."""


@scenario(short=0.03, deadline_s=2400)
async def kills(stage: Stage) -> None:
    """SIGKILL of one of three workers at random moments, 100 times, each started again at once, under load."""
    await kill_at_random(stage, static=False)


@scenario(deadline_s=2400)
async def kills_static(stage: Stage) -> None:
    """The same with static membership: who comes back in time has its partitions again, without a rebalance."""
    await kill_at_random(stage, static=True)


@scenario(deadline_s=2400)
async def rolling_restarts(stage: Stage) -> None:
    """SIGTERM of one of three workers after the other, 100 times, each started again and waited for, under load."""
    await roll(stage, static=False)


@scenario(deadline_s=2400)
async def rolling_restarts_static(stage: Stage) -> None:
    """The same with static membership: no rebalance, so nothing at all is repeated."""
    await roll(stage, static=True)


async def all_started(stage: Stage, *, static: bool) -> list[WorkerProcess]:
    """Topics, and the workers, ready."""
    await stage.create_topics()
    workers = [stage.start_worker(name, **instance(name, static)) for name in WORKERS]
    return [await stage.ready(worker) for worker in workers]


async def kill_at_random(stage: Stage, *, static: bool) -> None:
    """Kill one, start it again, wait until work goes on."""
    workers = await all_started(stage, static=static)
    async with stage.load():
        await stage.flows()
        for _ in range(stage.times(TIMES)):
            await stage.pause(stage.rng.uniform(0.0, 2 * BETWEEN_S))
            victim = stage.rng.randrange(len(workers))
            stage.kill(workers[victim])
            stage.rebalances(2, members=len(workers) - 1)
            workers[victim] = stage.start_worker(WORKERS[victim], **instance(WORKERS[victim], static))
            await stage.flows(200, deadline_s=SESSION_TIMEOUT_S + 60)


async def roll(stage: Stage, *, static: bool) -> None:
    """Stop one in order, start it again, wait until it is ready and work goes on."""
    workers = await all_started(stage, static=static)
    async with stage.load():
        await stage.flows()
        for number in range(stage.times(TIMES)):
            await stage.pause(stage.rng.uniform(0.0, BETWEEN_S))
            turn = number % len(workers)
            await stage.stop(workers[turn])
            workers[turn] = await stage.ready(stage.start_worker(WORKERS[turn], **instance(WORKERS[turn], static)))
            if not static:
                stage.rebalances(2, members=len(workers) - 1)
            await stage.flows(200)
