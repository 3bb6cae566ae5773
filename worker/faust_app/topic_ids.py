"""Which topics a consumer has seen under their names, told apart by their ids.

aiokafka 0.14 fetches by name. So what a fetch returned may be of another topic than the one that the assignment began
with, and of that its offset says nothing.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import Any

from aiokafka.errors import LeaderNotAvailableError
from aiokafka.structs import TopicPartition as KafkaPartition

from worker.topic_id import NO_ID, topic_id

Question = tuple[int, str]
"""A broker, and the topic that it is asked about."""


class TopicIds:
    """Which topics, by id, a consumer that is started has seen under their names. For its event loop."""

    def __init__(self, consumer: Any, generation: Callable[[], int]) -> None:
        self._client = consumer._client
        self._generation = generation
        self._known: dict[str, str] = {}
        self._gone: set[str] = set()
        self._begun: dict[str, str] = {}
        self.made_anew: dict[str, str] = {}
        """Topics that were made anew since the last assignment began, with their ids before."""
        self._mixed = -1

    def known(self, topic: str) -> str:
        """The newest id of a topic; empty where none is known."""
        return self._known.get(topic, NO_ID)

    def begun(self, topic: str) -> str:
        """The id of the topic that the assignment has begun with; empty where none is known. From any thread."""
        return self._begun.get(topic, NO_ID)

    def begin(self) -> None:
        """An assignment begins with what is known."""
        self._begun = dict(self._known)
        self.made_anew.clear()

    def is_mixed(self, generation: int | None = None) -> bool:
        """Whether a topic was made anew in this generation, or in that of now.

        What came of it in such a generation may be of the one or of the other.
        """
        return self._mixed == (self._generation() if generation is None else generation)

    async def look(self, partitions: Collection[KafkaPartition]) -> list[KafkaPartition]:
        """Ask the leaders of `partitions`; answers those whose leader has another topic than the one known before.

        A broker that has a topic's records knows its id; another may learn of it later. Raises KafkaError.
        """
        asked: dict[Question, list[KafkaPartition]] = defaultdict(list)
        for partition in partitions:
            asked[self.question(partition)].append(partition)
        answers = await asyncio.gather(*(topic_id(self._client, broker, topic) for broker, topic in asked))
        self._agree(zip((topic for _, topic in asked), answers, strict=True))
        others = []
        for (_, topic), places, answer in zip(asked, asked.values(), answers, strict=True):
            before = self.known(topic)
            if answer in (NO_ID, before):
                continue
            if before:
                others += places
            if answer not in self._gone:
                self._known[topic] = answer
            if before and answer not in self._gone:
                self._gone.add(before)
                self.made_anew.setdefault(topic, before)
                self._mixed = self._generation()
        return others

    def question(self, partition: KafkaPartition) -> Question:
        """Whom to ask about a partition, and what: its leader, or any broker when it has none. Raises KafkaError."""
        leader = self._client.cluster.leader_for_partition(partition)
        broker: int | None = self._client.get_random_node() if leader in (None, -1) else leader
        if broker is None:
            raise LeaderNotAvailableError(partition)
        return broker, partition.topic

    def _agree(self, answers: Iterable[tuple[str, str]]) -> None:
        """Of two new ids nobody can tell which is the older one, until the broker that is behind has caught up."""
        new: dict[str, str] = {}
        for topic, answer in answers:
            if answer in (NO_ID, self.known(topic)) or answer in self._gone:
                continue
            if new.setdefault(topic, answer) != answer:
                raise LeaderNotAvailableError(f"brokers know different topics as {topic}")
