"""Builds the pipeline of one worker from its settings, its model and what is known of its topics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple, Protocol

from aiokafka import AIOKafkaProducer

from worker.batching import BatchQueue
from worker.clock import Clock
from worker.delivery.collector import Publisher, RecordCollector
from worker.delivery.dead_letter_log import DeadLetterLog
from worker.delivery.dead_letters import DeadLetterFuse
from worker.delivery.outcomes import Outcomes
from worker.delivery.outputs import Destination, OutputWriter, Partitioner
from worker.delivery.transactional_collector import TransactionalCollector
from worker.delivery.transactions import NewTransactions
from worker.events import EventCodec, ResultWriter
from worker.faust_app.model import Model
from worker.inference import BatchRunner, RetryPolicy
from worker.metrics import Metrics
from worker.offsets import OffsetTracker
from worker.pipeline.flow_control import FlowControl
from worker.pipeline.pipeline import Pipeline
from worker.pipeline.progress import Progress
from worker.pipeline.protocols import Collector, Committer
from worker.preparation import RecordPreparer
from worker.records import TopicPartition
from worker.security import client_options
from worker.settings import Settings
from worker.topic_specs import TopicLayout
from worker.tracing import Tracing

MAX_PRODUCER_BATCH_BYTES = 512 * 1024


class Surroundings(NamedTuple):
    """What a pipeline is given besides its rooms."""

    clock: Clock
    metrics: Metrics
    progress: Progress
    committer: Committer
    wait: Callable[[float], bool]
    """Pauses the inference thread for so many seconds; True as soon as the worker is stopping."""
    new_transactions: NewTransactions
    rejoin: Callable[[], None]
    """Asks the group for an assignment anew."""
    tracing: Tracing | None = None
    letters: DeadLetterLog | None = None


class Delivery(Collector, Protocol):
    """What publishes, and over which life."""

    async def take_over(self, partitions: Collection[TopicPartition]) -> None:
        """Make sure that nobody else publishes what comes of `partitions` any more; raises DeliveryError."""

    def retire(self) -> None:
        """The assignment is over."""

    async def stop(self) -> None:
        """Stop; what is not acknowledged by now stays unacknowledged."""


class Parts(NamedTuple):
    """A pipeline, and the collector that has to be stopped with it."""

    pipeline: Pipeline[Any]
    collector: Delivery


def new_producer(settings: Settings, transactional_id: str | None = None) -> AIOKafkaProducer:
    """An idempotent producer, or a transactional one, acknowledged by all in-sync replicas; not started."""
    producer = AIOKafkaProducer(
        **client_options(settings),
        client_id="reviews-worker",
        acks="all",
        enable_idempotence=True,
        transactional_id=transactional_id,
        transaction_timeout_ms=round(settings.transaction_timeout_s * 1000),
        compression_type=None if settings.compression == "none" else settings.compression,
        max_batch_size=MAX_PRODUCER_BATCH_BYTES,
        max_request_size=max(MAX_PRODUCER_BATCH_BYTES, settings.max_output_bytes),
    )
    if transactional_id is not None:
        _one_connection_for_each_broker(producer.client)
    return producer


def _one_connection_for_each_broker(client: Any) -> None:
    """aiokafka has one more for coordinators, as a consumer has requests that wait there for long. A producer has none,
    and there is a producer for each partition.
    """
    is_ready, send = client.ready, client.send

    async def ready_anywhere(node_id: int, *, group: object = None) -> bool:
        ready: bool = await is_ready(node_id)
        return ready

    async def send_anywhere(node_id: int, request: object, *, group: object = None) -> Any:
        return await send(node_id, request)

    client.ready, client.send = ready_anywhere, send_anywhere


def build_pipeline(
    settings: Settings, model: Model, layout: TopicLayout, publisher: Publisher, around: Surroundings
) -> Parts:
    """Put the rooms together. Call it inside the event loop that the pipeline will run on."""
    loop = asyncio.get_running_loop()
    codec = EventCodec(settings.text_field, settings.result_field, settings.max_event_bytes)
    outcomes = Outcomes(
        writer=_output_writer(settings, model, layout, codec, around),
        fuse=DeadLetterFuse(settings.fuse_share, settings.fuse_window_reviews, settings.fuse_run_length),
        clock=around.clock,
        metrics=around.metrics,
        on_acknowledged=lambda: pipeline.acknowledged(),  # noqa: PLW0108 - it is made below
        tracing=around.tracing,
        letters=around.letters,
    )

    def fenced(partition: TopicPartition) -> None:
        pipeline.give_up(partition)
        around.rejoin()

    def failed(error: BaseException) -> None:
        pipeline.fail(error)

    collector: Delivery
    if settings.exactly_once:
        collector = TransactionalCollector(
            group=settings.group,
            new_transactions=around.new_transactions,
            outcomes=outcomes,
            interval_s=settings.commit_every_s,
            max_waiting=max(1, settings.max_in_flight_reviews // 2),
            clock=around.clock,
            metrics=around.metrics,
            on_fenced=fenced,
            on_failure=failed,
        )
    else:
        collector = RecordCollector(
            publisher=publisher,
            new_transactions=around.new_transactions,
            outcomes=outcomes,
            clock=around.clock,
            metrics=around.metrics,
            on_failure=failed,
        )

    def limit_tokens(max_batch_tokens: int) -> None:
        loop.call_soon_threadsafe(pipeline.limit_tokens, max_batch_tokens)

    pipeline: Pipeline[Any] = Pipeline(
        preparer=RecordPreparer(codec, model.tokenizer, around.clock, around.metrics),
        queue_factory=lambda: BatchQueue(model.limits),
        runners=[
            BatchRunner(
                model.session,
                model.tokenizer.pad_id,
                around.metrics,
                RetryPolicy(settings.retry_attempts, settings.retry_backoff_s),
                around.wait,
                labels=model.labels,
                calibration=model.calibration,
                on_memory_limit=limit_tokens,
            )
            for _ in range(model.session.concurrency)
        ],
        offsets_factory=_new_tracker,
        collector=collector,
        committer=around.committer,
        flow=FlowControl(settings.max_in_flight_reviews, settings.max_in_flight_bytes, around.metrics),
        progress=around.progress,
        clock=around.clock,
        metrics=around.metrics,
        commit_interval_s=settings.commit_every_s,
        preparing_threads=settings.tokeniser_threads,
        tracing=around.tracing,
    )
    return Parts(pipeline, collector)


def _output_writer(
    settings: Settings, model: Model, layout: TopicLayout, codec: EventCodec, around: Surroundings
) -> OutputWriter:
    limit = min(settings.max_output_bytes, layout.output_max_bytes or settings.max_output_bytes)
    return OutputWriter(
        codec=codec,
        results=ResultWriter(model.labels, model.identity, in_windows=model.tokenizer.overflow.policy == "windows"),
        partitioner=Partitioner(layout.input_partitions),
        output=Destination(settings.output_topic, layout.output_partitions, limit, layout.output_compacted),
        dead_letters=Destination(
            settings.dead_letter_topic, layout.dead_letter_partitions, layout.dead_letter_max_bytes or limit
        ),
        clock=around.clock,
        tracing=around.tracing,
    )


def _new_tracker(partitions: Sequence[TopicPartition], generation: int) -> OffsetTracker:
    tracker = OffsetTracker()
    tracker.assign(partitions, generation)
    return tracker
