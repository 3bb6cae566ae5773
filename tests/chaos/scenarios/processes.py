"""Workers that are killed and restarted, under load."""

from __future__ import annotations

from tests.chaos.scenario import scenario
from tests.chaos.stage import IN_FLIGHT, SESSION_TIMEOUT_S, Stage

WORKERS = ("worker 1", "worker 2", "worker 3")
KILLS = 100
BETWEEN_S = 1.0


@scenario(short=0.04, deadline_s=1800)
async def kills(stage: Stage) -> None:
    """SIGKILL of one of three workers at random moments, 100 times, each started again at once, under load."""
    await stage.create_topics()
    workers = await stage.start_workers(*WORKERS)
    async with stage.load():
        await stage.flows()
        for _ in range(stage.times(KILLS)):
            await stage.pause(stage.rng.uniform(0.0, 2 * BETWEEN_S))
            victim = stage.rng.randrange(len(workers))
            stage.kill(workers[victim])
            stage.may_repeat(2 * 2 * IN_FLIGHT, "a rebalance twice for each of the two others: groups under way")
            workers[victim] = stage.start_worker(WORKERS[victim])
            await stage.flows(200, deadline_s=SESSION_TIMEOUT_S + 60)
