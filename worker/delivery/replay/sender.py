"""Sends dead letters again: the events and the note on them in one transaction, so exactly once."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidTxnState,
    KafkaError,
    ProducerFenced,
)

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from worker.delivery.outputs import record_bytes
from worker.delivery.replay.letters import DeadLetter
from worker.delivery.replay.notes import Note, Ranges, Replayed, Witness
from worker.delivery.replay.reader import Span, TopicReader
from worker.delivery.replay.selection import Left, Selection, Target
from worker.errors import DeliveryError, FatalError, UnreachableError
from worker.events import rfc3339_ms
from worker.records import OutputRecord
from worker.settings import Codec

MOST_LETTERS = 500
MOST_BYTES = 4 * 1024 * 1024
"""Letters of one transaction, in number and in bytes of key and value; one that is larger goes alone."""
MAX_BATCH_BYTES = 256 * 1024
TRANSACTION_TIMEOUT_S = 30.0
"""Past this the broker gives a transaction up. After a kill, workers wait so long for what lies behind it."""
ABORT_TIMEOUT_S = 5.0

_CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
_TAKEN_OVER = (ProducerFenced, InvalidProducerEpoch, InvalidTxnState, InvalidProducerIdMapping)


@dataclass(slots=True)
class Report:
    """What became of the letters that a replay has looked at."""

    replayed: Counter[str] = field(default_factory=Counter)
    """Those whose transaction is committed, by reason."""
    left: Counter[Left] = field(default_factory=Counter)
    """Those that are left in place."""
    elsewhere: Counter[str] = field(default_factory=Counter)
    """The topics of those that were read elsewhere."""


def transactional_id(dead_letter_topic: str) -> str:
    """One for each dead-letter topic, whoever replays it: the latest to start fences all others."""
    return f"reviews-worker.replay.{dead_letter_topic}"


def new_producer(bootstrap_servers: str, dead_letter_topic: str, codec: Codec, target: Target) -> AIOKafkaProducer:
    """The producer of a replay; not started. Its start ends whatever an earlier replay left under way."""
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers,
        client_id="reviews-worker-replay",
        transactional_id=transactional_id(dead_letter_topic),
        transaction_timeout_ms=int(TRANSACTION_TIMEOUT_S * 1000),
        acks="all",
        compression_type=None if codec == "none" else codec,
        max_batch_size=min(MAX_BATCH_BYTES, target.max_batch_bytes or MAX_BATCH_BYTES),
    )


@dataclass(slots=True)
class _Waiting:
    """The letters of the transaction to come."""

    outputs: list[OutputRecord] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    size_bytes: int = 0
    last: DeadLetter | None = None


class Replay:
    """One replay of a dead-letter topic, partition after partition.

    Without a producer it is a trial: everything is decided, counted and shown, and nothing is sent.
    """

    def __init__(
        self,
        selection: Selection,
        replayed: Replayed,
        notes_topic: str,
        producer: AIOKafkaProducer | None,
        *,
        codec: Codec,
        on_chosen: Callable[[DeadLetter, OutputRecord], None] = lambda letter, output: None,
    ) -> None:
        self.report = Report()
        self._selection = selection
        self._replayed = replayed
        self._notes_topic = notes_topic
        self._producer = producer
        self._codec = codec
        self._on_chosen = on_chosen

    async def run(self, reader: TopicReader, topic: str, spans: list[Span], *, again: bool = False) -> Report:
        """Replay what `spans` hold; with `again` also what was replayed before.

        Raises `DeliveryError` when another replay takes over or the target does not take an event, and
        `UnreachableError` when the broker stops answering. What `report` counts is committed then, and the next replay
        goes on behind it.
        """
        for partition, span in enumerate(spans):
            start = span.start if again else self._replayed.first_open(partition, span.start)
            ranges, waiting = Ranges(), _Waiting()
            async for letters in reader.letters(topic, partition, Span(start, span.end)):
                for letter in letters:
                    if not again and self._replayed.holds(partition, letter.record.offset):
                        self.report.left[Left.REPLAYED] += 1
                        ranges.replayed_before(letter.record.offset)
                    elif (output := self._chosen(letter)) is None:
                        ranges.left()
                    else:
                        size_bytes = letter.record.size_bytes
                        if waiting.outputs and waiting.size_bytes + size_bytes > MOST_BYTES:
                            await self._flush(partition, ranges, waiting)
                            waiting = _Waiting()
                        ranges.sent(letter.record.offset)
                        waiting.outputs.append(output)
                        waiting.size_bytes += size_bytes
                        waiting.reasons[letter.latest.reason if letter.latest else ""] += 1
                        waiting.last = letter
                        if len(waiting.outputs) == MOST_LETTERS:
                            await self._flush(partition, ranges, waiting)
                            waiting = _Waiting()
            await self._flush(partition, ranges, waiting)
        return self.report

    def _chosen(self, letter: DeadLetter) -> OutputRecord | None:
        """The event to send; None, and counted, when the letter is left."""
        left = self._selection.leaves(letter)
        if left is None:
            output = self._selection.replayed(letter)
            if self._fits(output):
                self._on_chosen(letter, output)
                return output
            left = Left.TOO_LARGE
        self.report.left[left] += 1
        if left is Left.ELSEWHERE and letter.latest is not None:
            self.report.elsewhere[letter.latest.topic] += 1
        return None

    def _fits(self, output: OutputRecord) -> bool:
        """Whether the target takes the event. Only what is large before compression is compressed to find out."""
        limit = self._selection.target.max_batch_bytes
        return limit is None or record_bytes(output) <= limit or _packed_bytes(output, self._codec) <= limit

    async def _flush(self, partition: int, ranges: Ranges, waiting: _Waiting) -> None:
        """Send what waits, in one transaction with the note on it."""
        if waiting.last is None:
            return
        taken = ranges.take()
        if self._producer is not None:
            at = rfc3339_ms(self._selection.now_ms / 1000)
            note = Note(partition, taken, self._selection.target.topic, at, Witness.of(waiting.last))
            await self._in_transaction(self._producer, waiting.outputs, note)
        self.report.replayed.update(waiting.reasons)

    async def _in_transaction(self, producer: AIOKafkaProducer, outputs: Iterable[OutputRecord], note: Note) -> None:
        target = self._selection.target.topic
        try:
            async with asyncio.timeout(TRANSACTION_TIMEOUT_S):
                await producer.begin_transaction()
                try:
                    await _send(producer, outputs, note, self._notes_topic)
                    await producer.commit_transaction()
                except BaseException:
                    await _abort(producer)
                    raise
        except TimeoutError as error:
            raise UnreachableError(
                f"the broker stopped answering in the middle of a transaction; {self._then()}"
            ) from error
        except KafkaError as error:
            raise self._failure(error, target) from error

    def _failure(self, error: KafkaError, target: str) -> FatalError:
        causes: list[BaseException] = [error]
        while (cause := causes[-1].__cause__) is not None:
            causes.append(cause)
        if any(isinstance(cause, _TAKEN_OVER) for cause in causes):
            return DeliveryError(f"another replay of the same dead letters has taken over; {self._then()}")
        return DeliveryError(f"{target} does not take what is replayed ({error!r}); {self._then()}")

    def _then(self) -> str:
        count = self.report.replayed.total()
        return f"{count} replayed before that; the next replay goes on behind them"


async def _send(producer: AIOKafkaProducer, outputs: Iterable[OutputRecord], note: Note, notes_topic: str) -> None:
    """Send within the open transaction, and wait for all acknowledgements; raises the first failure."""
    of_partition: dict[tuple[str, int], list[OutputRecord]] = defaultdict(list)
    for output in outputs:
        of_partition[output.topic, output.partition].append(output)
    sent = []
    for (topic, partition), records in of_partition.items():
        batch = producer.create_batch()
        for record in records:
            if not _append(batch, record):
                sent.append(await producer.send_batch(batch, topic, partition=partition))
                batch = producer.create_batch()
                _append(batch, record)  # the first record of a batch always has room
        sent.append(await producer.send_batch(batch, topic, partition=partition))
    key = str(note.partition).encode()
    sent.append(await producer.send(notes_topic, note.to_bytes(), key, partition=0))
    for outcome in await asyncio.gather(*sent, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


async def _abort(producer: AIOKafkaProducer) -> None:
    """Give the transaction up without ever raising: the broker does so by itself when this comes too late."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(ABORT_TIMEOUT_S):
            await producer.abort_transaction()


def _append(batch: BatchBuilder, output: OutputRecord) -> bool:
    timestamp = output.timestamp_ms if output.timestamp_ms >= 0 else None
    headers = list(output.headers)
    return batch.append(timestamp=timestamp, key=output.key, value=output.value, headers=headers) is not None


def _packed_bytes(output: OutputRecord, codec: str) -> int:
    """Bytes of a batch with `output` alone, compressed: what the broker compares with ``max.message.bytes``."""
    builder = DefaultRecordBatchBuilder(
        2, _CODECS[codec], is_transactional=1, producer_id=-1, producer_epoch=-1, base_sequence=0, batch_size=0
    )
    builder.append(0, output.timestamp_ms, output.key, output.value, list(output.headers))
    return len(builder.build())
