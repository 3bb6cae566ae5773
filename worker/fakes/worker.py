"""A whole worker over a `FakeBroker`: the real rooms between a fake source, a fake session and a fake publisher."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from worker.batching import BatchLimits, BatchQueue
from worker.clock import Clock, SystemClock
from worker.delivery.collector import RecordCollector
from worker.delivery.dead_letters import DeadLetterFuse
from worker.delivery.outputs import Destination, OutputWriter, Partitioner
from worker.errors import BrokerError, ExitCode
from worker.events import EventCodec, ResultWriter
from worker.fakes.group import FakeGroup, FakeMember
from worker.fakes.publisher import FakePublisher
from worker.inference import BatchRunner, RetryPolicy, Session
from worker.metrics import Metrics
from worker.offsets import OffsetTracker
from worker.pipeline.flow_control import FlowControl
from worker.pipeline.pipeline import Pipeline
from worker.pipeline.progress import Progress
from worker.preparation import RecordPreparer
from worker.records import TopicPartition
from worker.settings import Settings
from worker.tokenization import Tokenizer

BATCH_TOKENS, BATCH_REVIEWS, WINDOW_REVIEWS = 1024, 16, 128
CHUNK_RECORDS = 16


class FakeWorker:
    """One member of a group, from intake to commit. `run` is its whole life, as in the real worker.

    `settings` count as far as they concern the pipeline. Pauses between tries of a failing session take no time. The
    topics must exist on the broker of `group`.
    """

    def __init__(
        self,
        group: FakeGroup,
        settings: Settings,
        *,
        session: Session,
        tokenizer: Tokenizer,
        labels: Sequence[str] = ("neg", "pos"),
        identity: str = "fake@1",
        clock: Clock | None = None,
        flush_timeout_s: float = 3.0,
    ) -> None:
        self._group = group
        self._settings = settings
        self._clock = clock or SystemClock()
        self._stop_requested = asyncio.Event()
        self.metrics = Metrics()
        self.progress = Progress(settings.stall_timeout_s)
        chunk_records = max(1, min(CHUNK_RECORDS, settings.max_in_flight_reviews // 8))
        self.member = FakeMember(group, chunk_records=chunk_records, flush_timeout_s=flush_timeout_s)
        self.publisher = FakePublisher(group.broker)
        self.collector = self._build_collector(labels, identity)
        self.pipeline = self._build_pipeline(session, tokenizer, labels)
        self.member.feed(self.pipeline)

    def request_stop(self) -> None:
        """Stop soon: finish what is in flight, publish, commit, leave."""
        self._stop_requested.set()

    async def run(self) -> ExitCode:
        """Join the group and work until told to stop; raises the error that stopped it."""
        await self.start()
        stopping = asyncio.ensure_future(self._stop_requested.wait())
        await asyncio.wait((self.pipeline.failed, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        unfinished = await self.stop()
        if self.pipeline.failed.done():
            raise self.pipeline.failed.result()
        return ExitCode.GRACE_EXCEEDED if unfinished else ExitCode.OK

    async def start(self) -> None:
        """Join the group."""
        self.pipeline.start()
        await self._group.join(self.member)

    async def stop(self) -> int:
        """Finish within the grace period, commit, leave; answers how many reviews stayed unfinished."""
        unfinished = await self.pipeline.drain(self._settings.grace_period_s)
        with contextlib.suppress(BrokerError):  # what is not committed is read again
            await self.pipeline.commit()
        await self._group.leave(self.member)
        await self._stop_parts()
        return unfinished

    async def kill(self) -> None:
        """End at once, as a process that is killed: nothing more is published or committed."""
        self.publisher.hold()
        await self.member.crash()
        self.pipeline.fail(RuntimeError("killed"))
        await self._stop_parts()

    def _acknowledged(self) -> None:
        self.pipeline.acknowledged()

    def _fail(self, error: BaseException) -> None:
        self.pipeline.fail(error)

    async def _stop_parts(self) -> None:
        self.pipeline.closed()
        await self.pipeline.stop()
        await self.collector.stop()

    def _build_collector(self, labels: Sequence[str], identity: str) -> RecordCollector:
        settings, broker = self._settings, self._group.broker
        output_limit = min(settings.max_output_bytes, broker.max_batch_bytes(settings.output_topic))
        partitions = {
            topic: len(broker.partitions(topic))
            for topic in (settings.input_topic, settings.output_topic, settings.dead_letter_topic)
        }
        writer = OutputWriter(
            codec=self._codec(),
            results=ResultWriter(labels, identity),
            partitioner=Partitioner(partitions[settings.input_topic]),
            output=Destination(settings.output_topic, partitions[settings.output_topic], output_limit),
            dead_letters=Destination(
                settings.dead_letter_topic,
                partitions[settings.dead_letter_topic],
                broker.max_batch_bytes(settings.dead_letter_topic),
            ),
            clock=self._clock,
        )
        return RecordCollector(
            publisher=self.publisher,
            writer=writer,
            fuse=DeadLetterFuse(settings.fuse_share, settings.fuse_window_reviews, settings.fuse_run_length),
            clock=self._clock,
            metrics=self.metrics,
            on_acknowledged=self._acknowledged,
            on_failure=self._fail,
        )

    def _build_pipeline(self, session: Session, tokenizer: Tokenizer, labels: Sequence[str]) -> Pipeline[Any]:
        settings, metrics = self._settings, self.metrics
        limits = BatchLimits(
            settings.max_batch_tokens or max(BATCH_TOKENS, tokenizer.max_length),
            settings.max_batch_reviews or BATCH_REVIEWS,
            settings.batch_window_reviews or WINDOW_REVIEWS,
            settings.linger_s,
            settings.max_wait_s,
        )
        loop = asyncio.get_running_loop()
        runner = BatchRunner(
            session,
            tokenizer.pad_id,
            metrics,
            RetryPolicy(settings.retry_attempts, settings.retry_backoff_s),
            lambda _: False,
            labels=labels,
            on_memory_limit=lambda tokens: _ignore(loop.call_soon_threadsafe(self.pipeline.limit_tokens, tokens)),
        )
        return Pipeline(
            preparer=RecordPreparer(self._codec(), tokenizer, self._clock),
            queue_factory=lambda: BatchQueue(limits),
            runner=runner,
            offsets_factory=_new_tracker,
            collector=self.collector,
            committer=self.member,
            flow=FlowControl(settings.max_in_flight_reviews, settings.max_in_flight_bytes, metrics),
            progress=self.progress,
            clock=self._clock,
            metrics=metrics,
            commit_interval_s=settings.commit_interval_s,
            preparing_threads=settings.tokeniser_threads,
        )

    def _codec(self) -> EventCodec:
        settings = self._settings
        return EventCodec(settings.text_field, settings.result_field, settings.max_event_bytes)


def _new_tracker(partitions: Sequence[TopicPartition], generation: int) -> OffsetTracker:
    tracker = OffsetTracker()
    tracker.assign(partitions, generation)
    return tracker


def _ignore(_: object) -> None:
    """Answer nothing where a callback must not."""
