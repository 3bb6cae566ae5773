"""Each right that docs/security.md names is needed: without it, one clear line says which, on what, and what to do."""

from __future__ import annotations

import dataclasses

import kafka_tools
import pytest
from conftest import TopicNames
from kafka_access import Access, review, start
from kafka_rights import (
    EXACTLY_ONCE,
    READ_GROUP,
    READ_INPUT,
    WRITE_DEAD_LETTERS,
    WRITE_OUTPUT,
    WRITE_TRANSACTIONS,
    Right,
)
from kafka_tools import Message
from secured_kafka import SecuredKafka
from worker_process import Workers

from worker.errors import ExitCode

NO_JSON = Message(b"{")


def describing(right: Right) -> Right:
    """The topic may be looked at, and no more."""
    return dataclasses.replace(right, operation="Describe")


LACKING = {
    "the input topic": (READ_INPUT, None, ExitCode.TOPIC, "{input}: .* may not describe the topic; grant Read"),
    "reading the input topic": (
        READ_INPUT,
        describing(READ_INPUT),
        ExitCode.TOPIC,
        "{input}: .* may not read the topic; grant Read on it",
    ),
    "the output topic": (WRITE_OUTPUT, None, ExitCode.TOPIC, "{output}: .* may not describe the topic; grant Write"),
    "writing the output topic": (
        WRITE_OUTPUT,
        describing(WRITE_OUTPUT),
        ExitCode.DELIVERY,
        "{output}.* TopicAuthorizationFailed.* grant Write on",
    ),
    "the dead-letter topic": (
        WRITE_DEAD_LETTERS,
        None,
        ExitCode.TOPIC,
        "{dead_letters}: .* may not describe the topic; grant Write",
    ),
    "writing the dead-letter topic": (
        WRITE_DEAD_LETTERS,
        describing(WRITE_DEAD_LETTERS),
        ExitCode.DELIVERY,
        "{dead_letters}.* TopicAuthorizationFailed.* grant Write on",
    ),
    "the group": (READ_GROUP, None, ExitCode.ACCESS, "may not be a member of group {group}; grant Read on the group"),
    "the transactional ids": (
        WRITE_TRANSACTIONS,
        None,
        ExitCode.DELIVERY,
        r"{input}/. .*TransactionalIdAuthorizationFailed.* Write on .*the transactional ids",
    ),
}


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
@pytest.mark.parametrize("what", LACKING)
async def test_a_worker_without_the_right_to(
    what: str,
    guarantee: str,
    secured: SecuredKafka,
    workers: Workers,
    topics: TopicNames,
    access: Access,
    user: str,
) -> None:
    lacking, instead, code, pattern = LACKING[what]
    if lacking is WRITE_TRANSACTIONS and guarantee == "at_least_once":
        return
    rights = [right for right in EXACTLY_ONCE if right is not lacking]
    await secured.allow(user, [right.named(topics) for right in (*rights, *([instead] if instead else []))])
    await kafka_tools.produce(secured.servers, topics.input, [review(1), NO_JSON])
    worker = start(workers, access.mutual(user), processing_guarantee=guarantee)
    assert await worker.ended() == code
    (line,) = worker.errors
    print(line)
