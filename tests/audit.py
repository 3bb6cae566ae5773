"""Judges, record by record, what became of the events that were produced.

An event's identity is where it was produced to: topic, partition and offset. The outputs name it in the header
``source``, the dead letters in three headers of their own. What was judged is not kept, so that a long run stays small.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field

from aiokafka import ConsumerRecord
from kafka_tools import Message

SHOWN = 5
SCORE_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Verdict:
    """What became of the events; empty lists are good. Each line names the event."""

    produced: int
    outputs: int
    dead_letters: int
    lost: list[str] = field(default_factory=list)
    """Neither classified nor dead."""
    unknown: list[str] = field(default_factory=list)
    """Published, but nobody produced it (or it was aborted)."""
    duplicated: Counter[str] = field(default_factory=Counter)
    """How often each was published again."""
    rewinds: int = 0
    """How often a topic's partition went back to an earlier event of the same input partition."""
    longest_rewind: int = 0
    """Most records that were published again after one going back."""
    reordered: list[str] = field(default_factory=list)
    """Published for the first time after a later one of the same input partition, or of the same key."""
    corrupted: list[str] = field(default_factory=list)
    """Bytes, key, headers or timestamp differ by more than what the worker adds."""
    wrongly_labelled: list[str] = field(default_factory=list)
    """The result is not the one of this review."""
    both: list[str] = field(default_factory=list)
    """Classified and dead."""

    @property
    def repeats(self) -> int:
        """Records published in addition to the first."""
        return self.duplicated.total()

    def faults(self, *, max_repeats: int = 0, max_rewinds: int | None = None) -> list[str]:
        """A line for each kind of thing that is wrong; repeats up to a bound are not."""
        wrong = [
            f"{name}: {len(events)}, first {', '.join(events[:SHOWN])}"
            for name, events in {
                "lost": self.lost,
                "unknown": self.unknown,
                "reordered": self.reordered,
                "corrupted": self.corrupted,
                "wrongly labelled": self.wrongly_labelled,
                "both classified and dead": self.both,
            }.items()
            if events
        ]
        if self.repeats > max_repeats:
            wrong.append(f"repeated: {self.repeats}, allowed {max_repeats}, first {list(self.duplicated)[:SHOWN]}")
        if max_rewinds is not None and self.rewinds > max_rewinds:
            wrong.append(f"rewinds: {self.rewinds}, allowed {max_rewinds}")
        return wrong

    def check(self, *, max_repeats: int = 0, max_rewinds: int | None = None) -> None:
        """Raise AssertionError with everything that is wrong; see `faults`."""
        wrong = self.faults(max_repeats=max_repeats, max_rewinds=max_rewinds)
        assert not wrong, f"of {self.produced} events: " + "; ".join(wrong)

    def __str__(self) -> str:
        return (
            f"{self.produced} produced, {self.outputs} outputs, {self.dead_letters} dead letters,"
            f" {len(self.lost)} lost, {self.repeats} repeated in {self.rewinds} rewinds,"
            f" {len(self.reordered)} reordered"
        )


@dataclass
class TopicOrder:
    """What comes out of order on one topic, and how often a partition of it goes back.

    First appearances must be in order for each input partition within a partition of the output; and all of a key must
    be in one partition of the output, unless `keys_may_move`. Since a key is in one input partition too, that gives the
    order of each key.
    """

    keys_may_move: bool = False
    reordered: list[str] = field(default_factory=list)
    rewinds: int = 0
    longest_rewind: int = 0
    _latest: dict[tuple[str, int], int] = field(default_factory=dict)
    _highest: dict[tuple[str, int], int] = field(default_factory=dict)
    _rewind: dict[tuple[str, int], int] = field(default_factory=dict)
    _partition_of_key: dict[bytes, int] = field(default_factory=dict)

    def see(self, source: str, record: ConsumerRecord, *, first: bool) -> None:
        """The next record of the topic; `first` when its source was not on any topic before."""
        place, _, number = source.rpartition("/")
        lane, offset = (place, record.partition), int(number)
        if offset <= self._latest.get(lane, -1):
            self.rewinds += 1
            self._rewind[lane] = 0
        if not first:
            self._rewind[lane] = self._rewind.get(lane, 0) + 1
            self.longest_rewind = max(self.longest_rewind, self._rewind[lane])
        self._latest[lane] = offset
        key = record.key
        home = record.partition if key is None else self._partition_of_key.setdefault(key, record.partition)
        scattered = home != record.partition and not self.keys_may_move
        if scattered or (first and offset < self._highest.get(lane, -1)):
            self.reordered.append(source)
        self._highest[lane] = max(self._highest.get(lane, -1), offset)


class Audit:
    """Takes what is published, one record after the other in the order of each partition, and remembers what is wrong.

    `produced` may still grow; a record whose event is not in it yet waits. `expected` gives the score for ``pos`` of an
    event, None where that is not known.
    """

    def __init__(
        self,
        produced: Mapping[str, Message],
        *,
        expected: Callable[[Message], float | None] | None = None,
        keys_may_move: bool = False,
    ) -> None:
        self._produced = produced
        self._expected = expected or (lambda message: None)
        self._classified: Counter[str] = Counter()
        self._dead: Counter[str] = Counter()
        self._outputs = TopicOrder(keys_may_move)
        self._dead_letters = TopicOrder(keys_may_move)
        self._early: list[tuple[str, ConsumerRecord, bool]] = []
        self._published = 0
        self._corrupted: list[str] = []
        self._wrongly_labelled: list[str] = []

    def output(self, record: ConsumerRecord) -> None:
        """The next record of a partition of the output topic."""
        source = source_of_output(record)
        self._see(source, record, self._classified, self._outputs)
        self._compare(source, record, dead=False)

    def dead_letter(self, record: ConsumerRecord) -> None:
        """The next record of a partition of the dead-letter topic."""
        source = source_of_dead_letter(record)
        self._see(source, record, self._dead, self._dead_letters)
        self._compare(source, record, dead=True)

    def missing(self, optional: Set[str] = frozenset()) -> int:
        """How many events, other than those of `optional`, are neither classified nor dead."""
        self._compare_early()
        if not optional:
            return len(self._produced) - self._published
        return sum(not self._is_published(source) for source in self._produced if source not in optional)

    def verdict(self, optional: Set[str] = frozenset()) -> Verdict:
        """What is known now; events of `optional` may be missing."""
        self._compare_early()
        counts = {source: self._classified[source] + count for source, count in self._dead.items()}
        counts = {**self._classified, **counts}
        orders = self._outputs, self._dead_letters
        return Verdict(
            produced=len(self._produced),
            outputs=self._classified.total(),
            dead_letters=self._dead.total(),
            lost=[source for source in self._produced if source not in counts and source not in optional],
            unknown=list(dict.fromkeys(source for source, _, _ in self._early)),
            duplicated=Counter({source: count - 1 for source, count in counts.items() if count > 1}),
            rewinds=sum(order.rewinds for order in orders),
            longest_rewind=max(order.longest_rewind for order in orders),
            reordered=[source for order in orders for source in order.reordered],
            corrupted=list(self._corrupted),
            wrongly_labelled=list(self._wrongly_labelled),
            both=sorted(self._classified.keys() & self._dead.keys()),
        )

    def _is_published(self, source: str) -> bool:
        return source in self._classified or source in self._dead

    def _see(self, source: str, record: ConsumerRecord, counts: Counter[str], order: TopicOrder) -> None:
        order.see(source, record, first=not self._is_published(source))
        if source in self._produced and not self._is_published(source):
            self._published += 1
        counts[source] += 1

    def _compare(self, source: str, record: ConsumerRecord, *, dead: bool) -> None:
        message = self._produced.get(source)
        if message is None:
            self._early.append((source, record, dead))
        elif not (_is_untouched(message, record) if dead else _is_faithful(message, source, record)):
            self._corrupted.append(source)
        elif not dead and not self._is_right(message, record):
            self._wrongly_labelled.append(source)

    def _compare_early(self) -> None:
        """Those that were read before whoever produced them had the broker's answer."""
        early, self._early = self._early, []
        known = set()
        for source, record, dead in early:
            if source in self._produced:
                known.add(source)
            self._compare(source, record, dead=dead)
        self._published += len(known)

    def _is_right(self, message: Message, record: ConsumerRecord) -> bool:
        expected = self._expected(message)
        if expected is None or record.value is None:
            return True
        result = json.loads(record.value)["sentiment"]
        label = "pos" if expected > 0.5 else "neg"
        return result["label"] == label and abs(result["scores"]["pos"] - expected) < SCORE_TOLERANCE


def source_of_output(record: ConsumerRecord) -> str:
    """Where the event of an output came from; the last header of that name is the worker's."""
    return dict(record.headers)["source"].decode()


def source_of_dead_letter(record: ConsumerRecord) -> str:
    """Where the event of a dead letter came from."""
    headers = dict(record.headers)
    parts = (headers[f"__streams.errors.{name}"].decode() for name in ("topic", "partition", "offset"))
    return "/".join(parts)


def extended_only(value: bytes | None, output: bytes | None, member: str = "sentiment") -> bool:
    """Whether `output` is `value` with one more member at its end, and nothing else."""
    if value is None or output is None:
        return value is output
    end = value.rindex(b"}")
    before, after = value[:end] + b"," + json.dumps(member).encode() + b":", value[end:]
    if not (output.startswith(before) and output.endswith(after)):
        return False
    try:
        return isinstance(json.loads(output[len(before) : len(output) - len(after)]), dict)
    except ValueError:
        return False


def _is_faithful(message: Message, source: str, record: ConsumerRecord) -> bool:
    return (
        _carried_over(message, record)
        and tuple(record.headers) == (*message.headers, ("source", source.encode()))
        and extended_only(message.value, record.value)
    )


def _is_untouched(message: Message, record: ConsumerRecord) -> bool:
    return (
        _carried_over(message, record)
        and record.value == message.value
        and tuple(record.headers)[: len(message.headers)] == tuple(message.headers)
    )


def _carried_over(message: Message, record: ConsumerRecord) -> bool:
    same_time = message.timestamp_ms is None or record.timestamp == message.timestamp_ms
    return record.key == message.key and same_time
