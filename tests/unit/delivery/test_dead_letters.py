"""What a dead letter carries, and when the fuse blows."""

from __future__ import annotations

import pytest

from worker.delivery.dead_letters import DeadLetterFuse, dead_letter
from worker.errors import ExitCode, FuseError, Reason, RecordError, Stage
from worker.records import Headers, OutputRecord, Record, TopicPartition

ERROR = RecordError(Reason.TEXT_MISSING, Stage.DECODE, "the event has no member 'text' — naïve")


def letter_for(headers: Headers = (), error: RecordError = ERROR, timestamp_ms: int = 1234) -> OutputRecord:
    record = Record(TopicPartition("reviews.in", 3), 1207, timestamp_ms, b"\x00key", b"\xff\x00value", headers, 5)
    return dead_letter(record, error, "reviews.dlq", 2)


def test_a_dead_letter_keeps_key_value_and_timestamp() -> None:
    letter = letter_for()
    assert (letter.topic, letter.partition) == ("reviews.dlq", 2)
    assert (letter.key, letter.value, letter.timestamp_ms) == (b"\x00key", b"\xff\x00value", 1234)
    assert letter_for(timestamp_ms=-1).timestamp_ms == -1


def test_a_dead_letter_says_why_and_where_from_in_headers() -> None:
    assert letter_for().headers == (
        ("__streams.errors.exception", b"worker.errors.RecordError"),
        ("__streams.errors.message", "the event has no member 'text' — naïve".encode()),
        ("__streams.errors.topic", b"reviews.in"),
        ("__streams.errors.partition", b"3"),
        ("__streams.errors.offset", b"1207"),
        ("reviews_worker.errors.reason", b"text_missing"),
        ("reviews_worker.errors.stage", b"decode"),
    )


def test_the_headers_of_the_event_come_first_and_are_untouched() -> None:
    own: Headers = (("trace", b"\xff"), ("trace", None), ("__streams.errors.offset", b"1"))
    headers = letter_for(own).headers
    assert headers[:3] == own
    assert dict(headers)["__streams.errors.offset"] == b"1207"


def test_a_message_that_is_no_unicode_does_not_stop_the_dead_letter() -> None:
    error = RecordError(Reason.TEXT_MISSING, Stage.DECODE, "no member '\udcff'")
    assert dict(letter_for(error=error).headers)["__streams.errors.message"] == b"no member '?'"


def test_the_fuse_blows_at_the_run_length() -> None:
    fuse = DeadLetterFuse(share=1.0, window_reviews=1000, run_length=3)
    fuse.record(dead=True, reason=Reason.NOT_JSON)
    fuse.record(dead=True, reason=Reason.NOT_JSON)
    fuse.record_classified(1)
    fuse.record(dead=True, reason=Reason.NOT_JSON)
    fuse.record(dead=True, reason=Reason.NOT_JSON)
    with pytest.raises(FuseError, match="the last 3 events were all dead letters"):
        fuse.record(dead=True, reason=Reason.NOT_JSON)
    with pytest.raises(FuseError, match="the last 4 events"):
        fuse.record(dead=True, reason=Reason.NOT_JSON)


def test_the_share_counts_only_once_the_window_is_full() -> None:
    fuse = DeadLetterFuse(share=0.5, window_reviews=10, run_length=100)
    for _ in range(9):
        fuse.record(dead=True)
    with pytest.raises(FuseError, match="9 of the last 10 events were dead letters"):
        fuse.record_classified(1)


def test_the_share_counts_at_the_moment_the_window_is_full_even_in_a_long_run_of_good_events() -> None:
    fuse = DeadLetterFuse(share=0.5, window_reviews=10, run_length=100)
    for _ in range(5):
        fuse.record(dead=True)
    with pytest.raises(FuseError, match="5 of the last 10"):
        fuse.record_classified(1_000_000)


def test_old_dead_letters_leave_the_window() -> None:
    fuse = DeadLetterFuse(share=0.5, window_reviews=10, run_length=100)
    for _ in range(100):
        for _ in range(4):
            fuse.record(dead=True)
        fuse.record_classified(6)
    fuse.record_classified(10)
    for _ in range(4):
        fuse.record(dead=True)
    with pytest.raises(FuseError, match="5 of the last 10"):
        fuse.record(dead=True)


def test_the_message_counts_the_reasons_names_a_place_for_each_and_the_remedy_of_the_most_frequent() -> None:
    fuse = DeadLetterFuse(share=0.5, window_reviews=4, run_length=100)
    fuse.record(dead=True, reason=Reason.TEXT_MISSING, example="in/0/1: 'after' is null")
    fuse.record(dead=True, reason=Reason.NOT_UTF8, example="in/1/7: not UTF-8 at byte 0")
    fuse.record(dead=True, reason=Reason.TEXT_MISSING, example="in/0/2: 'after' is null")
    with pytest.raises(FuseError) as caught:
        fuse.record(dead=False)
    assert str(caught.value).startswith(
        "3 of the last 4 events were dead letters (limit 2): text_missing 2 times (last in/0/2: 'after' is null),"
        " not_utf8 1 time (last in/1/7: not UTF-8 at byte 0); because of text_missing: check that text_field names"
    )
    assert caught.value.exit_code is ExitCode.FUSE


def test_a_run_counts_its_own_reasons_only() -> None:
    fuse = DeadLetterFuse(share=1.0, window_reviews=100, run_length=2)
    fuse.record(dead=True, reason=Reason.NOT_JSON, example="in/0/0: not JSON")
    fuse.record(dead=False)
    fuse.record(dead=True, reason=Reason.TEXT_BLANK, example="in/0/2: blank")
    with pytest.raises(FuseError, match=r"all dead letters: text_blank 2 times \(last in/0/3: blank\); because of"):
        fuse.record(dead=True, reason=Reason.TEXT_BLANK, example="in/0/3: blank")


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_remedy(reason: Reason) -> None:
    with pytest.raises(FuseError, match=rf": {reason.value} 1 time; because of {reason.value}: \w+"):
        DeadLetterFuse(share=1.0, window_reviews=10, run_length=1).record(dead=True, reason=reason)


@pytest.mark.parametrize(("share", "window", "limit"), [(0.07, 100, 7), (0.29, 100, 29), (1.0, 7, 7), (0.001, 10, 1)])
def test_the_limit_is_the_share_of_the_window(share: float, window: int, limit: int) -> None:
    assert DeadLetterFuse(share, window, 1).limit == limit


@pytest.mark.parametrize(("share", "window", "run"), [(0.0, 10, 10), (1.1, 10, 10), (0.5, 0, 10), (0.5, 10, 0)])
def test_a_fuse_that_could_never_or_always_blow_is_refused(share: float, window: int, run: int) -> None:
    with pytest.raises(ValueError, match="no such fuse"):
        DeadLetterFuse(share, window, run)


def test_nothing_counted_changes_nothing() -> None:
    fuse = DeadLetterFuse(share=1.0, window_reviews=1, run_length=2)
    with pytest.raises(FuseError):
        fuse.record(dead=True)
    fuse.record_classified(0)
    with pytest.raises(FuseError, match="the last 2"):
        fuse.record(dead=True)
