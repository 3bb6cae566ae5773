"""The metadata beside a committed offset: words separated by blanks, some with a value. Words of others are left alone.

- ``exactly_once``: it was committed in a transaction. Who commits at least once afterwards knows whom to fence.
- ``topic_id=<id>``: the topic that it is an offset of. A topic that is deleted and created again has another id, and
  its offsets mean other records. Without an id the offset counts as one of the topic that there is.
"""

from __future__ import annotations

from typing import NamedTuple

EXACTLY_ONCE = "exactly_once"
TOPIC_ID = "topic_id="


class OffsetMetadata(NamedTuple):
    """What is said of one committed offset."""

    topic_id: str = ""
    """Empty where it is not known."""
    exactly_once: bool = False

    @classmethod
    def parse(cls, text: str | None) -> OffsetMetadata:
        """What `text` says; never raises, since anybody may commit."""
        words = (text or "").split()
        ids = [word.removeprefix(TOPIC_ID) for word in words if word.startswith(TOPIC_ID)]
        return cls(ids[-1] if ids else "", EXACTLY_ONCE in words)

    def __str__(self) -> str:
        words = [EXACTLY_ONCE] if self.exactly_once else []
        return " ".join([*words, f"{TOPIC_ID}{self.topic_id}"] if self.topic_id else words)

    def is_of(self, topic_id: str) -> bool:
        """Whether the offset counts in the topic with this id."""
        return not self.topic_id or not topic_id or self.topic_id == topic_id
