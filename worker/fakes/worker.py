"""A whole worker over a `FakeBroker`: the real rooms between a fake source, a fake session and a fake publisher."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from worker.batching import BatchLimits
from worker.clock import Clock, SystemClock
from worker.errors import BrokerError, ExitCode
from worker.fakes.group import FakeGroup, FakeMember
from worker.fakes.publisher import FakePublisher
from worker.fakes.transactions import FakeTransactions, TransactionFaults
from worker.faust_app.model import Model
from worker.faust_app.parts import Surroundings, build_pipeline
from worker.inference import Session
from worker.metrics import Metrics
from worker.pipeline.progress import Progress
from worker.settings import Settings
from worker.tokenization import Tokenizer
from worker.topic_specs import TopicLayout
from worker.tracing import Tracing

BATCH_TOKENS, BATCH_REVIEWS, WINDOW_REVIEWS = 1024, 16, 128
CHUNK_RECORDS = 16


class FakeWorker:
    """One member of a group, from intake to commit. `run` is its whole life, as in the real worker.

    `settings` count as far as they concern the pipeline, and how long reviews are read. Pauses between tries of a
    failing session take no time. The topics must exist on the broker of `group`.
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
        tracing: Tracing | None = None,
    ) -> None:
        self._group = group
        self._settings = settings
        self._stop_requested = asyncio.Event()
        self.metrics = Metrics()
        clock = clock or SystemClock()
        self.progress = Progress(
            settings.stall_timeout_s,
            settings.rebalance_timeout_s,
            start_timeout_s=settings.start_timeout_s,
            started_at=clock.monotonic(),
        )
        chunk_records = max(1, min(CHUNK_RECORDS, settings.max_in_flight_reviews // 8))
        self.member = FakeMember(group, chunk_records=chunk_records, flush_timeout_s=flush_timeout_s)
        self.publisher = FakePublisher(group.broker)
        tokenizer = tokenizer.with_overflow(settings.reading)
        model = Model(identity, tuple(labels), tokenizer, session, _limits(settings, tokenizer))
        self.transactions = TransactionFaults()
        self._rejoining: asyncio.Task[None] | None = None
        around = Surroundings(
            clock,
            self.metrics,
            self.progress,
            self.member,
            lambda _: False,
            lambda partition: FakeTransactions(group.broker, group.name, partition, self.transactions),
            self._rejoin,
            tracing,
        )
        self.pipeline, self.collector = build_pipeline(settings, model, self._layout(), self.publisher, around)
        self.member.feed(self.pipeline, self.collector if settings.exactly_once else None)

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
        self.transactions.hold()
        await self.member.crash()
        self.pipeline.fail(RuntimeError("killed"))
        await self._stop_parts()

    async def _stop_parts(self) -> None:
        if self._rejoining is not None:
            self._rejoining.cancel()
        self.pipeline.closed()
        await self.pipeline.stop()
        await self.collector.stop()

    def _rejoin(self) -> None:
        if self._rejoining is None or self._rejoining.done():
            self._rejoining = asyncio.create_task(self._group.rejoin(self.member), name="rejoin")

    def _layout(self) -> TopicLayout:
        settings, broker = self._settings, self._group.broker
        partitions = {
            topic: len(broker.partitions(topic))
            for topic in (settings.input_topic, settings.output_topic, settings.dead_letter_topic)
        }
        return TopicLayout(
            input_partitions=partitions[settings.input_topic],
            output_partitions=partitions[settings.output_topic],
            dead_letter_partitions=partitions[settings.dead_letter_topic],
            output_max_bytes=broker.max_batch_bytes(settings.output_topic),
            dead_letter_max_bytes=broker.max_batch_bytes(settings.dead_letter_topic),
            output_compacted=broker.takes_keys_only(settings.output_topic),
        )


def _limits(settings: Settings, tokenizer: Tokenizer) -> BatchLimits:
    return BatchLimits(
        settings.max_batch_tokens or max(BATCH_TOKENS, tokenizer.max_length),
        settings.max_batch_reviews or BATCH_REVIEWS,
        settings.batch_window_reviews or WINDOW_REVIEWS,
        settings.linger_s,
        settings.max_wait_s,
    )
