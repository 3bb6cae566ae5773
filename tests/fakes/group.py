"""A consumer group over a `FakeBroker`: its members feed pipelines, share partitions and commit, as Faust's do.

Rebalances are eager, as the real transport's: every member gives everything up, publishing and committing what it can,
and gets its new share under a new generation.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Mapping
from typing import Any, Protocol

from fakes.broker import FakeBroker, StoredRecord
from worker.records import Chunk, Record, TopicPartition

FLUSH_TIMEOUT_S = 3.0


class Source(Protocol):
    """What a member needs of a pipeline."""

    def assigned(self, generation: int, start_offsets: Mapping[TopicPartition, int | None]) -> None: ...

    async def revoked(self, flush_timeout_s: float) -> dict[TopicPartition, int]: ...

    def closed(self) -> None: ...

    async def intake(self, chunk: Chunk) -> None: ...


class Delivery(Protocol):
    """What a member needs of what publishes."""

    async def take_over(self, partitions: Collection[TopicPartition]) -> None: ...

    def retire(self) -> None: ...


class FakeGroup:
    """Shares the partitions of one topic among members that come and go."""

    def __init__(self, broker: FakeBroker, name: str, topic: str) -> None:
        self.broker = broker
        self.name = name
        self.topic = topic
        self.members: list[FakeMember] = []
        self.rebalances = 0
        self._rebalancing = asyncio.Lock()

    async def join(self, member: FakeMember) -> None:
        """Take `member` in; all members rebalance."""
        async with self._rebalancing:
            await self._revoke_all()
            self.members.append(member)
            self._assign_all()

    async def rejoin(self, member: FakeMember) -> None:
        """Share out again because `member` asks for it, which may have been replaced without knowing."""
        async with self._rebalancing:
            if member.fenced:
                await member.give_up()
                member.fenced = False
                self.members.append(member)
            await self._revoke_all()
            self._assign_all()

    async def leave(self, member: FakeMember) -> None:
        """Let `member` go in good order: it commits what is acknowledged, and the others take over."""
        async with self._rebalancing:
            if member not in self.members:
                return
            await self._revoke_all()
            self.members.remove(member)
            self._assign_all()

    async def rebalance(self) -> None:
        """Share out again, the same members."""
        async with self._rebalancing:
            await self._revoke_all()
            self._assign_all()

    async def fence(self, member: FakeMember) -> None:
        """Give the partitions of `member` to the others without its knowing: it was away for too long.

        It goes on as before, but the group takes no commit of it.
        """
        async with self._rebalancing:
            self.members.remove(member)
            member.fenced = True
            await self._revoke_all()
            self._assign_all()

    async def _revoke_all(self) -> None:
        for member in self.members:
            await member.give_up()

    def _assign_all(self) -> None:
        self.rebalances += 1
        partitions = self.broker.partitions(self.topic)
        for index, member in enumerate(self.members):
            member.take(partitions[index :: len(self.members)])


class FakeMember:
    """One consumer: hands chunks to a pipeline and commits for it. Implements `worker.pipeline.protocols.Committer`."""

    def __init__(self, group: FakeGroup, *, chunk_records: int = 16, flush_timeout_s: float = FLUSH_TIMEOUT_S) -> None:
        self._group = group
        self._chunk_records = chunk_records
        self._flush_timeout_s = flush_timeout_s
        self._source: Source | None = None
        self._delivery: Delivery | None = None
        self._beginning: asyncio.Task[None] | None = None
        self._feeding: asyncio.Task[Any] | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._follows: dict[TopicPartition, int | None] = {}
        self.generation = 0
        self.partitions: tuple[TopicPartition, ...] = ()
        self.fenced = False
        self.delivered = 0
        """Records given to the pipeline, repeats included."""

    def feed(self, source: Source, delivery: Delivery | None = None) -> None:
        """Say which pipeline gets the chunks, and what takes partitions over for it; before it joins."""
        self._source = source
        self._delivery = delivery

    async def commit(self, offsets: Mapping[TopicPartition, int], generation: int) -> bool:
        """See `worker.pipeline.protocols.Committer`; False as well for a member that is fenced or has left."""
        self._group.broker.check_back()
        if self.fenced or generation != self.generation or self not in self._group.members:
            return False
        stored = self._group.broker.committed(self._group.name)
        fresh = {partition: offset for partition, offset in offsets.items() if offset > stored.get(partition, -1)}
        if fresh:
            self._group.broker.commit(self._group.name, fresh)
        return True

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Hand over from `offset` on again, as Faust does when it goes back to the committed offset."""
        self._positions[partition] = offset

    async def crash(self) -> None:
        """Stop without a word: nothing is committed, and the others take over."""
        await self._stop_feeding()
        await self._group.fence(self)

    # --- called by the group ----------------------------------------------------------------------------------------

    async def give_up(self) -> None:
        """Publish and commit what can be, and stop feeding. The order is that of the real transport."""
        self.generation += 1  # what is fetched from here on belongs to the next assignment
        if self._beginning is not None:
            self._beginning.cancel()
        if self.partitions:
            offsets = await self._pipeline.revoked(self._flush_timeout_s)
            if offsets and not self.fenced and not self._group.broker.is_away:
                self._group.broker.commit(self._group.name, offsets)
        self._pipeline.closed()
        if self._delivery is not None:
            self._delivery.retire()
        await self._stop_feeding()
        self.partitions = ()

    def take(self, partitions: tuple[TopicPartition, ...]) -> None:
        """Start on a new share, from the committed offsets. Records may come before the pipeline knows of it."""
        committed = self._group.broker.committed(self._group.name)
        start_offsets = {partition: committed.get(partition) for partition in partitions}
        self.partitions = partitions
        self._positions = {partition: offset or 0 for partition, offset in start_offsets.items()}
        self._follows = dict.fromkeys(partitions)
        self._feeding = asyncio.create_task(self._feed(), name="feed")
        self._beginning = asyncio.create_task(self._begin(self.generation, partitions), name="begin")

    async def _begin(self, generation: int, partitions: tuple[TopicPartition, ...]) -> None:
        """Fence, then read the committed offsets, as the real transport does."""
        if self._delivery is not None:
            await self._delivery.take_over(partitions)
        committed = self._group.broker.committed(self._group.name)
        if generation == self.generation:
            self._pipeline.assigned(generation, {partition: committed.get(partition) for partition in partitions})

    @property
    def _pipeline(self) -> Source:
        if self._source is None:
            raise RuntimeError("call feed() before the member joins")
        return self._source

    async def _stop_feeding(self) -> None:
        if self._feeding is not None:
            self._feeding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._feeding
            self._feeding = None

    async def _feed(self) -> None:
        """Partitions take turns, a chunk each."""
        broker = self._group.broker
        while True:
            chunks = [chunk for partition in self.partitions if (chunk := self._next_chunk(partition)) is not None]
            for chunk in chunks:
                await self._pipeline.intake(chunk)
            if not chunks:
                await broker.change()

    def _next_chunk(self, partition: TopicPartition) -> Chunk | None:
        stored = self._group.broker.fetch(partition, self._positions[partition], self._chunk_records)
        if not stored:
            return None
        follows = self._follows[partition]
        if follows is not None and stored[0].offset < follows:
            follows = stored[0].offset
        self._positions[partition] = self._follows[partition] = stored[-1].offset + 1
        self.delivered += len(stored)
        return Chunk(
            partition, self.generation, follows, [_record(partition, each, self.generation) for each in stored]
        )


def _record(partition: TopicPartition, stored: StoredRecord, generation: int) -> Record:
    return Record(partition, stored.offset, stored.timestamp_ms, stored.key, stored.value, stored.headers, generation)
