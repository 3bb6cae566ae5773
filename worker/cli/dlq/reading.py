"""The dead-letter topic and the notes on what was replayed, opened for a command."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace

from aiokafka.errors import KafkaError

from worker.cli.kafka import PATIENCE_S, patiently, reachable_admin, started, unreachable
from worker.consumers import kafka_consumer
from worker.delivery.replay.notes import Replayed, notes_topic
from worker.delivery.replay.reader import Span, TopicReader
from worker.errors import TopicError
from worker.security import client_options, lacking
from worker.settings import Settings
from worker.topic_specs import TopicDescription, missing_topics_message, similar_topics_remark


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The dead-letter topic as it was when it was opened."""

    reader: TopicReader
    topic: str
    spans: list[Span]
    """What is in each partition."""
    replayed: Replayed


async def describe(settings: Settings, target: str | None = None) -> dict[str, TopicDescription]:
    """The dead-letter topic, `target`, and the topic with the notes on what was replayed where there is one.

    Raises `TopicError` where one of the first two is missing.
    """
    topic = settings.dead_letter_topic
    names = [topic, notes_topic(topic), *([target] if target else [])]
    async with reachable_admin(settings) as admin:
        found = await patiently(settings, lambda: admin.describe(names))
        if topic not in found:
            raise TopicError(missing_topics_message(settings, [topic], found.values(), await admin.names()))
        if target and target not in found:
            raise TopicError(
                f"topic {target}, where the dead letters would go, not found at {settings.bootstrap_servers}"
                f"{similar_topics_remark(settings, [target], await admin.names())}"
            )
        found[topic] = replace(found[topic], id=await admin.topic_id(topic))
    return found


@contextlib.asynccontextmanager
async def reading(settings: Settings, found: Mapping[str, TopicDescription]) -> AsyncIterator[TopicReader]:
    """A reader of the topics in `found`; raises `UnreachableError` or `TopicError` where Kafka does not let it read."""
    consumer = kafka_consumer(
        **client_options(settings),
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",  # where retention was faster than the reader
    )
    try:
        async with started(consumer, settings):
            reader = TopicReader(consumer, PATIENCE_S)
            reader.assign({name: topic.partitions for name, topic in found.items()})
            yield reader
    except KafkaError as error:
        raise lacking(error, "read") or unreachable(settings, str(error)) from error


async def open_letters(
    reader: TopicReader, settings: Settings, found: Mapping[str, TopicDescription], target: str
) -> DeadLetters:
    """The dead-letter topic, and what was replayed of it to `target`, checked to be of this topic."""
    topic = settings.dead_letter_topic
    notes = notes_topic(topic)
    replayed = Replayed(target, topic_id=found[topic].id)
    if notes in found:
        async for note in reader.notes(notes):
            replayed.add(note)
    spans = await reader.spans(topic, found[topic].partitions)
    await reader.check_witnesses(topic, spans, replayed, notes)
    return DeadLetters(reader, topic, spans, replayed)
