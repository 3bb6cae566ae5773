"""The transactions of one input partition over aiokafka."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import chain
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    InvalidTransactionTimeout,
    KafkaError,
    ProducerFenced,
    TransactionalIdAuthorizationFailed,
)
from aiokafka.structs import OffsetAndMetadata
from aiokafka.structs import TopicPartition as KafkaPartition

from worker.delivery import refusals
from worker.delivery.batches import append
from worker.delivery.offset_metadata import OffsetMetadata
from worker.delivery.silence import Silence
from worker.delivery.transactions import BatchRefusedError
from worker.errors import DeliveryError, FencedError, TransactionError, WorkerError
from worker.records import OutputRecord, TopicPartition
from worker.security import lacking

HOPELESS = (*refusals.HOPELESS, GroupAuthorizationFailedError, TransactionalIdAuthorizationFailed)
CLOSE_TIMEOUT_S = 5.0

ReadCommitted = Callable[[TopicPartition], Awaitable[int | None]]
"""Reads a partition's committed offset from the group, no transaction pending; raises KafkaError or TimeoutError."""
DescribeOffset = Callable[[TopicPartition], OffsetMetadata]
"""What is to be stored beside an offset of a partition."""


class KafkaTransactions:
    """See `worker.delivery.transactions.Transactions`. One producer, replaced each time it is opened."""

    def __init__(
        self,
        partition: TopicPartition,
        group: str,
        new_producer: Callable[[], AIOKafkaProducer],
        read_committed: ReadCommitted,
        describe_offset: DescribeOffset,
        silence: Silence,
    ) -> None:
        self._partition = partition
        self._group = group
        self._new_producer = new_producer
        self._read_committed = read_committed
        self._describe_offset = describe_offset
        self._silence = silence
        self._producer: AIOKafkaProducer | None = None

    async def open(self) -> None:
        await self.close()
        producer = self._producer = self._new_producer()
        try:
            with self._faults():
                await producer.start()  # asks for the transactional id, which fences and ends what was open
        except FencedError as error:  # by somebody who has opened it at the same time
            raise TransactionError(str(error)) from error

    async def committed(self) -> int:
        with self._faults():
            return await self._read_committed(self._partition) or 0

    async def commit(self, records: Sequence[OutputRecord], next_offset: int, batch_records: int) -> None:
        producer = self._producer
        if producer is None:
            raise TransactionError("not open")
        metadata = self._describe_offset(self._partition)._replace(exactly_once=True)
        offsets = {KafkaPartition(*self._partition): OffsetAndMetadata(next_offset, str(metadata))}
        with self._faults():
            await producer.begin_transaction()
            by_place = _by_place(records)
            publishing = [_publish(producer, place, each, batch_records) for place, each in by_place.items()]
            # Where the topics are in order, it may be the coordinator that does not answer: the lane says so.
            with self._silence.told(producer.client, by_place, topics_only=True):
                failures = await asyncio.gather(*publishing, return_exceptions=True)
            for failure in sorted(filter(None, failures), key=_weight):
                raise failure
            self._silence.acknowledged(by_place)
            # Not beside the outputs: while the coordinator adds the group, a broker that verifies a batch (KIP-890) is
            # told to come again, which aiokafka does after a tenth of a second.
            await producer.send_offsets_to_transaction(offsets, self._group)
            await producer.commit_transaction()

    async def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is None:
            return
        with contextlib.suppress(Exception):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                if producer._txn_manager.is_in_transaction():
                    await producer.abort_transaction()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await producer.stop()
        with contextlib.suppress(Exception):
            await producer.client.close()  # a stop that was broken off has left it open
        _look_at(producer._txn_manager.wait_for_transaction_end())
        for batch in chain.from_iterable(producer._message_accumulator._batches.values()):  # those never sent
            _look_at(batch._drain_waiter)

    @contextlib.contextmanager
    def _faults(self) -> Any:
        """aiokafka's errors as ours."""
        try:
            yield
        except WorkerError:
            raise
        except ProducerFenced as error:
            raise FencedError(f"another member publishes what comes of {self._partition.place}") from error
        except InvalidTransactionTimeout as error:
            raise DeliveryError(
                "transaction_timeout_s is longer than the broker allows; lower it, or raise the broker's"
                " transaction.max.timeout.ms"
            ) from error
        except HOPELESS as error:
            raise lacking(error) or DeliveryError(
                f"outputs of {self._partition.place} cannot be published exactly once: {error or type(error).__name__};"
                " check the topics and their settings"
            ) from error
        except (KafkaError, OSError, TimeoutError, AssertionError) as error:
            # The assertions are aiokafka's about its own state, after a fault that it has not reported yet.
            raise TransactionError(str(error) or type(error).__name__) from error


def _by_place(records: Iterable[OutputRecord]) -> dict[TopicPartition, list[OutputRecord]]:
    places: dict[TopicPartition, list[OutputRecord]] = defaultdict(list)
    for record in records:
        places[TopicPartition(record.topic, record.partition)].append(record)
    return places


async def _publish(
    producer: AIOKafkaProducer, place: TopicPartition, records: Sequence[OutputRecord], batch_records: int
) -> None:
    """All `records`, in as many batches as it takes; raises the first error that is not a consequence of another."""
    sent: list[tuple[Sequence[OutputRecord], asyncio.Future[Any]]] = []
    start, failures = 0, []
    try:
        while start < len(records):
            batch = producer.create_batch()
            end = start
            while end < len(records) and end - start < batch_records and append(batch, records[end]):
                end += 1
            batch.close()
            acknowledged = await producer.send_batch(batch, place.topic, partition=place.partition)
            acknowledged.add_done_callback(_look_at)  # where another error is raised first, nobody waits for this one
            sent.append((records[start:end], acknowledged))
            start = end
    except KafkaError as error:  # a batch before has failed
        failures.append(error)
    for group, acknowledged in sent:
        try:
            await acknowledged
        except refusals.REFUSED as error:
            raise BatchRefusedError(refusals.refusal(error), group) from error
        except KafkaError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def _weight(failure: BaseException) -> int:
    """The causes first: the failures of other batches may be consequences."""
    kinds = (ProducerFenced, BatchRefusedError, HOPELESS)
    return next((weight for weight, kind in enumerate(kinds) if isinstance(failure, kind)), len(kinds))


def _look_at(future: asyncio.Future[Any] | None) -> None:
    """Take note of an error that aiokafka leaves behind, or the event loop complains that nobody did."""
    if future is not None and future.done() and not future.cancelled():
        future.exception()
