"""What is in flight stays within its bounds."""

from __future__ import annotations

import asyncio

from worker.observability.metrics import Metrics
from worker.pipeline.flow_control import FlowControl


def paused(metrics: Metrics) -> bool:
    return bool(metrics.registry.get_sample_value("reviews_worker_intake_paused"))


def test_reviews_and_bytes_are_both_bounded() -> None:
    flow = FlowControl(max_reviews=10, max_bytes=100, metrics=Metrics())
    flow.add(5, 50)
    assert flow.fits(5, 50)
    assert not flow.fits(6, 1)
    assert not flow.fits(1, 51)
    flow.add(5, 10)
    assert not flow.fits(1, 1)
    flow.remove(5, 10)
    flow.add(1, 50)
    assert not flow.fits(1, 1)


def test_something_always_fits_when_nothing_is_in_flight() -> None:
    flow = FlowControl(max_reviews=10, max_bytes=100, metrics=Metrics())
    assert flow.fits(1_000, 1_000_000)
    flow.add(1_000, 1_000_000)
    assert not flow.fits(1, 0)


async def test_who_waits_goes_on_when_there_is_room_and_not_before() -> None:
    metrics = Metrics()
    flow = FlowControl(max_reviews=10, max_bytes=100, metrics=metrics)
    flow.add(10, 10)
    waiting = asyncio.create_task(flow.wait_for_room(4, 1))
    await asyncio.sleep(0)
    assert paused(metrics)
    flow.remove(3, 3)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    flow.remove(1, 1)
    await waiting
    assert not paused(metrics)


async def test_all_who_wait_are_asked_again() -> None:
    flow = FlowControl(max_reviews=10, max_bytes=100, metrics=Metrics())
    flow.add(10, 10)
    waiting = [asyncio.create_task(flow.wait_for_room(1, 1)) for _ in range(3)]
    await asyncio.sleep(0)
    flow.remove(10, 10)
    await asyncio.gather(*waiting)


def test_the_gauges_say_what_is_in_flight() -> None:
    metrics = Metrics()
    flow = FlowControl(max_reviews=10, max_bytes=100, metrics=metrics)
    flow.add(4, 40)
    flow.remove(1, 10)
    assert metrics.registry.get_sample_value("reviews_worker_in_flight_reviews") == 3
    assert metrics.registry.get_sample_value("reviews_worker_in_flight_bytes") == 30
