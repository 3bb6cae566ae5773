"""Every consumer that the worker and its commands have: aiokafka's, with four repairs of `worker.kafka.compat`.

- `lenient_headers`: headers may have names that are not UTF-8.
- `damaged_batches`: a batch that cannot be read is an error of its own, `DamagedBatchError`, which knows where it is.
- `bounded_fetcher`: what is fetched ahead and what is unpacked are bounded in bytes.
- `consumer_questions`: asking for offsets, or for the coordinator, does not wait for a fetch.
"""

from __future__ import annotations

import logging
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer import consumer, fetcher

from worker.kafka.compat.bounded_fetcher import MAX_TAKEN_BYTES, BoundedFetcher
from worker.kafka.compat.consumer_questions import ask_apart
from worker.kafka.compat.damaged_batches import Batches, PartitionRecords
from worker.kafka.compat.fetch_answers import without_names

__all__ = ["MAX_TAKEN_BYTES", "BoundedFetcher", "kafka_consumer"]

FETCH_MAX_BYTES = 4 * 1024 * 1024
"""Of one answer of a broker, compressed; one batch may be larger."""


def kafka_consumer(**options: Any) -> AIOKafkaConsumer:
    """aiokafka's consumer with these options, not started. Reading raises `DamagedBatchError`."""
    fetcher.MemoryRecords, fetcher.PartitionRecords = Batches, PartitionRecords
    consumer.Fetcher = BoundedFetcher
    logging.getLogger(fetcher.__name__).addFilter(without_names)
    made = AIOKafkaConsumer(fetch_max_bytes=FETCH_MAX_BYTES, **options)
    ask_apart(made._client)
    return made
