"""Sends events again, and the note on them, in one transaction: both are there, or neither."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidTimestampError,
    InvalidTxnState,
    KafkaError,
    ProducerFenced,
)
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from worker.delivery.batches import append
from worker.errors import DeliveryError, UnreachableError
from worker.kafka.security import lacking
from worker.records import OutputRecord
from worker.replay.notes import Note
from worker.replay.selection import Target
from worker.settings import Codec

MAX_BATCH_BYTES = 256 * 1024
TRANSACTION_TIMEOUT_S = 30.0
"""Past this the broker gives a transaction up. After a kill, workers wait so long for what lies behind it."""
ABORT_TIMEOUT_S = 5.0

_CODECS: dict[Codec, int] = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
_TAKEN_OVER = (ProducerFenced, InvalidProducerEpoch, InvalidTxnState, InvalidProducerIdMapping)


def replay_transactional_id(dead_letter_topic: str) -> str:
    """One for each dead-letter topic, whoever replays it: the latest to start fences all others."""
    return f"reviews-worker.replay.{dead_letter_topic}"


def new_producer(
    client_options: Mapping[str, Any], dead_letter_topic: str, codec: Codec, target: Target
) -> AIOKafkaProducer:
    """The producer of a replay; not started. Its start ends whatever an earlier replay left under way."""
    return AIOKafkaProducer(
        **client_options,
        client_id="reviews-worker-replay",
        transactional_id=replay_transactional_id(dead_letter_topic),
        transaction_timeout_ms=int(TRANSACTION_TIMEOUT_S * 1000),
        acks="all",
        compression_type=None if codec == "none" else codec,
        max_batch_size=min(MAX_BATCH_BYTES, target.max_batch_bytes or MAX_BATCH_BYTES),
    )


class ReplayTransactions:
    """One transaction after the other through `producer`, which is started. After any error it is of no more use."""

    def __init__(self, producer: AIOKafkaProducer, notes_topic: str) -> None:
        self._producer = producer
        self._notes_topic = notes_topic

    async def commit(self, outputs: Iterable[OutputRecord], note: Note) -> None:
        """Send `outputs` and `note`, all or nothing.

        Raises `DeliveryError` when another replay has taken over or a topic does not take a record, and
        `UnreachableError` when the broker stops answering: then it is all or nothing too, but unknown which.
        """
        async with self._transaction(note.target):
            sent = []
            for partition, batch in self._batches(outputs):
                sent.append(await self._producer.send_batch(batch, note.target, partition=partition))
            key = str(note.partition).encode()
            sent.append(await self._producer.send(self._notes_topic, note.to_bytes(), key, partition=0))
            for outcome in await asyncio.gather(*sent, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome

    def _batches(self, outputs: Iterable[OutputRecord]) -> Iterator[tuple[int, BatchBuilder]]:
        """Full batches, with the partition of each; in each partition in the order of `outputs`."""
        of_partition: dict[int, list[OutputRecord]] = defaultdict(list)
        for output in outputs:
            of_partition[output.partition].append(output)
        for partition, records in of_partition.items():
            batch = self._producer.create_batch()
            for record in records:
                if not append(batch, record):
                    yield partition, batch
                    batch = self._producer.create_batch()
                    append(batch, record)  # the first record of a batch always has room
            yield partition, batch

    @contextlib.asynccontextmanager
    async def _transaction(self, target: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(TRANSACTION_TIMEOUT_S):
                await self._producer.begin_transaction()
                try:
                    yield
                    await self._producer.commit_transaction()
                except BaseException:
                    await self._abort()
                    raise
        except TimeoutError as error:
            raise UnreachableError("the broker stopped answering in the middle of a transaction") from error
        except KafkaError as error:
            if any(isinstance(cause, _TAKEN_OVER) for cause in _causes(error)):
                raise DeliveryError("another replay of the same dead letters has taken over") from error
            if any(isinstance(cause, InvalidTimestampError) for cause in _causes(error)):
                raise DeliveryError(
                    f"{target} does not take the time of an event (message.timestamp.before.max.ms,"
                    " message.timestamp.after.max.ms); --new-time sends events with the time of now"
                ) from error
            raise next(filter(None, map(lacking, _causes(error))), None) or DeliveryError(
                f"{target} or {self._notes_topic} does not take what is replayed ({error!r}); check the topics and"
                " their settings"
            ) from error

    async def _abort(self) -> None:
        """Give the transaction up without ever raising: the broker does so by itself when this comes too late."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(ABORT_TIMEOUT_S):
                await self._producer.abort_transaction()


def packed_bytes(output: OutputRecord, codec: Codec) -> int:
    """Bytes of a batch with `output` alone, compressed: what the broker compares with ``max.message.bytes``."""
    builder = DefaultRecordBatchBuilder(
        2, _CODECS[codec], is_transactional=1, producer_id=-1, producer_epoch=-1, base_sequence=0, batch_size=0
    )
    builder.append(0, output.timestamp_ms, output.key, output.value, list(output.headers))
    return len(builder.build())


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
