"""What is committed, by whom, and when."""

from __future__ import annotations

import asyncio

import pytest
from contract.reviews import numbers, reviews
from contract.world import World
from fakes import FakeSession
from kafka_tools import Message

from worker.errors import ExitCode, FuseError, SessionError

BAD = Message(b"not JSON")


async def test_the_committed_offsets_never_pass_the_first_review_without_an_output(world: World) -> None:
    await world.create_topics(partitions=2)
    session = FakeSession()
    session.hold()
    await world.produce(reviews(200, partitions=2))
    worker = world.worker(session)
    for calls in range(1, 6):
        await worker.until_computing(calls)
        await world.check_commits()
        session.permit()
    session.release()
    await world.outputs(200)
    await world.until_committed({0: 100, 1: 100})
    assert await worker.stop() is ExitCode.OK


async def test_nothing_is_committed_for_what_is_only_read(world: World) -> None:
    """We commit, never Faust: records were read and handed over, and the group knows nothing of it."""
    await world.create_topics(partitions=2)
    session = FakeSession()
    session.hold()
    await world.produce(reviews(100, partitions=2))
    worker = world.worker(session, grace_period_s=0.2)
    await worker.until(lambda: worker.metric("events_in_total") == 100, "all records read")
    await worker.until_computing()
    for _ in range(5):  # commit intervals pass
        await asyncio.sleep(world.settings.commit_interval_s)
        assert await world.committed() == {}
    assert await worker.stop() is ExitCode.GRACE_EXCEEDED
    assert await world.committed() == {}
    assert await world.outputs() == []


async def test_offsets_are_committed_while_the_worker_runs(world: World) -> None:
    await world.create_topics()
    await world.produce(reviews(20))
    world.worker()
    await world.until_committed({0: 20})
    await world.produce(reviews(20, first=20))
    await world.until_committed({0: 40})


async def test_a_new_worker_reads_on_from_the_committed_offset(world: World) -> None:
    await world.create_topics(partitions=2)
    for round_number in range(3):
        await world.produce(reviews(40, partitions=2, first=40 * round_number))
        worker = world.worker()
        await world.outputs(40 * (round_number + 1))
        assert await worker.stop() is ExitCode.OK
    outputs = await world.outputs()
    assert sorted(numbers(outputs)) == list(range(120))
    assert await world.check_commits() == {0: 60, 1: 60}


async def test_a_stop_finishes_what_is_in_flight(world: World) -> None:
    await world.create_topics()
    session = FakeSession()
    session.hold()
    await world.produce(reviews(100))
    worker = world.worker(session)
    await worker.until(lambda: worker.metric("events_in_total") == 100, "all records read")
    await worker.until_computing()
    worker.worker.request_stop()
    await worker.until(lambda: not worker.pipeline.lifecycle.accepts_input, "the end of intake")
    await world.produce(reviews(10, first=100))
    session.release()
    assert await worker.ended() is ExitCode.OK
    assert numbers(await world.outputs()) == list(range(100))
    assert await world.check_commits() == {0: 100}


async def test_what_exceeds_the_grace_period_stays_uncommitted_and_is_read_again(world: World) -> None:
    await world.create_topics()
    session = FakeSession()
    session.hold()
    await world.produce(reviews(60))
    worker = world.worker(session, grace_period_s=0.2)
    await worker.until_computing()
    assert await worker.stop() is ExitCode.GRACE_EXCEEDED
    assert await world.committed() == {}
    session.release()
    successor = world.worker()
    assert numbers(await world.outputs(60)) == list(range(60))
    assert await successor.stop() is ExitCode.OK
    assert len(await world.outputs()) == 60


async def test_the_fuse_stops_the_worker_and_what_is_in_flight_is_kept(world: World) -> None:
    await world.create_topics()
    await world.produce([*reviews(20), *[BAD] * 10, *reviews(20, first=20)])
    worker = world.worker(fuse_run_length=5)
    with pytest.raises(FuseError, match="the last 5 events were all dead letters"):
        await worker.ended()
    committed = await world.check_commits()
    assert committed.get(0, 0) <= 24
    assert len(await world.dead_letters()) <= 4
    assert all(number < 20 for number in numbers(await world.outputs()))
    successor = world.worker(fuse_run_length=100)
    await world.until_committed({0: 50})
    assert await successor.stop() is ExitCode.OK
    assert {letter.source[1] for letter in await world.dead_letters()} == set(range(20, 30))
    assert set(numbers(await world.outputs())) == set(range(40))


async def test_a_broken_session_stops_the_worker_and_nothing_is_lost_or_dead_lettered(world: World) -> None:
    await world.create_topics()
    session = FakeSession()
    session.broken = True
    await world.produce(reviews(40))
    worker = world.worker(session, retry_attempts=2)
    with pytest.raises(SessionError, match="3 times in a row"):
        await worker.ended()
    assert await world.committed() == {}
    assert await world.dead_letters() == []
    assert await world.outputs() == []
    successor = world.worker()
    assert numbers(await world.outputs(40)) == list(range(40))
    assert await successor.stop() is ExitCode.OK
    assert await world.check_commits() == {0: 40}


async def test_a_session_that_recovers_costs_nothing_but_time(world: World) -> None:
    await world.create_topics()
    session = FakeSession()
    session.broken = True
    await world.produce(reviews(40))
    worker = world.worker(session, retry_attempts=1_000_000)
    await worker.until_computing(4)
    session.broken = False
    assert numbers(await world.outputs(40)) == list(range(40))
    assert await worker.stop() is ExitCode.OK
    assert await world.dead_letters() == []


async def test_intake_stops_at_the_bound_and_goes_on_below_it(world: World) -> None:
    await world.create_topics(partitions=2)
    session = FakeSession()
    session.hold()
    await world.produce(reviews(300, partitions=2))
    worker = world.worker(session, max_in_flight_reviews=64, batch_window_reviews=64)
    await worker.until(lambda: worker.metric("intake_paused") == 1, "the end of intake")
    await worker.until_computing()
    assert worker.metric("in_flight_reviews") <= 64
    assert worker.metric("events_in_total") <= 64
    session.release()
    outputs = await world.outputs(300)
    assert sorted(numbers(outputs)) == list(range(300))
    assert await worker.stop() is ExitCode.OK
    assert await world.check_commits() == {0: 150, 1: 150}


async def test_bytes_in_flight_are_bounded_too(world: World) -> None:
    await world.create_topics()
    session = FakeSession()
    session.hold()
    large = [Message(b'{"text": "long", "padding": "%s"}' % (b"x" * 300_000)) for _ in range(10)]
    await world.produce(large)
    worker = world.worker(session, max_in_flight_bytes=1_000_000, max_in_flight_reviews=8)
    await worker.until(lambda: worker.metric("intake_paused") == 1, "the end of intake")
    assert worker.metric("in_flight_bytes") <= 1_000_000
    session.release()
    assert [output.source[1] for output in await world.outputs(10)] == list(range(10))
    assert await worker.stop() is ExitCode.OK


async def test_a_stop_does_not_linger_for_company(world: World) -> None:
    await world.create_topics()
    await world.produce(reviews(3))
    worker = world.worker(linger_s=3600.0, max_wait_s=1e12)
    await worker.until(lambda: worker.metric("queue_reviews") == 3, "three waiting reviews")
    assert await worker.stop() is ExitCode.OK
    assert numbers(await world.outputs()) == [0, 1, 2]
    assert await world.check_commits() == {0: 3}
