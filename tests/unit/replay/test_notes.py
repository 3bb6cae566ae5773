"""What a replay notes, and what the notes say."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dead_letters import event, letter_of

from worker.replay.notes import Note, Replayed, Witness, notes_topic


def note(partition: int, *ranges: tuple[int, int], target: str = "reviews.in", last: int = 0) -> Note:
    return Note(partition, ranges, target, "2026-11-24T10:00:00.000Z", Witness(last, "reviews.in/0/1", 5))


def test_a_note_is_read_as_it_was_written() -> None:
    written = note(2, (0, 16), (18, 18))
    assert Note.from_bytes(written.to_bytes()) == written


def test_a_note_with_the_id_of_its_topic_is_read_as_it_was_written() -> None:
    written = replace(note(2, (0, 16)), topic_id="AAAA")
    assert Note.from_bytes(written.to_bytes()) == written


def test_a_note_on_a_topic_that_is_gone_says_nothing_and_one_on_this_topic_needs_no_witness() -> None:
    gone, here = (replace(note(0, (first, first + 3)), topic_id=name) for first, name in ((0, "gone"), (10, "here")))
    replayed = Replayed("reviews.in", [note(0, (20, 23)), gone, here], "here")
    assert [offset for offset in range(30) if replayed.holds(0, offset)] == [10, 11, 12, 13, 20, 21, 22, 23]
    assert not replayed.witnesses
    assert Replayed("reviews.in", [gone], "").witnesses  # a broker that knows no ids


@pytest.mark.parametrize("value", [None, b"", b"\xff", b"{}", b"[1]", b"7", note(1).to_bytes()[:-1]])
def test_anything_else_is_no_note(value: bytes | None) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Note.from_bytes(value)


def test_a_letter_was_replayed_to_the_topics_that_the_notes_name_and_to_no_other() -> None:
    notes = [note(0, (0, 3)), note(0, (5, 5), target="reviews.test"), note(1, (7, 9))]
    here, there = Replayed("reviews.in", notes), Replayed("reviews.test", notes)
    assert [offset for offset in range(12) if here.holds(0, offset)] == [0, 1, 2, 3]
    assert [offset for offset in range(12) if here.holds(1, offset)] == [7, 8, 9]
    assert [offset for offset in range(12) if there.holds(0, offset)] == [5]
    assert not here.holds(2, 0)


def test_reading_begins_at_the_first_letter_that_no_note_speaks_of() -> None:
    replayed = Replayed("reviews.in", [note(0, (0, 3)), note(0, (4, 9), (11, 11))])
    assert [replayed.first_open(0, start) for start in (0, 5, 10, 11, 12)] == [10, 10, 10, 12, 12]
    assert replayed.first_open(1, 6) == 6


def test_the_newest_note_of_each_partition_is_its_witness_whatever_the_target() -> None:
    replayed = Replayed("reviews.in", [note(0, last=9), note(1, last=2), note(0, last=4, target="reviews.test")])
    assert {partition: witness.offset for partition, witness in replayed.witnesses.items()} == {0: 4, 1: 2}


def test_a_witness_knows_its_letter_from_another_in_the_same_place() -> None:
    letter = letter_of(event("reviews.in/3/5", timestamp_ms=9))
    assert Witness.of(letter) == Witness(17, "reviews.in/3/5", 9)
    assert Witness.of(letter) != Witness.of(letter_of(event("reviews.in/3/6", timestamp_ms=9)))
    assert Witness.of(letter) != Witness.of(letter_of(event("reviews.in/3/5", timestamp_ms=8)))


def test_the_notes_lie_beside_the_dead_letters() -> None:
    assert notes_topic("reviews.dlq") == "reviews.dlq.replayed"
