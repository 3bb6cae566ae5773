"""Brokers that do not learn of a topic that was made anew at the same time."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import LeaderNotAvailableError
from aiokafka.structs import TopicPartition

from worker.faust_app.topic_ids import TopicIds

FIRST, SECOND, THIRD = bytes([1] * 16), bytes([2] * 16), bytes([3] * 16)
LED_BY_1, ALSO_LED_BY_1, LED_BY_2 = (TopicPartition("in", number) for number in range(3))


class FakeClient:
    """Three partitions of one topic, and the topic's id as each of two brokers knows it."""

    def __init__(self, *ids: bytes) -> None:
        self.cluster = self
        self.ids = dict(enumerate(ids, 1))
        self.asked: list[int] = []

    def leader_for_partition(self, partition: TopicPartition) -> int:
        return 2 if partition == LED_BY_2 else 1

    async def send(self, broker: int, request: Any, *, group: int) -> Any:
        self.asked.append(broker)
        return SimpleNamespace(error_code=0, topic_id=self.ids[broker])


def topic_ids(client: FakeClient) -> TopicIds:
    return TopicIds(SimpleNamespace(_client=client), lambda: 1)


def spelt(identity: bytes) -> str:
    return base64.urlsafe_b64encode(identity).decode().rstrip("=")


async def test_a_leader_is_asked_once_for_all_its_partitions() -> None:
    client = FakeClient(FIRST, FIRST)
    assert await topic_ids(client).look([LED_BY_1, ALSO_LED_BY_1, LED_BY_2]) == []
    assert client.asked == [1, 2]


async def test_what_a_broker_has_that_is_behind_is_not_of_the_new_topic() -> None:
    client = FakeClient(FIRST, FIRST)
    ids = topic_ids(client)
    await ids.look([LED_BY_1, LED_BY_2])
    client.ids[1] = SECOND
    await ids.look([LED_BY_1])
    assert ids.is_mixed()
    assert await ids.look([LED_BY_1, LED_BY_2]) == [LED_BY_2]
    assert ids.known("in") == spelt(SECOND)
    client.ids[2] = SECOND
    assert await ids.look([LED_BY_2]) == []


@pytest.mark.parametrize("known", [None, FIRST])
async def test_of_two_ids_that_are_new_none_is_believed_until_the_brokers_agree(known: bytes | None) -> None:
    """Which one is older nobody can tell; taken for the newer one, it would never be read again."""
    client = FakeClient(known or THIRD, known or THIRD)
    ids = topic_ids(client)
    if known:
        await ids.look([LED_BY_1, LED_BY_2])
    client.ids = {1: THIRD, 2: SECOND}
    with pytest.raises(LeaderNotAvailableError):
        await ids.look([LED_BY_1, LED_BY_2])
    client.ids = {1: THIRD, 2: THIRD}
    await ids.look([LED_BY_1, LED_BY_2])
    assert ids.known("in") == spelt(THIRD)
    assert await ids.look([LED_BY_1, LED_BY_2]) == []
