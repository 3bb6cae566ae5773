"""Part (d): how long an event is in the worker, at shares of what it can do."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Sequence

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests.benchmarks.machine import table
from tests.benchmarks.overload import percentile
from tests.benchmarks.stage import PARTITIONS, POLL_S, Stage, Subject

SHARES = (0.1, 0.5, 0.9)
WARM_UP = 20


async def measure_latency(stage: Stage, texts: Sequence[str], *, seconds: float) -> dict[str, object]:
    """p50 and p99 of the time from an event's own timestamp to its output in the broker's log, in milliseconds.

    Events come as a Poisson process. The output topic stamps records when they are appended, so the reader of this
    benchmark adds nothing; the way from producer to worker is in the figure. Beside the 99th percentile is the bucket
    of the worker's own histogram in which it lies.
    """
    capacity = await _capacity(stage, texts)
    rows, figures = [], {"capacity_reviews_per_s": capacity}
    for share in SHARES:
        times, (above, most) = await _times_ms(stage, texts, capacity * share, seconds)
        p50, p99 = np.percentile(times, (50, 99))
        bucket = f"{1000 * above:g} to {1000 * most:g}"
        rows.append((f"{share:.0%}", capacity * share, len(times), float(p50), float(p99), bucket))
        figures[f"p50_ms_at_{share:.0%}"[:-1]] = float(p50)
        figures[f"p99_ms_at_{share:.0%}"[:-1]] = float(p99)
        figures[f"p99_bucket_ms_at_{share:.0%}"[:-1]] = [1000 * above, 1000 * most]
    header = ("share of capacity", "reviews/s", "reviews", "p50 ms", "p99 ms", "p99 by end_to_end_seconds")
    table("(d) Time of one review in the worker", header, rows)
    return dict(figures)


async def _capacity(stage: Stage, texts: Sequence[str]) -> float:
    source = await stage.topic("in")
    total = await stage.fill(source, (json.dumps({"text": text}).encode() for text in texts))
    async with stage.running("worker", source, await stage.topic("out")) as subject:
        return await stage.rate(subject, total)


async def _times_ms(
    stage: Stage, texts: Sequence[str], rate: float, seconds: float
) -> tuple[list[float], tuple[float, float]]:
    source = await stage.topic("in")
    target = await stage.topic("out", **{"message.timestamp.type": "LogAppendTime"})
    pauses = random.Random(1)
    producer = AIOKafkaProducer(bootstrap_servers=stage.bootstrap_servers, linger_ms=0)
    await producer.start()
    number = 0

    async def produce(text: str) -> None:
        nonlocal number
        event = json.dumps({"sent_ms": time.time() * 1000, "text": text}).encode()
        await producer.send(source, event, partition=number % PARTITIONS)
        number += 1

    async with stage.running("worker", source, target) as subject:
        for text in texts[:WARM_UP]:
            await produce(text)
        await stage.until(subject, lambda done: done >= WARM_UP)
        before = await _settled(subject, WARM_UP)
        due = time.monotonic()
        until = due + seconds
        index = WARM_UP
        while due < until:
            due += pauses.expovariate(rate)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await produce(texts[index % len(texts)])
            index += 1
        await stage.until(subject, lambda done: done >= number)
        after = await _settled(subject, number)
    await producer.stop()
    times = await _read_times_ms(stage, target, number)
    return times[WARM_UP:], percentile(before, after, "end_to_end_seconds", 0.99)


async def _settled(subject: Subject, number: int) -> dict[str, float]:
    """The worker's metrics once it has heard of `number` acknowledged outputs, which the broker has before it."""
    while True:
        metrics = await asyncio.to_thread(subject.metrics)
        if metrics["events_out_total"] >= number:
            return metrics
        await asyncio.sleep(POLL_S)


async def _read_times_ms(stage: Stage, topic: str, number: int) -> list[float]:
    consumer = AIOKafkaConsumer(bootstrap_servers=stage.bootstrap_servers, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(topic, partition) for partition in range(PARTITIONS)])
    times: list[tuple[float, float]] = []
    while len(times) < number:
        for records in (await consumer.getmany(timeout_ms=1000)).values():
            for record in records:
                sent_ms = json.loads(record.value)["sent_ms"]
                times.append((sent_ms, record.timestamp - sent_ms))
    await consumer.stop()
    return [time_ms for _, time_ms in sorted(times)]
