"""What tests do to topics in the middle of the work: settings changed, records deleted."""

from __future__ import annotations

from collections.abc import Mapping

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

UNWRITABLE = {"max.message.bytes": "128"}
"""With these settings a topic takes no output: producers hear that it is too large. What ends a transaction fits."""


async def set_topic(servers: str, topic: str, settings: Mapping[str, str]) -> None:
    """Make `settings` all that the topic has of its own; returns when they are in force."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs=dict(settings))
        for answer in await admin.alter_configs([resource]):
            for code, message, *_ in answer.resources:
                if code:
                    raise for_code(code)(f"{topic}: {message}")
    finally:
        await admin.close()


async def delete_records(servers: str, topic: str, before: Mapping[int, int]) -> None:
    """Delete the records of each partition below an offset, as retention does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.delete_records(
            {TopicPartition(topic, number): RecordsToDelete(offset) for number, offset in before.items()}
        )
    finally:
        await admin.close()
