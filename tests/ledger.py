"""Knows every event that was produced, reads what was published as a careful consumer does, and judges (`audit`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace

import kafka_tools
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.structs import RecordMetadata
from audit import Audit, Verdict
from conftest import TopicNames
from kafka_tools import Message
from worker_process import DEADLINE_S, eventually

PAUSE_S = 0.02
LOAD_PER_S = 1000.0
PATIENCE_S = 180.0
"""Longer than any broker of a test is away: what a producer has given up may be stored all the same."""
DECIDED_S = 10.0
"""Longer than a broker takes to end a transaction that a worker has committed or aborted."""


@dataclass
class Ledger:
    """The events of one test."""

    names: TopicNames
    produced: dict[str, Message] = field(default_factory=dict)
    """By source: ``<topic>/<partition>/<offset>``."""
    optional: set[str] = field(default_factory=set)
    """Sources that may be missing from what is published: retention or compaction may have taken the event."""
    expected: Callable[[Message], float | None] | None = None
    """The score for ``pos`` that an event must get; None where it is not known."""
    keys_may_move: bool = False
    """Whether a key may change its output partition: when topics grow."""
    on_output: Callable[[ConsumerRecord], None] | None = None
    """Is shown every output too, in the order of each partition."""
    _audit: Audit | None = field(default=None, init=False)
    _positions: dict[TopicPartition, int] = field(default_factory=dict, init=False)

    def note(self, messages: Sequence[Message], sent: Iterable[RecordMetadata]) -> list[str]:
        """Remember `messages`, which went where `sent` says; answers their sources."""
        sources = [f"{place.topic}/{place.partition}/{place.offset}" for place in sent]
        self.produced.update(zip(sources, messages, strict=True))
        return sources

    async def produce(self, servers: str, messages: Iterable[Message], *, compression: str | None = None) -> list[str]:
        """Produce to the input topic and remember; answers the sources, in order."""
        listed = list(messages)
        sent = await kafka_tools.produce(servers, self.names.input, listed, compression=compression)
        return self.note(listed, sent)

    @asynccontextmanager
    async def load(
        self, servers: str, make: Callable[[int], Message], *, per_s: float = LOAD_PER_S
    ) -> AsyncIterator[asyncio.Task[None]]:
        """Produce ``make(0)``, ``make(1)`` and so on, so many a second, for as long as the block lasts.

        What is not taken within a second (the broker is away) is not made up for.
        """
        stop = asyncio.Event()
        task = asyncio.create_task(self._produce_until(stop, servers, make, per_s))
        try:
            yield task
        finally:
            stop.set()
            await task

    async def grows_by(self, count: int) -> None:
        """Wait until so many more events were produced than there are now."""
        wanted = len(self.produced) + count
        await eventually(lambda: len(self.produced) >= wanted, f"{count} more events")

    async def outputs(self, servers: str) -> tuple[list[ConsumerRecord], list[ConsumerRecord]]:
        """What is on the output topic and on the dead-letter topic now."""
        return (
            await kafka_tools.consume_all(servers, self.names.output, read_committed=True),
            await kafka_tools.consume_all(servers, self.names.dead_letters, read_committed=True),
        )

    async def settled(self, servers: str, deadline_s: float = DEADLINE_S) -> Verdict:
        """Wait until every event is published somewhere, or the deadline passes, and judge.

        Reads on from where the last call ended, as ``read_committed``, and waits for transactions that are open at the
        output: a repeat in one of them counts too.
        """
        now = asyncio.get_running_loop().time()
        until, decided_by = now + deadline_s, now + max(deadline_s, DECIDED_S)
        topics = self.names.output, self.names.dead_letters
        async with self._reader(servers) as consumer, kafka_tools.reader(servers, *topics) as of_everything:
            while True:
                written = await of_everything.end_offsets(of_everything.assignment())
                audit = await self._read(consumer)
                undecided = any(self._positions[partition] < end for partition, end in written.items())
                if not undecided and not audit.missing(self.optional):
                    break
                if asyncio.get_running_loop().time() > (decided_by if undecided else until):
                    break
                await asyncio.sleep(PAUSE_S)
        verdict = audit.verdict(self.optional)
        print(f"ledger: {verdict}")
        return verdict

    async def read_on(self, servers: str) -> None:
        """Read what was published since the last time."""
        async with self._reader(servers) as consumer:
            await self._read(consumer)

    def forget_positions(self, topic: str) -> None:
        """`topic` was made anew: read it from its beginning."""
        self._positions = {place: offset for place, offset in self._positions.items() if place.topic != topic}

    def judge(self, outputs: Iterable[ConsumerRecord], dead_letters: Iterable[ConsumerRecord]) -> Verdict:
        """Compare what was published with what was produced."""
        audit = self._new_audit()
        for record in outputs:
            audit.output(record)
        for record in dead_letters:
            audit.dead_letter(record)
        return audit.verdict(self.optional)

    def _reader(self, servers: str) -> AbstractAsyncContextManager[AIOKafkaConsumer]:
        topics = self.names.output, self.names.dead_letters
        return kafka_tools.reader(servers, *topics, read_committed=True, positions=self._positions)

    async def _read(self, consumer: AIOKafkaConsumer) -> Audit:
        audit = self._audit = self._audit or self._new_audit()
        async for record in kafka_tools.read_to_the_end(consumer, self._positions):
            if record.topic != self.names.output:
                audit.dead_letter(record)
                continue
            audit.output(record)
            if self.on_output is not None:
                self.on_output(record)
        return audit

    def _new_audit(self) -> Audit:
        return Audit(self.produced, expected=self.expected, keys_may_move=self.keys_may_move)

    async def _produce_until(
        self, stop: asyncio.Event, servers: str, make: Callable[[int], Message], per_s: float
    ) -> None:
        number = 0
        producer = AIOKafkaProducer(
            bootstrap_servers=servers,
            acks="all",
            enable_idempotence=True,
            linger_ms=2,
            request_timeout_ms=int(PATIENCE_S * 1000),
            metadata_max_age_ms=2000,
        )
        async with producer:
            due_at = time.monotonic()
            while not stop.is_set():
                due_at = max(due_at, time.monotonic() - 1)
                group = max(1, int((time.monotonic() - due_at) * per_s))
                due_at += group / per_s
                now_ms = int(time.time() * 1000)
                made = (make(number + index) for index in range(group))
                messages = [replace(each, timestamp_ms=each.timestamp_ms or now_ms) for each in made]
                number += group
                await _known(producer, self.names.input, max(message.partition or 0 for message in messages))
                sending = [
                    await producer.send(
                        self.names.input,
                        message.value,
                        message.key,
                        partition=message.partition,
                        timestamp_ms=message.timestamp_ms,
                        headers=list(message.headers),
                    )
                    for message in messages
                ]
                self.note(messages, await asyncio.gather(*sending))
                await asyncio.sleep(max(PAUSE_S, due_at - time.monotonic()))


async def _known(producer: AIOKafkaProducer, topic: str, partition: int) -> None:
    """Wait until `producer` knows this partition: the topic may have grown a moment ago."""
    while partition not in await producer.partitions_for(topic):
        await producer.client.force_metadata_update()
        await asyncio.sleep(PAUSE_S)
