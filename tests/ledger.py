"""Knows every event that was produced, and judges what became of it.

An event's identity is where it was produced to: topic, partition and offset. The outputs name it in the header
``source``, the dead letters in three headers of their own.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import kafka_tools
from aiokafka import AIOKafkaProducer, ConsumerRecord
from conftest import TopicNames
from kafka_tools import Message
from worker_process import DEADLINE_S, eventually

PAUSE_S = 0.02
SHOWN = 5


@dataclass(frozen=True)
class Verdict:
    """What became of the events; empty lists are good. Each line names the event."""

    produced: int
    outputs: int
    dead_letters: int
    lost: list[str] = field(default_factory=list)
    """Neither classified nor dead."""
    unknown: list[str] = field(default_factory=list)
    """Published, but nobody produced it (or it was aborted)."""
    duplicated: Counter[str] = field(default_factory=Counter)
    """How often each was published again."""
    rewinds: int = 0
    """How often a topic's partition went back to an earlier event of the same input partition."""
    reordered: list[str] = field(default_factory=list)
    """Published for the first time after a later one of the same input partition, or of the same key."""
    corrupted: list[str] = field(default_factory=list)
    """Bytes, key, headers or timestamp differ by more than what the worker adds."""
    both: list[str] = field(default_factory=list)
    """Classified and dead."""

    @property
    def repeats(self) -> int:
        """Records published in addition to the first."""
        return self.duplicated.total()

    def check(self, *, max_repeats: int = 0, max_rewinds: int | None = None) -> None:
        """Raise AssertionError with everything that is wrong; repeats up to a bound are not."""
        wrong = [
            f"{name}: {len(events)}, first {', '.join(events[:SHOWN])}"
            for name, events in {
                "lost": self.lost,
                "unknown": self.unknown,
                "reordered": self.reordered,
                "corrupted": self.corrupted,
                "both classified and dead": self.both,
            }.items()
            if events
        ]
        if self.repeats > max_repeats:
            wrong.append(f"repeated: {self.repeats}, allowed {max_repeats}, first {list(self.duplicated)[:SHOWN]}")
        if max_rewinds is not None and self.rewinds > max_rewinds:
            wrong.append(f"rewinds: {self.rewinds}, allowed {max_rewinds}")
        assert not wrong, f"of {self.produced} events: " + "; ".join(wrong)

    def __str__(self) -> str:
        return (
            f"{self.produced} produced, {self.outputs} outputs, {self.dead_letters} dead letters,"
            f" {len(self.lost)} lost, {self.repeats} repeated in {self.rewinds} rewinds,"
            f" {len(self.reordered)} reordered"
        )


@dataclass
class Ledger:
    """The events of one test."""

    names: TopicNames
    produced: dict[str, Message] = field(default_factory=dict)
    """By source: ``<topic>/<partition>/<offset>``."""

    def note(self, messages: Sequence[Message], sent: Iterable[object]) -> list[str]:
        """Remember `messages`, which went where `sent` says; answers their sources."""
        sources = [f"{place.topic}/{place.partition}/{place.offset}" for place in sent]  # type: ignore[attr-defined]
        self.produced.update(zip(sources, messages, strict=True))
        return sources

    async def produce(self, servers: str, messages: Iterable[Message], *, compression: str | None = None) -> list[str]:
        """Produce to the input topic and remember; answers the sources, in order."""
        listed = list(messages)
        sent = await kafka_tools.produce(servers, self.names.input, listed, compression=compression)
        return self.note(listed, sent)

    @asynccontextmanager
    async def load(
        self, servers: str, make: Callable[[int], Message], *, group: int = 20
    ) -> AsyncIterator[asyncio.Task[None]]:
        """Produce ``make(0)``, ``make(1)`` and so on, a group at a time, for as long as the block lasts."""
        stop = asyncio.Event()
        task = asyncio.create_task(self._produce_until(stop, servers, make, group))
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
            await kafka_tools.consume_all(servers, self.names.output),
            await kafka_tools.consume_all(servers, self.names.dead_letters),
        )

    async def settled(self, servers: str, deadline_s: float = DEADLINE_S) -> Verdict:
        """Wait until every event is published somewhere, or the deadline passes, and judge."""
        until = asyncio.get_running_loop().time() + deadline_s
        while True:
            verdict = self.judge(*await self.outputs(servers))
            if not verdict.lost or asyncio.get_running_loop().time() > until:
                print(f"ledger: {verdict}")
                return verdict
            await asyncio.sleep(PAUSE_S)

    def judge(self, outputs: Sequence[ConsumerRecord], dead_letters: Sequence[ConsumerRecord]) -> Verdict:
        """Compare what was published with what was produced."""
        classified = Counter(map(source_of_output, outputs))
        dead = Counter(map(source_of_dead_letter, dead_letters))
        published = classified + dead
        orders = (
            order_faults(self.produced, source_of_output, outputs),
            order_faults(self.produced, source_of_dead_letter, dead_letters),
        )
        corrupted = [
            source_of_output(record) for record in outputs if not self._is_faithful(source_of_output(record), record)
        ]
        corrupted += [
            source_of_dead_letter(record)
            for record in dead_letters
            if not self._is_untouched(source_of_dead_letter(record), record)
        ]
        return Verdict(
            produced=len(self.produced),
            outputs=len(outputs),
            dead_letters=len(dead_letters),
            lost=[source for source in self.produced if source not in published],
            unknown=[source for source in published if source not in self.produced],
            duplicated=Counter({source: count - 1 for source, count in published.items() if count > 1}),
            rewinds=sum(rewinds for _, rewinds in orders),
            reordered=[source for reordered, _ in orders for source in reordered],
            corrupted=corrupted,
            both=sorted(classified.keys() & dead.keys()),
        )

    async def _produce_until(
        self, stop: asyncio.Event, servers: str, make: Callable[[int], Message], group: int
    ) -> None:
        number = 0
        producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True, linger_ms=2)
        async with producer:
            while not stop.is_set():
                messages = [make(number + index) for index in range(group)]
                number += group
                sending = [
                    await producer.send(self.names.input, message.value, message.key, headers=list(message.headers))
                    for message in messages
                ]
                self.note(messages, await asyncio.gather(*sending))
                await asyncio.sleep(PAUSE_S)

    def _is_faithful(self, source: str, record: ConsumerRecord) -> bool:
        message = self.produced.get(source)
        if message is None:
            return True  # unknown, and reported as that
        headers = tuple(record.headers)
        return (
            _carried_over(message, record)
            and headers == (*message.headers, ("source", source.encode()))
            and extended_only(message.value, record.value)
        )

    def _is_untouched(self, source: str, record: ConsumerRecord) -> bool:
        message = self.produced.get(source)
        if message is None:
            return True
        own = len(message.headers)
        return (
            _carried_over(message, record)
            and record.value == message.value
            and tuple(record.headers)[:own] == tuple(message.headers)
        )


def source_of_output(record: ConsumerRecord) -> str:
    """Where the event of an output came from; the last header of that name is the worker's."""
    return dict(record.headers)["source"].decode()


def source_of_dead_letter(record: ConsumerRecord) -> str:
    """Where the event of a dead letter came from."""
    headers = dict(record.headers)
    parts = (headers[f"__streams.errors.{name}"].decode() for name in ("topic", "partition", "offset"))
    return "/".join(parts)


def extended_only(value: bytes | None, output: bytes | None, member: str = "sentiment") -> bool:
    """Whether `output` is `value` with one more member at its end, and nothing else."""
    if value is None or output is None:
        return value is output
    end = value.rindex(b"}")
    before, after = value[:end] + b"," + json.dumps(member).encode() + b":", value[end:]
    if not (output.startswith(before) and output.endswith(after)):
        return False
    return isinstance(json.loads(output[len(before) : len(output) - len(after)]), dict)


def _carried_over(message: Message, record: ConsumerRecord) -> bool:
    same_time = message.timestamp_ms is None or record.timestamp == message.timestamp_ms
    return record.key == message.key and same_time


def order_faults(
    produced: dict[str, Message], source_of: Callable[[ConsumerRecord], str], records: Sequence[ConsumerRecord]
) -> tuple[list[str], int]:
    """What came out of order on one topic, and how often a partition of it went back.

    First appearances must be in order for each input partition within a partition of the output; and all of a key must
    be in one partition of the output. Since a key is in one input partition too, that gives the order of each key.
    """
    reordered: list[str] = []
    rewinds = 0
    seen: set[str] = set()
    highest: dict[object, int] = {}
    latest: dict[object, int] = {}
    partition_of_key: dict[bytes, int] = {}
    for record in records:
        source = source_of(record)
        place, _, number = source.rpartition("/")
        lane, offset = (place, record.partition), int(number)
        rewinds += offset <= latest.get(lane, -1)
        latest[lane] = offset
        key = produced[source].key if source in produced else None
        scattered = key is not None and partition_of_key.setdefault(key, record.partition) != record.partition
        if scattered or (source not in seen and offset < highest.get(lane, -1)):
            reordered.append(source)
        seen.add(source)
        highest[lane] = max(highest.get(lane, -1), offset)
    return reordered, rewinds
