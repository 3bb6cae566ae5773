"""How long no output came: for each partition, and for the topic as a whole."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple


class Arrival(NamedTuple):
    """One output, seen by a reader of the output topic."""

    at: float
    """Monotonic seconds."""
    partition: int


class Silence(NamedTuple):
    """The longest time without any output, in seconds."""

    of_a_partition: float
    """Of the partition that was silent longest."""
    of_the_topic: float


def longest_silence(arrivals: Iterable[Arrival], partitions: int, start: float, end: float) -> Silence:
    """The longest silence between `start` and `end`; a partition without any output was silent all the time."""
    inside = sorted(arrival for arrival in arrivals if start <= arrival.at <= end)
    of_partitions = [
        _longest([arrival.at for arrival in inside if arrival.partition == partition], start, end)
        for partition in range(partitions)
    ]
    return Silence(max(of_partitions), _longest([arrival.at for arrival in inside], start, end))


def _longest(times: list[float], start: float, end: float) -> float:
    edges = [start, *times, end]
    return max(after - before for before, after in pairwise(edges))
