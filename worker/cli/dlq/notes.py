"""The topic that a replay notes in what it has sent."""

from __future__ import annotations

import asyncio

from worker.cli.kafka import PATIENCE_S, reachable_admin
from worker.delivery.replay.notes import notes_topic
from worker.errors import BrokerError, TopicError, UnreachableError
from worker.settings import Settings
from worker.topic_specs import TopicDescription, TopicSpec

_PAUSE_S = 0.1


async def ensure_notes_topic(settings: Settings, found: dict[str, TopicDescription]) -> str:
    """The name of the topic, which is created and added to `found` when it is missing and that is allowed.

    Raises `TopicError` when it may not be created, or is one that would forget.
    """
    name = notes_topic(settings.dead_letter_topic)
    if name not in found:
        found[name] = await _created(settings, TopicSpec(name, 1, settings.topic_replication, -1))
    topic = found[name]
    forgets = topic.integer("retention.ms") not in (None, -1) or topic.integer("retention.bytes") not in (None, -1)
    if forgets or "compact" in topic.configs.get("cleanup.policy", ""):
        raise TopicError(
            f"{name} does not keep every record, and what it forgets would be replayed twice; set"
            " cleanup.policy=delete, retention.ms=-1 and retention.bytes=-1"
        )
    return name


async def _created(settings: Settings, spec: TopicSpec) -> TopicDescription:
    if not settings.create_topics:
        raise TopicError(
            f"topic {spec.name}, which notes what was replayed, not found at {settings.bootstrap_servers}; create it"
            f" with: {spec.command}"
        )
    async with reachable_admin(settings) as admin:
        await admin.create([spec])
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    try:
                        if topic := (await admin.describe([spec.name])).get(spec.name):
                            return topic
                    except BrokerError:
                        pass  # usual for a moment: no leader yet
                    await asyncio.sleep(_PAUSE_S)
        except TimeoutError as error:
            raise UnreachableError(f"{spec.name} was created but cannot be used after {PATIENCE_S:g} s") from error
