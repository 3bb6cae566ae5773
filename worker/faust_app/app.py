"""The Faust app: one agent that hands chunks to the pipeline, and nothing of Faust's own bookkeeping."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import faust
from faust.serializers import codecs

from worker.called import command_line
from worker.consumers import MAX_TAKEN_BYTES
from worker.faust_app.chunks import ChunkScheduler
from worker.faust_app.host import Host, Membership
from worker.faust_app.transport import Consumer, Transport
from worker.records import Chunk
from worker.security import client_options
from worker.settings import Settings

logger = logging.getLogger(__name__)

NEVER_S = 2_000_000.0
"""About as long as fits into the protocol's milliseconds. Slow inference must not look like a dead consumer to the
group: the session time-out says who is dead, and `Progress` says who is stuck."""
METADATA_MAX_AGE_S = 60
"""So soon are added partitions noticed."""
BUFFERED_CHUNKS = 4
MAX_POLL_RECORDS = 4096
MAX_PARTITION_FETCH_BYTES = 128 * 1024
"""Compressed; see `worker.consumers.bounded_fetcher` for all partitions together, and for what is unpacked."""
Intake = Callable[[Chunk], Awaitable[None]]


class _Passthrough(codecs.Codec):
    """Answers what it is given: the value is a chunk already."""

    def _loads(self, s: Any) -> Any:
        return s

    def _dumps(self, s: Any) -> Any:
        return s


class FaustApp(faust.App):
    """A Faust app that uses our transport and writes nothing to the disk."""

    host: Host

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self, loop=self.loop)

    @property
    def reviews_consumer(self) -> Consumer:
        """Faust's consumer, by its real type."""
        consumer: Consumer = self.consumer  # type: ignore[assignment]
        return consumer

    def _create_directories(self) -> None:
        """Faust would make a folder for tables; there are none."""


def build_app(settings: Settings, membership: Membership, intake: Intake) -> FaustApp:
    """An app whose agent gives every chunk to `intake`, which must not raise. Call it inside the running event loop."""
    codecs.register("chunk", _Passthrough())
    scheduler = type("Scheduler", (ChunkScheduler,), {"max_records": _chunk_records(settings)})
    app = FaustApp(
        settings.group,
        broker=[f"aiokafka://{server.strip()}" for server in settings.bootstrap_servers.split(",")],
        loop=asyncio.get_running_loop(),
        ConsumerScheduler=scheduler,
        autodiscover=False,
        broker_client_id="reviews-worker",
        broker_commit_interval=3600.0,
        broker_max_poll_interval=NEVER_S,
        broker_max_poll_records=MAX_POLL_RECORDS,
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=min(settings.heartbeat_interval_s, settings.session_timeout_s / 3),
        broker_rebalance_timeout=settings.rebalance_timeout_s,
        consumer_group_instance_id=settings.group_instance_id,
        broker_request_timeout=max(40.0, settings.session_timeout_s + 10),
        consumer_metadata_max_age_ms=METADATA_MAX_AGE_S * 1000,
        consumer_max_fetch_size=MAX_PARTITION_FETCH_BYTES,
        # Also for a group that starts with new records only: the transport stores where that is. Were it "latest", a
        # committed offset that retention has overtaken would skip everything that is left.
        consumer_auto_offset_reset="earliest",
        store="memory://",
        stream_buffer_maxsize=BUFFERED_CHUNKS,
        stream_recovery_delay=0.0,
        stream_wait_empty=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )
    app.host = Host(
        membership=membership,
        read_committed=settings.read_committed,
        from_beginning=settings.from_beginning,
        exactly_once=settings.exactly_once,
        # Small enough that a small bound on what is in flight is kept.
        max_taken_bytes=min(MAX_TAKEN_BYTES, settings.max_in_flight_bytes // 8),
        client_options=client_options(settings),
        skip_command=command_line(settings, "skip", "bootstrap_servers", "group", "input_topic"),
        worker_loop=asyncio.get_running_loop(),
    )
    topic = app.topic(settings.input_topic, key_serializer="raw", value_serializer="chunk", acks=False)

    @app.agent(topic, name="classify")
    async def classify(stream: Any) -> None:
        async for chunk in stream.noack():
            await intake(chunk)

    return app


def _chunk_records(settings: Settings) -> int:
    """Small enough that a small bound on what is in flight is kept."""
    return max(1, min(ChunkScheduler.max_records, settings.max_in_flight_reviews // 8))
