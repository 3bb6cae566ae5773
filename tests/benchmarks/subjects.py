"""``python -m tests.benchmarks.subjects NAME``: one of the programs that are measured, as a process of its own.

``worker`` is the real worker; ``free`` is the same with a model (tokeniser and session) that costs nothing, and
``free-session`` with the real tokeniser before a session that costs nothing; ``aiokafka`` and ``faust`` read each
event and send it on, and nothing else. All take their topics and their broker from the worker's own environment
variables, use the same compression, and publish with an idempotent producer, acknowledged by all in-sync replicas.
"""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import sys
import tempfile
from collections.abc import Sequence

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from worker.cli.run import work
from worker.faust_app.model import GPU_BATCH_REVIEWS, GPU_BATCH_TOKENS, Model, batch_limits, load_model
from worker.inference import Artifact
from worker.inference.scores import Scores
from worker.inference.session import Ids, Lengths
from worker.logs import configure_logging
from worker.metrics import Metrics
from worker.overflow import Overflow
from worker.records import Encoding
from worker.settings import Settings


class FreeSession:
    """Costs nothing; every review is positive."""

    provider = "free"
    concurrency = 1

    def warm_up(self) -> None:
        """Nothing to do."""

    def predict(self, ids: Ids, lengths: Lengths) -> Scores:
        """The same scores for each row."""
        return np.tile(np.array([0.25, 0.75], dtype=np.float32), (len(ids), 1))


class FreeTokeniser:
    """As many ids as the text may have pieces, without looking at it."""

    pad_id = 0
    max_length = 512
    overflow = Overflow("truncate")

    def __init__(self) -> None:
        self._ids = np.ones(self.max_length, dtype=np.int32)

    def encode_many(self, texts: Sequence[str]) -> list[Encoding]:
        """Six characters a piece."""
        return [Encoding(self._ids[: len(text) // 6 + 2], len(text) > 6 * self.max_length) for text in texts]


def load_free_session(settings: Settings, metrics: Metrics) -> Model:
    """A free session behind the real tokeniser."""
    return dataclasses.replace(
        load_free(settings, metrics), tokenizer=Artifact.load(None).load_tokeniser().with_overflow(settings.reading)
    )


def load_free(settings: Settings, metrics: Metrics) -> Model:
    """A free model, tokeniser and session, with the batch limits of a large device: what is left is the worker."""
    artifact = Artifact.load(None)
    limits = batch_limits(settings, "free", artifact.max_length)
    limits = dataclasses.replace(
        limits,
        max_batch_tokens=GPU_BATCH_TOKENS,
        max_batch_reviews=GPU_BATCH_REVIEWS,
        window_reviews=settings.max_in_flight_reviews // 2,
    )
    return Model("free@1", artifact.labels, FreeTokeniser(), FreeSession(), limits)


async def run_aiokafka(settings: Settings) -> None:
    """The loop that everybody writes first: read, send each event on, wait for the acknowledgements, commit."""
    consumer = AIOKafkaConsumer(
        settings.input_topic,
        bootstrap_servers=settings.bootstrap_servers,
        group_id=settings.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap_servers,
        acks="all",
        enable_idempotence=True,
        compression_type=None if settings.compression == "none" else settings.compression,
        linger_ms=20,
        max_batch_size=512 * 1024,
    )
    await consumer.start()
    await producer.start()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    while not stop.is_set():
        sent = []
        for records in (await consumer.getmany(timeout_ms=200, max_records=4096)).values():
            for record in records:
                sent.append(  # noqa: PERF401 - this is the loop that everybody writes
                    await producer.send(
                        settings.output_topic,
                        record.value,
                        key=record.key,
                        partition=record.partition,
                        timestamp_ms=record.timestamp,
                        headers=list(record.headers),
                    )
                )
        if sent:
            await asyncio.gather(*sent)
            await consumer.commit()
    await producer.stop()
    await consumer.stop()


def run_faust(settings: Settings) -> None:
    """A bare Faust agent, with Faust's own bookkeeping, that publishes each event again."""
    import faust

    app = faust.App(
        settings.group,
        broker=f"aiokafka://{settings.bootstrap_servers}",
        datadir=tempfile.mkdtemp(),
        store="memory://",
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        producer_acks=-1,
        producer_linger=0.02,
        producer_compression_type=None if settings.compression == "none" else settings.compression,
        producer_max_batch_size=512 * 1024,
    )
    source = app.topic(settings.input_topic, key_serializer="raw", value_serializer="raw")
    target = app.topic(settings.output_topic, key_serializer="raw", value_serializer="raw")

    @app.agent(source)
    async def republish(stream: faust.StreamT[bytes]) -> None:
        async for event in stream.events():
            await target.send(key=event.key, value=event.value)

    app.worker_main = None
    sys.argv = ["faust", "worker", "--without-web", "--loglevel", "error"]
    app.main()


def main(name: str) -> int:
    """Run one subject until SIGTERM; answers the exit code."""
    settings = Settings()
    configure_logging("WARNING", "human")
    match name:
        case "worker" | "free" | "free-session":
            load = {"worker": load_model, "free": load_free, "free-session": load_free_session}[name]
            work(settings.model_copy(update={"log_level": "WARNING", "log_format": "human"}), load)
        case "aiokafka":
            asyncio.run(run_aiokafka(settings))
        case "faust":
            run_faust(settings)
        case _:
            print(f"there is no subject {name!r}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
