"""Workers that are killed, or stopped in order, and started again, under load."""

from __future__ import annotations

from tests.chaos.scenario import scenario
from tests.chaos.stage import SESSION_TIMEOUT_S, Stage

WORKERS = ("worker 1", "worker 2", "worker 3")
TIMES = 100
BETWEEN_S = 1.0
"""Mean pause before the next blow."""


@scenario(short=0.04, deadline_s=2400)
async def kills(stage: Stage) -> None:
    """SIGKILL of one of three workers at random moments, 100 times, each started again at once, under load."""
    await stage.create_topics()
    workers = await stage.start_workers(*WORKERS)
    async with stage.load():
        await stage.flows()
        for _ in range(stage.times(TIMES)):
            await stage.pause(stage.rng.uniform(0.0, 2 * BETWEEN_S))
            victim = stage.rng.randrange(len(workers))
            stage.kill(workers[victim])
            stage.rebalances(2, members=len(workers) - 1)
            workers[victim] = stage.start_worker(WORKERS[victim])
            await stage.flows(200, deadline_s=SESSION_TIMEOUT_S + 60)


@scenario(short=0.03, deadline_s=2400)
async def rolling_restarts(stage: Stage) -> None:
    """SIGTERM of one of three workers after the other, 100 times, each started again and waited for, under load."""
    await stage.create_topics()
    workers = await stage.start_workers(*WORKERS)
    async with stage.load():
        await stage.flows()
        for number in range(stage.times(TIMES)):
            await stage.pause(stage.rng.uniform(0.0, BETWEEN_S))
            turn = number % len(workers)
            await stage.stop(workers[turn])
            workers[turn] = await stage.ready(stage.start_worker(WORKERS[turn]))
            stage.rebalances(2, members=len(workers) - 1)
            await stage.flows(200)
