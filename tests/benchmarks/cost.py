"""Part (f): what one event costs at each stage, in processor time, with the worker's own classes."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from aiokafka import AIOKafkaProducer

from tests.benchmarks.subjects import load_free_session
from worker.batching import BatchQueue
from worker.clock import SystemClock
from worker.delivery.outputs import Destination, OutputWriter, Partitioner
from worker.events.codec import EventCodec, ResultWriter
from worker.inference import BatchRunner, RetryPolicy
from worker.observability.metrics import Metrics
from worker.pipeline.offsets import OffsetTracker
from worker.records import Entry, TopicPartition
from worker.settings import Settings
from worker.source.chunks import Fetched, to_chunk

T = TypeVar("T")
CHUNK = 256


class _Fetched:
    """What aiokafka hands over for one record."""

    __slots__ = ("headers", "key", "offset", "timestamp", "value")

    def __init__(self, offset: int, value: bytes) -> None:
        self.offset, self.value = offset, value
        self.key, self.headers, self.timestamp = b"key", (), 1_700_000_000_000


async def stage_costs(events: Sequence[bytes]) -> dict[str, float]:
    """Microseconds an event, stage by stage."""
    gc.disable()  # the worker's own thresholds let it run rarely; here it would look through all events at once
    settings = Settings()
    metrics = Metrics()
    model = load_free_session(settings, metrics)
    codec = EventCodec(settings.text_field, settings.result_field, settings.max_event_bytes)
    costs: dict[str, float] = {}

    def timed(name: str, work: Callable[[], T]) -> T:
        started_at = time.process_time()
        result = work()
        costs[name] = costs.get(name, 0.0) + (time.process_time() - started_at) * 1e6 / len(events)
        return result

    partition = TopicPartition("bench", 0)
    tracker = OffsetTracker()
    tracker.assign([partition], 1)
    fetched = [_Fetched(offset, event) for offset, event in enumerate(events)]
    groups = [fetched[start : start + CHUNK] for start in range(0, len(fetched), CHUNK)]
    chunks = timed("to records", lambda: [to_chunk(partition, Fetched(1, None, group)) for group in groups])
    records = [record for chunk in chunks for record in chunk.records]
    timed("submit offsets", lambda: [tracker.submit(partition, [r.offset for r in c.records], 1) for c in chunks])
    decoded = timed("decode", lambda: [codec.decode(record.value) for record in records])
    texts = [event.text for event in decoded]
    encodings = timed("tokenise", lambda: model.tokenizer.encode_many(texts))
    entries = timed("entries", lambda: [Entry(r, e, False, 0.0, 0.0) for r, e in zip(records, encodings, strict=True)])
    _batches(timed, entries, model, metrics)
    writer = OutputWriter(
        codec=codec,
        results=ResultWriter(model.labels, model.identity),
        partitioner=Partitioner(6),
        output=Destination("out", 6, 1_000_000),
        dead_letters=Destination("dead", 6, 1_000_000),
        clock=SystemClock(),
    )
    pieces = [entries[start : start + CHUNK] for start in range(0, len(entries), CHUNK)]
    outputs = timed("write outputs", lambda: [output for piece in pieces for output in writer.write(piece)])
    builder = await _builder(settings)
    timed("append to batches", lambda: [builder(outputs[n : n + CHUNK]) for n in range(0, len(outputs), CHUNK)])
    timed("complete offsets", lambda: [tracker.complete(partition, [r.offset for r in c.records], 1) for c in chunks])
    return costs


def _batches(timed: Callable[..., object], entries: list[Entry], model: object, metrics: Metrics) -> None:
    queue = BatchQueue(model.limits)
    runner = BatchRunner(model.session, model.tokenizer.pad_id, metrics, RetryPolicy(), lambda _: False)
    for start in range(0, len(entries), 2048):
        timed("queue", lambda first=start: queue.extend(entries[first : first + 2048]))
        batches = []
        while len(queue):
            batches.append(timed("cut batches", lambda: queue.next_batch(0.0)))
        timed("pad and fill in outcomes", lambda cut=batches: [runner.run(batch) for batch in cut])


async def _builder(settings: Settings) -> Callable[[Sequence[object]], bytes]:
    """Makes a compressed batch, as aiokafka does when it sends one; the producer is never connected."""
    producer = AIOKafkaProducer(compression_type=settings.compression, max_batch_size=512 * 1024)
    await asyncio.sleep(0)

    def build(outputs: Sequence[object]) -> bytes:
        batch = producer.create_batch()
        for output in outputs:
            batch.append(
                key=output.key, value=output.value, timestamp=output.timestamp_ms, headers=list(output.headers)
            )
        return bytes(batch._build())

    return build
