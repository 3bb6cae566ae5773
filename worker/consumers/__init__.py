"""Every consumer that the worker and its commands have: aiokafka's, with four things changed.

- `header_names`: headers may have names that are not UTF-8.
- `batches`: a batch that cannot be read is an error of its own, `DamagedBatchError`, which knows where and how far.
- `bounded_fetcher`: what is fetched ahead and what is unpacked are bounded in bytes.
- `questions`: asking for offsets, or for the coordinator, does not wait for a fetch.
"""

from __future__ import annotations

import logging
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer import consumer, fetcher

from worker.consumers.answers import without_names
from worker.consumers.batches import Batches, PartitionRecords
from worker.consumers.bounded_fetcher import MAX_TAKEN_BYTES, BoundedFetcher
from worker.consumers.questions import ask_apart

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
