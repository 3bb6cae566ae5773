"""A broker in memory: topics, partitions, offsets with holes, committed offsets, and switches for what can fail."""

from __future__ import annotations

import asyncio
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from worker.errors import BrokerError, RecordRefusedError, RecordTimeError, RecordTooLargeError
from worker.records import Headers, OutputRecord, TopicPartition

DEFAULT_MAX_BATCH_BYTES = 1_048_588
"""A broker's own default for ``max.message.bytes``."""
FIRST_TIMESTAMP_MS = 1_700_000_000_000
BATCH_OVERHEAD_BYTES = 61
RECORD_OVERHEAD_BYTES = 7


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """One record as the broker keeps it."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(slots=True)
class _Log:
    """One partition: records in order of offset, and the offset that the next one gets."""

    records: list[StoredRecord] = field(default_factory=list)
    end_offset: int = 0


class FakeBroker:
    """Keeps records and committed offsets. For one event loop; every method returns at once but `until_back`."""

    def __init__(self) -> None:
        self._logs: dict[TopicPartition, _Log] = {}
        self._max_batch_bytes: dict[str, int] = {}
        self._keys_only: set[str] = set()
        self._times_ms: dict[str, tuple[int, int]] = {}
        self._committed: dict[str, dict[TopicPartition, int]] = {}
        self._epochs: dict[str, int] = {}
        self._back = asyncio.Event()
        self._back.set()
        self._changed = asyncio.Event()
        self.on_commit: list[Callable[[str, Mapping[TopicPartition, int]], None]] = []
        """Called with the group and the offsets before they are stored; what it raises reaches who commits."""

    # --- topics and records -----------------------------------------------------------------------------------------

    def create_topic(self, name: str, partitions: int = 1, *, max_batch_bytes: int = DEFAULT_MAX_BATCH_BYTES) -> None:
        """Create a topic; raises ValueError for one that exists. `max_batch_bytes` is Kafka's ``max.message.bytes``."""
        if name in self._max_batch_bytes:
            raise ValueError(f"topic {name} exists")
        self._max_batch_bytes[name] = max_batch_bytes
        for number in range(partitions):
            self._logs[TopicPartition(name, number)] = _Log()

    def partitions(self, topic: str) -> tuple[TopicPartition, ...]:
        """All partitions of `topic`, in order."""
        return tuple(sorted(partition for partition in self._logs if partition.topic == topic))

    def max_batch_bytes(self, topic: str) -> int:
        """Largest batch that `topic` takes."""
        return self._max_batch_bytes[topic]

    def limit_batch_bytes(self, topic: str, max_batch_bytes: int) -> None:
        """Let `topic` take less, or more, from now on."""
        self._max_batch_bytes[topic] = max_batch_bytes

    def takes_keys_only(self, topic: str) -> bool:
        """Whether `topic` takes no record without a key."""
        return topic in self._keys_only

    def take_keys_only(self, topic: str) -> None:
        """Let `topic` take no record without a key from now on, as a compacted one."""
        self._keys_only.add(topic)

    def take_times(self, topic: str, first_ms: int, last_ms: int) -> None:
        """Let `topic` take no timestamp before or after these from now on; records without one are taken."""
        self._times_ms[topic] = first_ms, last_ms

    def append(
        self,
        partition: TopicPartition,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Headers = (),
        timestamp_ms: int | None = None,
    ) -> int:
        """Store one record, as a producer upstream does; answers its offset. Works while the broker is `away`."""
        log = self._logs[partition]
        offset = log.end_offset
        timestamp_ms = FIRST_TIMESTAMP_MS + offset if timestamp_ms is None else timestamp_ms
        log.records.append(StoredRecord(offset, timestamp_ms, key, value, headers))
        log.end_offset += 1
        self._wake()
        return offset

    def append_batch(self, partition: TopicPartition, outputs: Iterable[OutputRecord]) -> None:
        """Store a batch, all of it or nothing.

        Raises BrokerError while away and RecordRefusedError for a batch that the topic does not take.
        """
        outputs = list(outputs)
        self.check_back()
        self.check_batch(partition, outputs)
        for output in outputs:
            timestamp_ms = output.timestamp_ms if output.timestamp_ms >= 0 else None
            self.append(partition, output.value, key=output.key, headers=output.headers, timestamp_ms=timestamp_ms)

    def check_batch(self, partition: TopicPartition, outputs: Iterable[OutputRecord]) -> None:
        """Raises RecordRefusedError for a batch that the topic does not take, for its size, a time or want of a key."""
        outputs = list(outputs)
        if self.takes_keys_only(partition.topic) and any(output.key is None for output in outputs):
            raise RecordRefusedError(f"a record without a key; {partition.topic} takes none")
        first_ms, last_ms = self._times_ms.get(partition.topic, (0, sys.maxsize))
        if any(output.timestamp_ms >= 0 and not first_ms <= output.timestamp_ms <= last_ms for output in outputs):
            raise RecordTimeError(f"a time that {partition.topic} does not take")
        size_bytes, limit = batch_bytes(outputs), self._max_batch_bytes[partition.topic]
        if size_bytes > limit:
            raise RecordTooLargeError(f"a batch of {size_bytes} bytes; {partition.topic} takes {limit}")

    def skip_offsets(self, partition: TopicPartition, count: int = 1) -> None:
        """Use up offsets without a record, as transaction markers do."""
        self._logs[partition].end_offset += count

    def compact(self, partition: TopicPartition, offsets: Iterable[int]) -> None:
        """Take records away, as compaction does; the others keep their offsets."""
        gone = set(offsets)
        log = self._logs[partition]
        log.records = [record for record in log.records if record.offset not in gone]

    def records(self, partition: TopicPartition) -> list[StoredRecord]:
        """All records of a partition, in order."""
        return list(self._logs[partition].records)

    def topic_records(self, topic: str) -> list[StoredRecord]:
        """All records of a topic, one partition after the other."""
        return [record for partition in self.partitions(topic) for record in self._logs[partition].records]

    def fetch(self, partition: TopicPartition, offset: int, max_records: int) -> list[StoredRecord]:
        """The next records from `offset` on; none at the end and none while the broker is away."""
        if self.is_away:
            return []
        records = self._logs[partition].records
        start = bisect_left(records, offset, key=lambda record: record.offset)
        return records[start : start + max_records]

    def end_offset(self, partition: TopicPartition) -> int:
        """The offset that the next record gets."""
        return self._logs[partition].end_offset

    # --- committed offsets ------------------------------------------------------------------------------------------

    def commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Store next offsets of a group, whatever they are; raises BrokerError while away."""
        self.check_back()
        for watch in self.on_commit:
            watch(group, offsets)
        self._committed.setdefault(group, {}).update(offsets)
        self._wake()

    def committed(self, group: str) -> dict[TopicPartition, int]:
        """Next offsets that the group has stored."""
        return dict(self._committed.get(group, {}))

    # --- transactional identities ---------------------------------------------------------------------------------

    def open_identity(self, identity: str) -> int:
        """Answers the new epoch of a transactional id; who had it before is fenced. Raises BrokerError while away."""
        self.check_back()
        self._epochs[identity] = self._epochs.get(identity, -1) + 1
        return self._epochs[identity]

    def epoch(self, identity: str) -> int | None:
        """The epoch that a transactional id is at now."""
        return self._epochs.get(identity)

    # --- switches ---------------------------------------------------------------------------------------------------

    @property
    def is_away(self) -> bool:
        """Whether nobody can reach the broker."""
        return not self._back.is_set()

    def go_away(self) -> None:
        """Let nobody reach the broker: fetches are empty, commits raise, publishing waits."""
        self._back.clear()

    def come_back(self) -> None:
        """Answer again."""
        self._back.set()
        self._wake()

    def check_back(self) -> None:
        """Raises BrokerError while the broker is away."""
        if self.is_away:
            raise BrokerError("the broker is away")

    async def until_back(self) -> None:
        """Wait until the broker answers."""
        await self._back.wait()

    async def change(self) -> None:
        """Wait until something is stored or the broker comes back."""
        await self._changed.wait()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` is true; it is looked at after every change."""
        while not condition():
            await self.change()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def batch_bytes(outputs: Iterable[OutputRecord]) -> int:
    """About the bytes of `outputs` in one batch without compression."""
    size = BATCH_OVERHEAD_BYTES
    for output in outputs:
        size += RECORD_OVERHEAD_BYTES + len(output.key or b"") + len(output.value or b"")
        size += sum(2 + len(name.encode()) + len(value or b"") for name, value in output.headers)
    return size
