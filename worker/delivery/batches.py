"""Records into aiokafka's batches."""

from __future__ import annotations

from aiokafka.producer.message_accumulator import BatchBuilder

from worker.records import OutputRecord


def append(batch: BatchBuilder, record: OutputRecord) -> bool:
    """Add `record`; False when the batch is full. The first record of a batch always has room.

    One with a timestamp below zero gets the time of now. Kafka's own clients write none but that of no time: a broker
    that packs records anew, as ``compression.type`` or compaction may have it do, fails on those before 1970.
    """
    timestamp_ms = record.timestamp_ms if record.timestamp_ms >= 0 else None
    headers = list(record.headers)
    return batch.append(key=record.key, value=record.value, timestamp=timestamp_ms, headers=headers) is not None
