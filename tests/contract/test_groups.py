"""Several workers of one group."""

from __future__ import annotations

import pytest
from contract.reviews import numbers, reviews
from contract.world import Out, World, by_partition
from fakes import FakeSession

from worker.errors import ExitCode


def check_order(outputs: list[Out]) -> None:
    """The first output of each review comes in input order; repeats may follow."""
    for partition, of_partition in by_partition(outputs).items():
        first = list(dict.fromkeys(output.source for output in of_partition))
        assert first == sorted(first), f"partition {partition} is out of order"


async def test_two_workers_share_the_partitions_while_one_joins_and_one_leaves(world: World) -> None:
    await world.create_topics(partitions=4)
    await world.produce(reviews(200, partitions=4))
    first = world.worker()
    await first.until_assigned(4)
    second = world.worker()
    await first.until_assigned(2)
    await second.until_assigned(2)
    await world.produce(reviews(200, partitions=4, first=200))
    await world.until_committed(dict.fromkeys(range(4), 100))
    assert second.metric("events_out_total") > 0
    assert await first.stop() is ExitCode.OK
    await second.until_assigned(4)
    await world.produce(reviews(200, partitions=4, first=400))
    await world.until_committed(dict.fromkeys(range(4), 150))
    assert await second.stop() is ExitCode.OK
    outputs = await world.outputs()
    check_order(outputs)
    assert {output.source for output in outputs} == {(part, offset) for part in range(4) for offset in range(150)}
    assert set(numbers(outputs)) == set(range(600))


async def test_a_rebalance_drops_the_work_of_the_old_assignment_and_nothing_is_lost(world: World) -> None:
    await world.create_topics(partitions=2)
    session = FakeSession()
    session.hold()
    await world.produce(reviews(100, partitions=2))
    first = world.worker(session)
    await first.until(lambda: first.metric("events_in_total") == 100, "all records read")
    await first.until_computing()
    second = world.worker()
    await first.until_assigned(1)
    await second.until_assigned(1)
    assert first.metric("stale_events_total") >= 100
    session.release()
    await world.until_committed({0: 50, 1: 50})
    assert (await first.stop(), await second.stop()) == (ExitCode.OK, ExitCode.OK)
    outputs = await world.outputs()
    check_order(outputs)
    assert {output.source for output in outputs} == {(part, offset) for part in range(2) for offset in range(50)}


# Exactly once commits in the transaction that publishes.
@pytest.mark.parametrize("world", ["fake", "kafka"], indirect=True)
async def test_what_is_acknowledged_is_committed_before_a_rebalance(world: World) -> None:
    await world.create_topics(partitions=2)
    await world.produce(reviews(60, partitions=2))
    first = world.worker(commit_interval_s=3600.0)
    await world.outputs(60)
    await first.until(lambda: first.metric("in_flight_reviews") == 0, "all acknowledged")
    assert await world.committed() == {}
    second = world.worker(commit_interval_s=3600.0)
    await second.until_assigned(1)
    assert await world.check_commits() == {0: 30, 1: 30}
    assert (await first.stop(), await second.stop()) == (ExitCode.OK, ExitCode.OK)
    assert len(await world.outputs()) == 60


async def test_a_worker_without_partitions_waits_and_takes_over(world: World) -> None:
    await world.create_topics()
    first = world.worker()
    await first.until_assigned(1)
    second = world.worker()
    await second.until(lambda: first.assigned + second.assigned == 1 and second.metric("rebalances_total") >= 1)
    await world.produce(reviews(20))
    await world.until_committed({0: 20})
    owner, idle = (first, second) if first.assigned else (second, first)
    assert await owner.stop() is ExitCode.OK
    await idle.until_assigned(1)
    await world.produce(reviews(20, first=20))
    await world.until_committed({0: 40})
    assert await idle.stop() is ExitCode.OK
    assert numbers(await world.outputs()) == list(range(40))
