"""Reading a dead letter gives back the event that it was made of."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dead_letters import TOPIC, event, failed, letter_of
from hypothesis import given
from hypothesis import strategies as st

from worker.delivery.dead_letters import TIMESTAMP_HEADER
from worker.errors import Reason
from worker.records import Headers, Record, TopicPartition
from worker.replay.letters import FAILURE_HEADERS, HOPS_HEADER, Failure, read_letter

NAMES = st.sampled_from([*FAILURE_HEADERS, TIMESTAMP_HEADER, "trace", "source", ""])
HEADERS = st.lists(st.tuples(NAMES, st.none() | st.binary(max_size=4)), max_size=20).map(tuple)


def test_a_letter_says_why_and_where_from() -> None:
    assert letter_of(event(), Reason.TEXT_MISSING).failures == (
        Failure(
            reason="text_missing",
            stage="decode",
            exception="worker.errors.RecordError",
            message="wrong: text_missing",
            topic="reviews.in",
            partition=3,
            offset=1207,
        ),
    )
    assert letter_of(event()).failures[0].source == "reviews.in/3/1207"


@given(HEADERS, st.integers(0, 5), st.sampled_from([Reason.NOT_JSON, Reason.TIMESTAMP_REFUSED]))
def test_the_headers_of_the_event_come_back_exactly_and_the_hops_are_told(
    own: Headers, hops: int, reason: Reason
) -> None:
    if not hops and read_letter(event(headers=own)).failures:
        own = own[:-2]  # an event that was a dead letter itself: another test
    letter = letter_of(event(headers=own, hops=hops), reason)
    assert letter.event_headers == own
    assert letter.hops == hops
    assert len(letter.failures) == 1


def test_a_letter_that_was_copied_back_and_failed_again_has_both_failures_and_the_latest_counts() -> None:
    first = failed(event("reviews.in/3/5", headers=(("trace", b"a"),), hops=2), Reason.NOT_JSON)
    copied = replace(first, partition=TopicPartition("reviews.in", 1), offset=9)
    letter = letter_of(copied, Reason.TEXT_BLANK)
    assert [(failure.reason, failure.source) for failure in letter.failures] == [
        ("not_json", "reviews.in/3/5"),
        ("text_blank", "reviews.in/1/9"),
    ]
    assert letter.latest == letter.failures[1]
    assert (letter.event_headers, letter.hops) == ((("trace", b"a"),), 2)


@pytest.mark.parametrize(
    "headers",
    [(), (("trace", b"a"),), tuple((name, b"1") for name in FAILURE_HEADERS[:-1])],
)
def test_what_this_worker_has_not_written_has_no_failure_and_keeps_its_headers(headers: Headers) -> None:
    letter = read_letter(Record(TopicPartition(TOPIC, 0), 3, 1, None, None, headers, 0))
    assert (letter.latest, letter.event_headers, letter.hops) == (None, headers, 0)


def test_a_failure_with_headers_that_make_no_sense_is_still_read() -> None:
    headers: Headers = tuple((name, None) for name in FAILURE_HEADERS[:3]) + tuple(
        (name, b"\xff") for name in FAILURE_HEADERS[3:]
    )
    failure = read_letter(Record(TopicPartition(TOPIC, 0), 3, 1, None, None, headers, 0)).latest
    assert failure is not None
    assert (failure.message, failure.partition, failure.offset) == ("", -1, -1)
    assert failure.reason == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("values", "hops"),
    [
        ([b"2"], 2),
        ([b"1", b"3", b"2"], 3),
        ([b"-1"], 0),
        ([None], 0),
        ([b"many"], 0),
        ([b"9" * 5000], 0),
        ([b"\xd9\xa3"], 0),  # a digit, but not one of these
    ],
)
def test_hops_are_a_decimal_number_and_anything_else_is_none(values: list[bytes | None], hops: int) -> None:
    letter = letter_of(event(headers=(("a", b""), *((HOPS_HEADER, value) for value in values), ("b", b""))))
    assert letter.hops == hops
    assert letter.event_headers == (("a", b""), ("b", b""))


@pytest.mark.parametrize("own_ms", [0, 1234, -1234, -2, 2**63 - 1])
def test_a_letter_that_could_not_have_the_event_s_time_tells_it(own_ms: int) -> None:
    letter = letter_of(event(timestamp_ms=own_ms), Reason.TIMESTAMP_REFUSED)
    assert (letter.record.timestamp_ms, letter.timestamp_ms) == (-1, own_ms)
    assert letter.event_headers == ()


def test_a_letter_with_the_event_s_time_says_so_too() -> None:
    assert letter_of(event(timestamp_ms=1234)).timestamp_ms == 1234
    assert letter_of(event(timestamp_ms=-1), Reason.TIMESTAMP_REFUSED).timestamp_ms == -1


@pytest.mark.parametrize("value", [b"", b"soon", b"9" * 19, b"9" * 5000, b"1.5", None, b"\xd9\xa3"])
def test_a_time_that_makes_no_sense_is_that_of_the_letter(value: bytes | None) -> None:
    record = failed(event(timestamp_ms=7))
    letter = read_letter(replace(record, headers=(*record.headers, (TIMESTAMP_HEADER, value))))
    assert (letter.timestamp_ms, len(letter.failures)) == (7, 1)
