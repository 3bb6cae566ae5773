"""The broker goes away while reviews are in flight, and comes back."""

from __future__ import annotations

from contract.reviews import numbers, reviews
from contract.test_groups import check_order
from contract.world import World
from fakes import FakeSession

from worker.errors import ExitCode


async def test_a_worker_outlives_its_broker_and_loses_nothing(breakable_world: World) -> None:
    world = breakable_world
    await world.create_topics(partitions=2)
    session = FakeSession()
    worker = world.worker(session)
    await world.produce(reviews(40, partitions=2))
    await world.until_committed({0: 20, 1: 20})
    session.hold()
    await world.produce(reviews(40, partitions=2, first=40))
    await worker.until(lambda: worker.metric("events_in_total") == 80, "all records read")
    await world.broker_goes_away()
    session.release()
    await worker.until(lambda: worker.metric("queue_reviews") == 0, "all reviews computed")
    assert worker.metric("in_flight_reviews") == 40
    await world.broker_comes_back()
    await world.until_committed({0: 40, 1: 40})
    await world.produce(reviews(40, partitions=2, first=80))
    await world.until_committed({0: 60, 1: 60})
    assert await worker.stop() is ExitCode.OK
    outputs = await world.outputs()
    check_order(outputs)
    assert set(numbers(outputs)) == set(range(120))
    assert await world.dead_letters() == []
