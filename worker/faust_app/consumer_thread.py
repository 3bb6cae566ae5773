"""The thread with aiokafka's consumer in it: generations, who commits, and the order of fencing and reading.

- What is fetched carries the generation of the assignment that it was fetched under. The number is taken on the
  consumer's own event loop, where assignments change, at the moment the fetch returns; Faust's own number may be newer
  by then.
- Offsets are stored by us alone: at revocation before anything else happens, and never lower than they are.
- Before the committed offsets of a new assignment are read, whoever may still publish what comes of it is fenced.

Faust runs its consumer on an event loop in a thread of its own; `Membership` is called on the worker's loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import Any, TypeVar

from aiokafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    IllegalStateError,
    KafkaError,
    RebalanceInProgressError,
    TopicAuthorizationFailedError,
    UnknownMemberIdError,
)
from aiokafka.structs import OffsetAndMetadata
from aiokafka.structs import TopicPartition as KafkaPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from worker.consumers import BoundedFetcher
from worker.delivery.offset_metadata import OffsetMetadata
from worker.errors import BrokerError
from worker.faust_app.added_partitions import AddedPartitions
from worker.faust_app.chunks import Fetched
from worker.faust_app.clients import new_consumer
from worker.faust_app.committed import committed_offsets, offsets_by_now
from worker.faust_app.damaged_partitions import DamagedPartitions
from worker.faust_app.handed_over import HandedOver
from worker.faust_app.host import Host
from worker.faust_app.place_in_group import PlaceInGroup
from worker.faust_app.same_topic import SameTopic
from worker.faust_app.standing import Standing, standing_of
from worker.faust_app.start_offsets import Gaps, Starts
from worker.faust_app.topic_ids import TopicIds
from worker.records import TopicPartition
from worker.security import lacking
from worker.tasks import owned, watched

logger = logging.getLogger(__name__)

T = TypeVar("T")
ANSWER_TIMEOUT_S = 10.0
BEGINNING_PATIENCE_S = 2.0
STOP_TIMEOUT_S = 5.0
RETRY_PAUSE_S = 0.5
MARKER = 1
"""The end of a transaction takes an offset: a gap of one is not worth a question."""
STALE = (CommitFailedError, IllegalGenerationError, IllegalStateError, RebalanceInProgressError, UnknownMemberIdError)


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread with the real consumer in it."""

    _gaps: Gaps
    _topic_ids: TopicIds
    _starts: Starts
    _same_topic: SameTopic

    def __post_init__(self) -> None:
        super().__post_init__()
        self.generation = 0
        self._joining = True
        self._ending_generation = -1
        self._lost_in = -1
        self._reading = 0
        self._handed_over = HandedOver()
        self._damaged: DamagedPartitions | None = None
        self._stored: dict[TP, int] = {}
        self._storing: asyncio.Lock | None = None
        self._committing: asyncio.Task[None] | None = None
        self._beginning: asyncio.Task[None] | None = None
        self._place: PlaceInGroup | None = None
        self._watching: list[asyncio.Task[None]] = []

    @property
    def _host(self) -> Host:
        host: Host = self.app.host  # type: ignore[attr-defined]  # our app
        return host

    def _create_worker_consumer(self, transport: Any) -> Any:
        host = self._host
        return new_consumer(self.app.conf, host.client_options, read_committed=host.read_committed)

    async def on_start(self) -> None:
        """Start the consumer, and watch its place in the group."""
        await super().on_start()
        consumer = self._ensure_consumer()
        failed = self._host.failed
        self._gaps = Gaps(consumer, failed)
        self._damaged = DamagedPartitions(consumer, self._host.skip_command)
        fetcher: BoundedFetcher = consumer._fetcher
        fetcher.on_damage, fetcher.max_taken_bytes = self._damaged.found, self._host.max_taken_bytes
        self._watch_topics(consumer)
        self._place = PlaceInGroup(consumer, failed)
        self._watching = [owned(self._place.watch(), "watch the place in the group", failed, ends=True)]
        if consumer._coordinator._group_instance_id:
            self._watching.append(owned(AddedPartitions(consumer).watch(), "watch for added partitions", failed))
        watched(consumer._fetcher.error_future, "aiokafka's fetching", failed)
        watched(consumer._client._sync_task, "aiokafka's looking for metadata", failed)

    def _watch_topics(self, consumer: Any) -> None:
        self._topic_ids = TopicIds(consumer, lambda: self.generation)
        self._starts = Starts(consumer, self._topic_ids, from_beginning=self._host.from_beginning)
        self._same_topic = SameTopic(consumer, self._topic_ids, self._starts, self._handed_over.ends)

    async def on_thread_stop(self) -> None:
        """Stop the consumer, whatever the broker does: whoever stops this thread waits for its end.

        aiokafka waits for a broker that does not answer for the time of a request, for the end of a rebalance for as
        long as the slowest member takes, and trips over a fetch that it cancels itself when there is no broker.
        """
        for watching in self._watching:
            watching.cancel()
        stopping = asyncio.create_task(super().on_thread_stop())
        if self._joining and self._place is not None:
            await self._place.give_up()
        await asyncio.wait({stopping}, timeout=STOP_TIMEOUT_S)
        stopping.cancel()
        try:
            await stopping
        except asyncio.CancelledError:
            await self._ensure_consumer()._client.close()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Store what is done, first and fast; then let Faust do what it does."""
        with self._failures_told():
            await self._revoke(revoked)

    async def _revoke(self, revoked: set[TP]) -> None:
        self._joining = True
        generation = self._ending_generation = self.generation
        self.generation += 1  # what is fetched from here on belongs to the next assignment
        if self._beginning is not None:
            self._beginning.cancel()
        if revoked:
            offsets = await self._on_worker_loop(self._host.membership.revoked())
            if offsets and not self.app.should_stop:
                try:
                    await self._store(offsets, generation)
                except BrokerError as error:
                    logger.warning("offsets could not be committed before the rebalance (%s); repeats follow", error)
        await self._on_worker_loop(_call(self._host.membership.closed))
        self._ending_generation = -1
        self._handed_over.clear()
        if self._damaged is not None:
            self._damaged.clear()
        self._stored.clear()
        await super().on_partitions_revoked(revoked)
        if self._place is not None:
            await self._place.check()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Learn where to start before any record is let through.

        While this runs no heartbeat is sent, so what takes long goes on beside it: records wait for its end.
        """
        with self._failures_told():
            await self._assign(assigned, generation_id)

    async def _assign(self, assigned: set[TP], generation_id: int) -> None:
        self._joining = False
        self._beginning = owned(
            self._begin(self.generation, assigned), "begin an assignment", self._host.failed, ends=True
        )
        await asyncio.wait({self._beginning}, timeout=BEGINNING_PATIENCE_S)
        await super().on_partitions_assigned(assigned, generation_id)

    @contextlib.contextmanager
    def _failures_told(self) -> Iterator[None]:
        """aiokafka logs what is raised when an assignment changes, and goes on."""
        try:
            yield
        except Exception as error:
            self._host.failed(error)
            raise

    async def _begin(self, generation: int, assigned: set[TP]) -> None:
        """Fence, then read the committed offsets, then let the records through: in this order."""
        partitions = [driver.ensure_aiokafka_TP(tp) for tp in assigned]
        to_fence = partitions
        if not self._host.exactly_once:
            # A member of the time when the group processed these exactly once may have a transaction open. It is fenced
            # first: who waits for the transaction of a dead member waits until the broker gives it up.
            answer = await self._answer(generation, lambda: offsets_by_now(self._ensure_consumer(), partitions))
            committed, pending = answer or ({}, set())
            marked = [each for each, at in committed.items() if OffsetMetadata.parse(at.metadata).exactly_once]
            to_fence = [*pending, *marked]
        if to_fence:
            taking_over = self._host.membership.take_over([TopicPartition(*each) for each in to_fence])
            await self._on_worker_loop(taking_over)
        start = await self._answer(generation, lambda: self._starts.of(partitions, generation))
        if start is not None and generation == self.generation:
            await self._on_worker_loop(_call(self._host.membership.assigned, generation, start))

    async def _answer(self, generation: int, ask: Callable[[], Awaitable[T]]) -> T | None:
        """The answer of `ask`, as often as it takes; None when the assignment is over."""
        while generation == self.generation:
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    return await ask()
            except STALE:
                break  # the next assignment is on its way
            except (KafkaError, TimeoutError) as error:
                logger.warning("where to start reading cannot be learnt (%r); trying again", error)
                await asyncio.sleep(RETRY_PAUSE_S)
        return None

    async def committed(self, partition: TopicPartition) -> int | None:
        """The committed offset of a partition, None where there is none; may be called from the worker's loop.

        Raises KafkaError or TimeoutError when the broker cannot say.
        """
        asked = committed_offsets(self._ensure_consumer(), [KafkaPartition(*partition)])
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            committed = await self._on_own_loop(asked)
        return next((at.offset for at in committed.values()), None)

    def rejoin(self) -> None:
        """Ask the group for an assignment anew; may be called from the worker's loop."""
        self.thread_loop.call_soon_threadsafe(self._ensure_consumer()._coordinator.request_rejoin)

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> dict[TP, Fetched]:  # type: ignore[override]
        try:
            records_by_partition = await super()._fetch_records(*args, **kwargs)
        except TopicAuthorizationFailedError as error:  # Faust would crash, and show where
            if reason := lacking(error, "read"):
                self._host.failed(reason)
            return {}
        assignment, reading = (self.generation, self._joining), self._reading
        # Asked after the fetch: the fetch itself knows only the name.
        others = await self._same_topic.others_among(records_by_partition)
        if assignment != (self.generation, self._joining):
            return {}  # it ended meanwhile
        if reading != self._reading:  # what comes before has been sought
            others = records_by_partition.keys()
        flows, active = self.consumer.flow_active, self.consumer._active_partitions
        fetched = {}
        for tp, records in records_by_partition.items():
            first = records[0].offset
            if not flows or tp not in active or tp in others:
                self._seek_back(tp, min(first, self._handed_over.sought(tp, first)))
                continue
            if self._handed_over.begins_anew(tp, first):
                self._begin_anew(tp, first)
                continue
            if self._damaged is not None:
                self._damaged.read(driver.ensure_aiokafka_TP(tp), records[-1].offset + 1)
            follows = self._handed_over.add(tp, first, records[-1].offset + 1)
            if follows is not None and first > follows + MARKER:
                self._gaps.look_into(driver.ensure_aiokafka_TP(tp), follows, first)
            fetched[tp] = Fetched(self.generation, follows, records, self._reading)
        return fetched

    def offset_metadata(self, partition: TopicPartition) -> OffsetMetadata:
        """What is to be stored beside an offset of the assignment; may be called from any thread."""
        return OffsetMetadata(self._topic_ids.begun(partition.topic))

    def _begin_anew(self, tp: TP, first: int) -> None:
        """aiokafka has begun anew, as what it had read is not there any more. So does the group, from its offsets."""
        if self._lost_in != self.generation:
            self._lost_in = self.generation
            logger.error(
                "%s/%d begins anew at %d, and was read to %d: the topic was made anew, or a broker lost its end",
                tp.topic,
                tp.partition,
                first,
                self._handed_over.until(tp),
            )
            self._ensure_consumer()._coordinator.request_rejoin()

    def is_read_again(self, fetched: Fetched) -> bool:
        """Whether these come again: Faust may go on with the rest of a fetch whose beginning it has cleared."""
        return fetched.reading != self._reading

    async def read_again(self) -> None:
        """Have records fetched again that were handed over in this assignment and are not committed; from any loop.

        What of them has arrived is cut off when it comes again.
        """
        await self._on_own_loop(_call(self._read_again))

    def _read_again(self) -> None:
        self._reading += 1
        for partition, offset in self._handed_over.seek_back(self._stored).items():
            self._seek_back(TP(*partition), offset)

    def _seek_back(self, tp: TP, offset: int) -> None:
        """Have records fetched again that Faust would throw away, since a rebalance came while it waited for them."""
        with contextlib.suppress(IllegalStateError):  # no longer ours
            self._ensure_consumer().seek(driver.ensure_aiokafka_TP(tp), offset)

    async def store_offsets(self, offsets: Mapping[TopicPartition, int], generation: int) -> bool:
        """Store next offsets in the group; may be called from the worker's loop. See `Committer.commit`."""
        return bool(await self.call_thread(self._store, offsets, generation))

    async def _store(self, offsets: Mapping[TopicPartition, int], generation: int) -> bool:
        if self._storing is None:
            self._storing = asyncio.Lock()
        async with self._storing:
            # While an assignment is being revoked the number has moved on, and its commits are still ours to make.
            if generation not in (self.generation, self._ending_generation) or self._topic_ids.is_mixed(generation):
                return False
            fresh = {
                KafkaPartition(*partition): OffsetAndMetadata(offset, str(self.offset_metadata(partition)))
                for partition, offset in offsets.items()
                if offset > self._stored.get(TP(*partition), -1)
            }
            if not fresh:
                return True
            try:
                await self._commit_one(fresh)
            except STALE as error:
                logger.debug("commit refused, the assignment is over: %s", error)
                return False
            except KafkaError as error:
                raise BrokerError(str(error) or type(error).__name__) from error
            self._stored.update({TP(*partition): offset for partition, offset in offsets.items()})
            return True

    async def _commit_one(self, offsets: Mapping[KafkaPartition, OffsetAndMetadata]) -> None:
        """One commit at a time. aiokafka waits for a coordinator for ever: what it has begun goes on, unwatched."""
        if self._committing is not None:
            with contextlib.suppress(KafkaError):
                await self._answered(self._committing)
        self._committing = asyncio.create_task(self._ensure_consumer().commit(offsets))
        self._committing.add_done_callback(lambda commit: commit.cancelled() or commit.exception())  # who waits may go
        await self._answered(self._committing)

    async def _answered(self, commit: asyncio.Task[None]) -> None:
        await asyncio.wait({commit}, timeout=ANSWER_TIMEOUT_S)
        if not commit.done():
            raise BrokerError(f"no answer for {ANSWER_TIMEOUT_S:g} s")
        self._committing = None
        commit.result()

    async def standing(self) -> dict[TopicPartition, Standing]:
        """How far each assigned partition is read and how far it goes; may be called from the worker's loop.

        Those without a leader are left out. Without an assignment the broker is asked all the same. Raises KafkaError
        when the broker cannot say, TimeoutError when this thread does not answer.
        """
        async with asyncio.timeout(2 * ANSWER_TIMEOUT_S):
            return await self._on_own_loop(self._standing())

    async def _standing(self) -> dict[TopicPartition, Standing]:
        if self._place is None:
            return {}  # it is not started
        until, damaged = self._handed_over.until, self._damaged
        with contextlib.suppress(KafkaError, TimeoutError):
            await self._same_topic.look(self._ensure_consumer().assignment())
        standing = await standing_of(
            self._ensure_consumer(), lambda place: until(TP(*place)), read_committed=self._host.read_committed
        )
        return damaged.seen_in(standing) if damaged else standing

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's livelock messages rest on its own bookkeeping, which is off: `Progress` watches instead."""

    async def _on_own_loop(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """From the worker's loop; past Faust's queue of calls, which may be waiting for the broker, or for this."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self.thread_loop))

    async def _on_worker_loop(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._host.worker_loop))


async def _call(function: Any, *args: Any) -> None:
    function(*args)
