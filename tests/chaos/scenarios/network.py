"""The network between one worker and its brokers: cut, slow, one way only, full of resets. Others have a good one."""

from __future__ import annotations

from worker_process import WorkerProcess, eventually

from tests.chaos.proxy import Proxy
from tests.chaos.scenario import scenario
from tests.chaos.stage import IN_FLIGHT, PARTITIONS, SESSION_TIMEOUT_S, UNCOMMITTED, Stage


async def one_behind_a_proxy(stage: Stage) -> tuple[Proxy, WorkerProcess, WorkerProcess]:
    """The proxy, the worker behind it, and another that is not."""
    await stage.create_topics()
    proxy = (await stage.proxies())[1]
    behind, other = stage.start_worker("worker 1", proxied=True), stage.start_worker("worker 2")
    await stage.ready(behind)
    await stage.ready(other)
    await eventually(lambda: share(behind, other), "both have partitions")
    return proxy, behind, other


async def share(*workers: WorkerProcess) -> bool:
    """Whether each of them has partitions, and all are assigned."""
    counts = [await worker.metric("assigned_partitions") for worker in workers]
    return all(counts) and sum(counts) == PARTITIONS


async def work(stage: Stage, *workers: WorkerProcess) -> None:
    """Wait until each of them has published some more."""
    for worker in workers:
        await worker.reaches("events_out_total", await worker.metric("events_out_total") + 100)
    stage.note("network", "work goes on")


def expelled(stage: Stage) -> None:
    """Allow what a worker that the group has given up may repeat, and the rebalances without it and with it."""
    stage.may_repeat(UNCOMMITTED + IN_FLIGHT, "a worker cut off: what it had published and not committed")
    stage.rebalances(2, members=1)


@scenario(alone_with="proxies", short=0.1, deadline_s=900)
async def the_network_is_cut(stage: Stage) -> None:
    """Nothing passes between a worker and the broker, shorter and longer than its session, 10 times."""
    proxy, behind, other = await one_behind_a_proxy(stage)
    async with stage.load(), stage.commits_only_rise():
        await work(stage, behind, other)
        for number in range(stage.times(10)):
            await stage.pause(stage.rng.uniform(0.0, 1.0))
            proxy.cut()
            stage.note("network", "cut")
            expelled(stage)
            if number % 2:
                await stage.pause(stage.rng.uniform(0.2, 0.7 * SESSION_TIMEOUT_S))
            else:
                await other.reaches("assigned_partitions", PARTITIONS)
                stage.note("worker 2", "has all partitions")
                await work(stage, other)
            proxy.heal()
            stage.note("network", "heals")
            await eventually(lambda: share(behind, other), "both have partitions again")
            await work(stage, behind, other)


@scenario(alone_with="proxies", short=0.1, deadline_s=900)
async def answers_are_lost(stage: Stage) -> None:
    """What a worker sends arrives, but the broker's answers do not, and then its connections are reset, 10 times.

    Shorter than a session: the producer sends again, and the broker knows what it has.
    """
    proxy, behind, other = await one_behind_a_proxy(stage)
    async with stage.load(), stage.commits_only_rise():
        await work(stage, behind, other)
        for _ in range(stage.times(10)):
            await stage.pause(stage.rng.uniform(0.0, 1.0))
            proxy.cut(["to_client"])
            stage.note("network", "answers are cut")
            await stage.pause(stage.rng.uniform(0.1, 2.0))
            proxy.reset()
            proxy.heal()
            stage.note("network", "reset, then heals")
            await eventually(lambda: share(behind, other), "both have partitions again")
            await work(stage, behind, other)


@scenario(alone_with="proxies", short=0.05, deadline_s=900)
async def connections_are_reset(stage: Stage) -> None:
    """All connections of a worker end with RST at random moments, 60 times; every third time new ones are refused."""
    proxy, behind, other = await one_behind_a_proxy(stage)
    async with stage.load(), stage.commits_only_rise():
        await work(stage, behind, other)
        for number in range(stage.times(60)):
            await stage.pause(stage.rng.uniform(0.0, 1.0))
            if number % 3 == 2:
                proxy.refuse()
                stage.note("network", "refuses")
                await stage.pause(stage.rng.uniform(0.1, 4.0))
                proxy.heal()
                stage.note("network", "heals")
                expelled(stage)  # 4 s, and the pause since the last heartbeat
            else:
                proxy.reset()
                stage.note("network", "reset")
        await eventually(lambda: share(behind, other), "both have partitions again")
        await work(stage, behind, other)


@scenario(alone_with="proxies", short=0.1)
async def the_network_is_slow(stage: Stage) -> None:
    """A worker's every piece takes 50 to 300 ms more, and little passes in a second, in 10 different degrees."""
    proxy, behind, other = await one_behind_a_proxy(stage)
    async with stage.load(), stage.commits_only_rise():
        await work(stage, behind, other)
        for _ in range(stage.times(10)):
            latency_s, bytes_per_s = stage.rng.uniform(0.05, 0.3), stage.rng.uniform(50_000, 500_000)
            proxy.slow_down(latency_s=latency_s, bytes_per_s=bytes_per_s)
            stage.note("network", f"{1000 * latency_s:.0f} ms more, {bytes_per_s / 1000:.0f} kB/s")
            await work(stage, behind, other)
        proxy.heal()
        stage.note("network", "heals")
        await work(stage, behind, other)
