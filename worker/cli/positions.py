"""Positions of records, as people write them: ``2/17`` or ``reviews.dlq/2/17``."""

from __future__ import annotations

import re
from typing import NamedTuple

from worker.errors import UsageError

_POSITION = re.compile(r"(?:(?P<topic>[A-Za-z0-9._-]{1,249})/)?(?P<partition>[0-9]{1,9})/(?P<offset>[0-9]{1,18})")


class Position(NamedTuple):
    """Where a record is."""

    topic: str
    partition: int
    offset: int


def read_position(text: str, topic: str) -> Position:
    """The position that `text` stands for, on `topic` where it names none; raises `UsageError`."""
    match = _POSITION.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is no position; give partition and offset, as in 2/17")
    return Position(match["topic"] or topic, int(match["partition"]), int(match["offset"]))
