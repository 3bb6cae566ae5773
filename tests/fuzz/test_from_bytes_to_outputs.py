"""Thousands of mutated events through codec, tokeniser and output writer: each comes out, classified or dead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from raw_headers import carried

from tests.fuzz.judging import CLASSIFIED, TOMBSTONE, Published, depth, faults, is_extended
from tests.fuzz.mutations import KINDS, MAX_EVENT_BYTES, Fuzzer, FuzzEvent
from worker.clock import SystemClock
from worker.delivery.dead_letters import REASON_HEADER
from worker.delivery.outputs import Destination, OutputWriter, Partitioner
from worker.errors import Reason
from worker.events import EventCodec, ResultWriter
from worker.inference import Artifact
from worker.metrics import Metrics
from worker.overflow import Overflow
from worker.preparation import RecordPreparer
from worker.records import Entry, OutputRecord, Prediction, Record, TopicPartition

CHUNK = 256
INPUT = TopicPartition("in", 0)
SEED = 20261124
IMPOSSIBLE = {Reason.INFERENCE_FAILED, Reason.OUTPUT_REFUSED, Reason.TIMESTAMP_REFUSED}
"""Without a session, and without a broker."""


class Rooms:
    """The rooms that an event's bytes go through, apart from the session."""

    def __init__(self, path: str, overflow: str) -> None:
        codec, clock = EventCodec(path, "sentiment", MAX_EVENT_BYTES), SystemClock()
        tokenizer = Artifact.load(None).load_tokeniser().with_overflow(Overflow(overflow))  # type: ignore[arg-type]
        self._clock = clock
        self._preparer = RecordPreparer(codec, tokenizer, clock, Metrics())
        self._writer = OutputWriter(
            codec=codec,
            results=ResultWriter(("neg", "pos"), "free@1", in_windows=overflow == "windows"),
            partitioner=Partitioner(1),
            output=Destination("out", 1, 1_048_576),
            dead_letters=Destination("dead", 1, 12_000_000),
            clock=clock,
        )

    def outputs(self, records: Sequence[Record]) -> list[OutputRecord]:
        """What would be published for each."""
        entries = self._preparer.prepare(records, self._clock.monotonic())
        for entry in entries:
            if entry.outcome is None:
                entry.outcome = _predicted(entry)
        return self._writer.write(entries)


def _predicted(entry: Entry) -> Prediction:
    encoding = entry.encoding
    assert encoding is not None
    assert all(2 <= len(ids) <= 512 for ids in encoding.windows)
    return Prediction((0.25, 0.75), len(encoding), encoding.truncated, len(encoding.windows))


def record_of(event: FuzzEvent, offset: int) -> Record:
    return Record(INPUT, offset, event.timestamp_ms or 0, event.key, event.value, carried(event.headers), 1)


def published(output: OutputRecord) -> Published:
    is_dead_letter = output.topic == "dead"
    return Published(is_dead_letter, output.key, output.value, output.headers, output.timestamp_ms)


@pytest.mark.parametrize(
    ("path", "overflow", "count", "huge_every"),
    [
        ("text", "head_tail", 14_000, 1400),
        ("text", "windows", 3_000, 1500),
        ("review.body.text", "truncate", 3_000, 750),
    ],
)
def test_every_event_comes_out_classified_or_dead_with_a_reason(
    path: str, overflow: str, count: int, huge_every: int
) -> None:
    rooms = Rooms(path, overflow)
    fuzzer = Fuzzer(SEED, path, huge_every=huge_every)
    kinds: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    for start in range(0, count, CHUNK):
        events = [fuzzer.event(number) for number in range(start, min(start + CHUNK, count))]
        outputs = rooms.outputs([record_of(event, start + index) for index, event in enumerate(events)])
        for event, output in zip(events, map(published, outputs), strict=True):
            assert not faults(event, path, output)
            outcomes[output.outcome] += 1
        kinds.update(event.kind for event in events)
    assert set(kinds) == {*KINDS, "huge"}
    assert set(outcomes) >= {CLASSIFIED, TOMBSTONE, *Reason} - {Reason.OUTPUT_TOO_LARGE, *IMPOSSIBLE}
    assert IMPOSSIBLE.isdisjoint(outcomes)
    print(dict(outcomes))


def test_an_event_is_the_same_each_time_and_another_for_another_seed() -> None:
    assert [Fuzzer(1).event(number) for number in range(50)] == [Fuzzer(1).event(number) for number in range(50)]
    assert [Fuzzer(1).event(number) for number in range(50)] != [Fuzzer(2).event(number) for number in range(50)]


@pytest.mark.parametrize(
    ("output", "faithful"),
    [
        (b'{"a": 1,"text":"x"%s}', True),
        (b'{"a": 1, "text":"x"%s}', False),
        (b'{"a": 1,"text":"y"%s}', False),
        (b'{"a": 1,"text":"x"}', False),
        (b'{"a": 1%s,"text":"x"}', False),
    ],
)
def test_the_judge_sees_a_byte_that_changed(output: bytes, faithful: bool) -> None:
    result = ResultWriter(("neg", "pos"), "m@1").result(Prediction((0.1, 0.9), 3, False), "2026-01-31T09:30:00.125Z")
    spelled = output.replace(b"%s", b',"sentiment":' + result)
    value = b'{"a": 1,"text":"x"}'
    if output.index(b"%s" if b"%s" in output else b"}") < 12:
        assert not is_extended(value + b" ", spelled)
    else:
        assert is_extended(value, spelled) == faithful


def test_the_judge_sees_what_became_of_something_else() -> None:
    event = FuzzEvent("valid", b'{"text":"x"', b"key", (("a", b"1"),), 7)
    headers = (*event.headers, (REASON_HEADER, b"not_json"))
    assert not faults(event, "text", Published(True, b"key", event.value, headers, 7))
    for changed in (
        Published(True, b"other", event.value, headers, 7),
        Published(True, b"key", b'{"text":"x" ', headers, 7),
        Published(True, b"key", event.value, headers[1:], 7),
        Published(True, b"key", event.value, headers, 8),
        Published(True, b"key", event.value, (*event.headers, (REASON_HEADER, b"not_object")), 7),
        Published(False, b"key", event.value, headers, 7),
    ):
        assert faults(event, "text", changed)


def test_the_judge_counts_brackets_outside_strings() -> None:
    assert depth(b'{"a[[[":["\\"[",{}]}') == 3
