"""Dead letters of any bytes, in words."""

from __future__ import annotations

import base64

import click
import orjson
import pytest
from dead_letters import event, letter_of

from worker.cli.dlq.shown import all_members, header, line, members
from worker.cli.dlq.summary import Summary
from worker.errors import Reason
from worker.records import Headers, Record, TopicPartition
from worker.replay.letters import read_letter

STEERING = b"\x1b[31m\x07\r\n\xff"
HEADERS: Headers = (("tr\x1bace", STEERING), ("trace", None))


def test_a_line_cannot_steer_the_terminal() -> None:
    letter = letter_of(event(key=STEERING, value=STEERING * 100, headers=HEADERS, hops=1))
    text = click.unstyle(line(letter, replayed=True))
    assert text.isprintable()
    assert text.split()[:5] == ["2/17", "not_utf8", "decode", "reviews.in/3/1207", "1970-01-01T00:00:01.234Z"]
    assert "(hops 1, replayed)" in text


def test_what_a_line_shows_stands_below_its_name() -> None:
    names = click.unstyle(header())
    shown = click.unstyle(line(letter_of(event(key=b"k", value=b"{}")), replayed=False))
    places = {"position": "2/17", "reason": "not_utf8", "stage": "decode", "read at": "reviews.in/3/1207", "time": "19"}
    for name, value in {**places, "key": "k", "size": "2 B"}.items():
        assert shown[names.index(name) :].startswith(value)


def test_the_line_of_a_record_that_is_not_ours_steers_it_neither() -> None:
    names = [name for name, _ in letter_of(event()).record.headers]
    headers: Headers = tuple((name, STEERING) for name in names)
    for letter in (read_letter(Record(TopicPartition("t", 0), 1, -1, None, None, each, 0)) for each in ((), headers)):
        assert click.unstyle(line(letter, replayed=False)).isprintable()


def test_all_of_a_letter_is_there_in_json_bytes_that_are_no_text_too() -> None:
    letter = letter_of(event(key=None, value=STEERING, headers=HEADERS))
    shown = orjson.loads(orjson.dumps(all_members(letter)))
    encoded = {"base64": base64.b64encode(STEERING).decode()}
    assert (shown["key"], shown["value"]) == (None, encoded)
    assert shown["headers"] == [["tr\x1bace", encoded], ["trace", None]]
    assert [failure["source"] for failure in shown["failures"]] == ["reviews.in/3/1207"]


@pytest.mark.parametrize("timestamp_ms", [-1, 10**17])
def test_a_time_that_is_none_is_shown_as_none(timestamp_ms: int) -> None:
    letter = letter_of(event(timestamp_ms=timestamp_ms))
    assert members(letter, replayed=False)["time"] is None
    assert "no time" in line(letter, replayed=False)


def test_a_summary_counts_by_reason_stage_and_topic_the_most_frequent_first() -> None:
    summary = Summary()
    for number, (reason, source) in enumerate(
        [
            (Reason.NOT_JSON, "a/0/0"),
            (Reason.TEXT_BLANK, "a/0/1"),
            (Reason.TEXT_BLANK, "a/1/2"),
            (Reason.NOT_JSON, "b/0/0"),
        ]
    ):
        summary.add(letter_of(event(source, timestamp_ms=1000 * number), reason), replayed=number == 1)
    summary.add(read_letter(Record(TopicPartition("t", 0), 1, -1, None, None, (), 0)), replayed=False)
    assert [tuple(row.values()) for row in summary.rows()] == [
        ("text_blank", "decode", "a", 2, 0.4, "1970-01-01T00:00:01.000Z", "1970-01-01T00:00:02.000Z", 1),
        ("not_json", "decode", "a", 1, 0.2, "1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00.000Z", 0),
        ("not_json", "decode", "b", 1, 0.2, "1970-01-01T00:00:03.000Z", "1970-01-01T00:00:03.000Z", 0),
        ("unknown", "", "", 1, 0.2, None, None, 0),
    ]
    assert summary.in_words() == "5 dead letters, 1 of them replayed"
