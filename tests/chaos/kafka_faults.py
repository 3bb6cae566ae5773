"""What tests do to topics in the middle of the work: records deleted, rights taken away."""

from __future__ import annotations

from collections.abc import Mapping

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import for_code
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest

UNWRITABLE = {"max.message.bytes": "128"}
"""With these settings a topic takes no output: producers hear that it is too large. What ends a transaction fits."""

# Numbers of the protocol: https://kafka.apache.org/protocol
TOPIC, LITERAL = 2, 3
ANY, ALL, WRITE = 1, 2, 4
DENY, ALLOW = 2, 3
EVERYBODY = "User:*"


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


async def forbid_writing(servers: str, topic: str) -> None:
    """Take from everybody the right to write to a topic, and no other right. The broker needs an authorizer."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        for operation, permission in ((ALL, ALLOW), (WRITE, DENY)):
            request = CreateAclsRequest(TOPIC, topic, LITERAL, EVERYBODY, "*", operation, permission)
            for code, message, *_ in (await admin._send_request(request)).creation_responses:
                if code:
                    raise for_code(code)(f"{topic}: {message}")
    finally:
        await admin.close()


async def allow_writing(servers: str, topic: str) -> None:
    """Take back what `forbid_writing` did."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        request = DeleteAclsRequest(TOPIC, topic, LITERAL, None, None, ANY, ANY)
        for code, message, *_ in (await admin._send_request(request)).filter_responses:
            if code:
                raise for_code(code)(f"{topic}: {message}")
    finally:
        await admin.close()
