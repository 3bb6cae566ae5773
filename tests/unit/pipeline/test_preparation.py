"""Records to entries."""

from __future__ import annotations

import gc
from collections.abc import Iterable

import numpy as np
import pytest

from worker.clock import FakeClock
from worker.errors import Reason, RecordError, Stage
from worker.events.codec import EventCodec
from worker.observability.metrics import Metrics
from worker.pipeline.preparation import RecordPreparer
from worker.records import TOMBSTONE, Encoding, Record, TopicPartition
from worker.tokenization.overflow import Overflow

WALL = 1_700_000_000.0
ARRIVED_AT = 1_000.0


class LengthTokenizer:
    """As many tokens as characters; some texts break it."""

    overflow = Overflow("windows")

    def __init__(self, breaks_on: str = "\0") -> None:
        self.breaks_on = breaks_on

    def encode_many(self, texts: Iterable[str]) -> list[Encoding]:
        all_texts = list(texts)
        if any(self.breaks_on in text for text in all_texts):
            raise ValueError("this text breaks it")
        return [self._encoding(text) for text in all_texts]

    @staticmethod
    def _encoding(text: str) -> Encoding:
        """One window for each word; an exclamation mark says that something is missing."""
        first, *further = (np.zeros(len(word), dtype=np.int32) for word in text.split(" "))
        return Encoding(first, truncated="!" in text, further=tuple(further))


def preparer(breaks_on: str = "\0", metrics: Metrics | None = None) -> RecordPreparer:
    clock = FakeClock(monotonic=ARRIVED_AT, wall=WALL)
    return RecordPreparer(
        EventCodec("text", "sentiment", 1_000), LengthTokenizer(breaks_on), clock, metrics or Metrics()
    )  # type: ignore[arg-type]


def record(value: bytes | None, timestamp_ms: int = -1, offset: int = 0) -> Record:
    return Record(TopicPartition("in", 0), offset, timestamp_ms, None, value, (), 1)


def test_each_record_gets_its_own_encoding_whatever_lies_between() -> None:
    values = [b'{"text": "a"}', None, b"no JSON", b'{"text": "bb", "sentiment": 1}', b'{"text": 5}', b'{"text": "ccc"}']
    entries = preparer().prepare([record(value, offset=i) for i, value in enumerate(values)], ARRIVED_AT)
    assert [entry.record.offset for entry in entries] == list(range(6))
    assert [len(entry.encoding) if entry.encoding else None for entry in entries] == [1, None, None, 2, None, 3]
    assert [entry.has_result for entry in entries] == [False, False, False, True, False, False]
    outcomes = [entry.outcome for entry in entries]
    assert [outcomes[0], outcomes[1], outcomes[3], outcomes[5]] == [None, TOMBSTONE, None, None]
    reasons = [outcome.reason for outcome in outcomes if isinstance(outcome, RecordError)]
    assert reasons == [Reason.NOT_JSON, Reason.TEXT_NOT_STRING]


@pytest.mark.parametrize(
    ("timestamp_ms", "age_s"),
    [(-1, 0.0), (0, 0.0), (int(WALL * 1000) - 2_500, 2.5), (int(WALL * 1000) + 60_000, 0.0)],
    ids=["none", "none, as zero", "older", "from a clock that is ahead"],
)
def test_the_age_of_the_event_counts(timestamp_ms: int, age_s: float) -> None:
    (entry,) = preparer().prepare([record(b'{"text": "a"}', timestamp_ms)], ARRIVED_AT)
    assert entry.arrived_at == ARRIVED_AT
    assert entry.waiting_since == pytest.approx(ARRIVED_AT - age_s)


def test_a_text_that_breaks_the_tokeniser_is_a_dead_letter_alone() -> None:
    values = [b'{"text": "a"}', b'{"text": "bx"}', b'{"text": "cc"}']
    entries = preparer(breaks_on="x").prepare([record(value) for value in values], ARRIVED_AT)
    assert [entry.encoding is not None for entry in entries] == [True, False, True]
    outcome = entries[1].outcome
    assert isinstance(outcome, RecordError)
    assert (outcome.reason, outcome.stage) == (Reason.INFERENCE_FAILED, Stage.TOKENISE)
    assert "bx" not in str(outcome), "a message never quotes a review"


def test_nothing_to_tokenise_is_no_problem() -> None:
    assert preparer().prepare([], ARRIVED_AT) == []
    assert [entry.outcome for entry in preparer().prepare([record(None)], ARRIVED_AT)] == [TOMBSTONE]


def test_reviews_that_are_longer_than_the_model_are_counted_with_what_was_done() -> None:
    metrics = Metrics()
    values = [b'{"text": "a"}', b'{"text": "bb cc"}', b'{"text": "d!"}', b'{"text": "xx ff"}', b"no JSON"]
    entries = preparer("xx", metrics).prepare([record(value) for value in values], ARRIVED_AT)
    assert [len(entry.encoding.windows) if entry.encoding else 0 for entry in entries] == [1, 2, 1, 0, 0]
    counted = metrics.registry.get_sample_value("reviews_worker_overflows_total", {"policy": "windows"})
    assert counted == 2


@pytest.mark.parametrize("value", [b"\xff", b"{", b"[]", b'{"text": 5}', b'{"text": " "}', b"x" * 2_000])
def test_a_rejected_event_leaves_nothing_to_the_garbage_collector(value: bytes) -> None:
    """A worker seldom runs it: whole chunks of rejected events would stay in memory for long."""
    gc.collect()
    gc.disable()
    try:
        preparer().prepare([record(value) for _ in range(100)], ARRIVED_AT)
        assert gc.collect() < 100
    finally:
        gc.enable()
