"""What delivery needs to know of whoever its outputs belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from worker.records import Entry, TopicPartition


class Owner(Protocol):
    """Who is told when outputs are acknowledged: the task of the assignment that they belong to."""

    @property
    def closed(self) -> bool:
        """Nothing of a closed owner may be published any more."""

    def acknowledged(self, partition: TopicPartition, entries: Sequence[Entry]) -> None:
        """The outputs, or dead letters, of these entries are acknowledged by the broker."""

    def committed(self, partition: TopicPartition) -> int:
        """Next offset as the group has it stored, as far as the owner knows; 0 where it has stored none."""

    def post_commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """These next offsets are stored in the group."""
