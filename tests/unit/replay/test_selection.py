"""Which dead letters are sent again, and as what."""

from __future__ import annotations

import pytest
from dead_letters import TOPIC, event, letter_of

from worker.delivery.outputs import SOURCE_TIMESTAMP_HEADER, Destination, Partitioner
from worker.errors import Reason
from worker.records import Record, TopicPartition
from worker.replay.letters import HOPS_HEADER, read_letter
from worker.replay.selection import Left, Selection, Target, Wanted

DAY_MS = 24 * 3600 * 1000
TARGET = Target("reviews.in", 6)
ALL = Wanted()
NOW_MS = 1_795_000_000_000
FOREIGN = read_letter(Record(TopicPartition(TOPIC, 0), 3, NOW_MS, b"k", b"v", (("trace", b""),), 0))


def selection(
    *,
    target: Target = TARGET,
    wanted: Wanted = ALL,
    max_hops: int = 3,
    from_any_topic: bool = False,
    new_time: bool = False,
) -> Selection:
    return Selection(target, wanted, max_hops, NOW_MS, from_any_topic, new_time)


def test_a_replayed_event_is_the_event_itself_with_its_hops_counted_in_a_last_header() -> None:
    own = (("trace", b"\xff"), ("trace", None))
    first = selection().replayed(letter_of(event(headers=own)))
    assert (first.topic, first.key, first.value, first.timestamp_ms) == ("reviews.in", b"k", b"\xff", 1234)
    assert first.headers == (*own, (HOPS_HEADER, b"1"))
    again = selection().replayed(letter_of(event(headers=own, hops=2)))
    assert again.headers == (*own, (HOPS_HEADER, b"3"))


def test_nothing_as_a_key_or_a_value_stays_nothing() -> None:
    output = selection().replayed(letter_of(event(key=None, value=None)))
    assert (output.key, output.value) == (None, None)


@pytest.mark.parametrize(("source", "partition"), [("reviews.in/3/7", 3), ("reviews.in/5/0", 5)])
def test_an_event_goes_back_to_its_own_partition(source: str, partition: int) -> None:
    assert selection().replayed(letter_of(event(source))).partition == partition


@pytest.mark.parametrize("source", ["reviews.in/6/7", "reviews.old/3/7"])
def test_where_its_partition_is_not_there_the_key_chooses_as_it_does_for_outputs(source: str) -> None:
    letter = letter_of(event(source, key=b"b-17"))
    by_key = Partitioner(1).partition(letter.record, Destination("reviews.in", 6, 1))
    assert selection().replayed(letter).partition == by_key


def test_without_partition_and_key_the_partition_of_the_letter_is_taken() -> None:
    assert selection().replayed(letter_of(event("old/3/7", key=None), partition=8)).partition == 2


def test_everything_is_wanted_without_a_filter() -> None:
    assert selection().leaves(letter_of(event())) is None
    assert selection().leaves(letter_of(event(timestamp_ms=-1))) is None


def test_only_the_latest_reason_is_filtered_by() -> None:
    copied = letter_of(event(), Reason.NOT_JSON).record
    letter = letter_of(copied, Reason.TEXT_BLANK)
    assert Wanted(frozenset({"text_blank", "not_utf8"})).wants(letter)
    assert not Wanted(frozenset({"not_json"})).wants(letter)
    assert not Wanted(frozenset({"not_json"})).wants(FOREIGN)


def test_only_events_of_that_time_or_later_pass_and_none_without_a_time() -> None:
    wanted = Wanted(since_ms=1000)
    assert [wanted.wants(letter_of(event(timestamp_ms=time_ms))) for time_ms in (999, 1000, 1001, -1)] == [
        False,
        True,
        True,
        False,
    ]


def test_what_is_not_asked_for_is_left() -> None:
    chosen = selection(wanted=Wanted(frozenset({"not_json"})))
    assert chosen.leaves(letter_of(event(), Reason.TEXT_BLANK)) is Left.FILTERED
    assert chosen.leaves(letter_of(event(), Reason.NOT_JSON)) is None


def test_what_this_worker_has_not_written_is_left_even_on_the_way_to_another_topic() -> None:
    assert selection().leaves(FOREIGN) is Left.FOREIGN
    assert selection(from_any_topic=True).leaves(FOREIGN) is Left.FOREIGN


def test_an_event_that_was_sent_again_as_often_as_allowed_is_left() -> None:
    left = [selection(max_hops=2).leaves(letter_of(event(hops=hops))) for hops in range(4)]
    assert left == [None, None, Left.HOPS, Left.HOPS]


def test_an_event_of_another_topic_is_left_unless_a_topic_for_all_was_named() -> None:
    letter = letter_of(event("reviews.old/0/1"))
    assert selection().leaves(letter) is Left.ELSEWHERE
    assert selection(from_any_topic=True).leaves(letter) is None


def test_an_event_that_the_topic_would_soon_delete_is_left_unless_it_gets_a_new_time() -> None:
    target = Target("reviews.in", 6, retention_ms=10 * DAY_MS)
    old, young = (letter_of(event(timestamp_ms=NOW_MS - days * DAY_MS)) for days in (9, 8))
    without = letter_of(event(timestamp_ms=-1))
    assert selection(target=target).leaves(old) is Left.TOO_OLD
    assert selection(target=target).leaves(young) is None
    assert selection(target=target).leaves(without) is None
    assert selection().leaves(old) is None
    anew = selection(target=target, new_time=True)
    assert anew.leaves(old) is None
    assert anew.replayed(old).timestamp_ms == NOW_MS
    assert selection().replayed(old).timestamp_ms == NOW_MS - 9 * DAY_MS
    assert selection().replayed(without).timestamp_ms == NOW_MS


def test_an_event_whose_time_a_topic_refused_is_sent_again_with_it() -> None:
    letter = letter_of(event(timestamp_ms=1234), Reason.TIMESTAMP_REFUSED)
    output = selection().replayed(letter)
    assert (output.timestamp_ms, output.headers) == (1234, ((HOPS_HEADER, b"1"),))
    assert selection(new_time=True).replayed(letter).timestamp_ms == NOW_MS
    assert selection(wanted=Wanted(since_ms=1235)).leaves(letter) is Left.FILTERED


def test_an_event_from_before_1970_is_sent_again_with_its_time_in_a_header() -> None:
    output = selection().replayed(letter_of(event(headers=(("trace", b"a"),), timestamp_ms=-1234)))
    assert output.timestamp_ms == NOW_MS
    assert output.headers == (("trace", b"a"), (SOURCE_TIMESTAMP_HEADER, b"-1234"), (HOPS_HEADER, b"1"))


def test_an_event_whose_time_the_topic_does_not_take_is_left_unless_it_gets_a_new_one() -> None:
    target = Target("reviews.in", 6, oldest_ms=10 * DAY_MS, ahead_ms=DAY_MS)
    days = (-11, -10, 0, 1, 2)
    letters = [letter_of(event(timestamp_ms=NOW_MS + each * DAY_MS)) for each in days]
    left = [selection(target=target).leaves(letter) for letter in letters]
    assert left == [Left.TIME_REFUSED, None, None, None, Left.TIME_REFUSED]
    assert {selection(target=target, new_time=True).leaves(letter) for letter in letters} == {None}
    assert selection(target=target).leaves(letter_of(event(timestamp_ms=-1))) is None
