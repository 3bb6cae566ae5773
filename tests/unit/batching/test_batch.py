import numpy as np
import pytest
from entries import lengths_of, make_entry, make_windows

from worker.batching import Batch, ShapeLadder
from worker.records import TOMBSTONE, parts_of


def test_the_shape_is_the_number_of_entries_by_the_longest():
    batch = Batch([make_entry(3), make_entry(5), make_entry(4)])
    assert (batch.rows, batch.length) == (3, 5)
    assert batch.padded_tokens == 15
    assert batch.real_tokens == 12
    assert batch.padding_waste == pytest.approx(0.2)


def test_entries_of_one_length_waste_nothing():
    assert Batch([make_entry(7), make_entry(7)]).padding_waste == 0.0


def test_arrays_are_padded_to_the_right():
    ids, lengths = Batch([make_entry(3), make_entry(1), make_entry(2)]).arrays(pad_id=0)
    np.testing.assert_array_equal(ids, [[1, 2, 3], [1, 0, 0], [1, 2, 0]])
    np.testing.assert_array_equal(lengths, [3, 1, 2])
    assert ids.dtype == np.int32
    assert lengths.dtype == np.int32
    assert ids.flags.c_contiguous


def test_unused_places_hold_the_pad_id():
    ids, _ = Batch([make_entry(1), make_entry(2)]).arrays(pad_id=9)
    np.testing.assert_array_equal(ids, [[1, 9], [1, 2]])


def test_a_ladder_rounds_both_sides_of_the_shape():
    batch = Batch([make_entry(3), make_entry(2), make_entry(1)], ShapeLadder(lengths=(2, 4, 8), rows=(1, 2, 4)))
    assert (batch.rows, batch.length) == (4, 4)
    assert batch.padded_tokens == 16
    assert batch.padding_waste == pytest.approx(1 - 6 / 16)


def test_rows_that_only_the_ladder_brings_are_harmless_reviews_of_one_pad():
    ids, lengths = Batch([make_entry(2)] * 3, ShapeLadder(lengths=(4,), rows=(4,))).arrays(pad_id=5)
    np.testing.assert_array_equal(ids, [[1, 2, 5, 5], [1, 2, 5, 5], [1, 2, 5, 5], [5, 5, 5, 5]])
    np.testing.assert_array_equal(lengths, [2, 2, 2, 1])


@pytest.mark.parametrize("count", [2, 3, 8])
def test_a_split_keeps_every_entry_once_and_in_order(count):
    entries = [make_entry(length + 1) for length in range(count)]
    first, second = Batch(entries).split()
    assert [*first.parts, *second.parts] == entries
    assert abs(len(first.parts) - len(second.parts)) <= 1


def test_the_halves_of_a_split_keep_the_ladder():
    ladder = ShapeLadder(lengths=(4, 8), rows=(1, 2, 4))
    first, second = Batch([make_entry(length) for length in (8, 7, 3, 2)], ladder).split()
    assert (first.rows, first.length) == (2, 8)
    assert (second.rows, second.length) == (2, 4)
    assert lengths_of(second.parts) == [3, 2]


def test_a_single_entry_cannot_be_split():
    with pytest.raises(ValueError, match="This is a bug"):
        Batch([make_entry(1)]).split()


def test_an_empty_batch_is_a_bug():
    with pytest.raises(ValueError, match="This is a bug"):
        Batch([])


def test_an_entry_without_an_encoding_is_a_bug_that_names_the_record_not_the_review():
    with pytest.raises(ValueError, match=r"This is a bug: reviews\.in/0/17 has no encoding"):
        Batch([make_entry(None, offset=17)])


def test_windows_are_rows_like_any_others():
    windows = make_windows(6, 4)
    batch = Batch([make_entry(5), *windows])
    ids, lengths = batch.arrays(pad_id=0)
    np.testing.assert_array_equal(lengths, [5, 6, 4])
    np.testing.assert_array_equal(ids[2], [1, 2, 3, 4, 0, 0])
    assert batch.has_windows
    assert not Batch([make_entry(5)]).has_windows


def test_a_review_in_several_windows_cannot_be_one_row():
    (first, _) = make_windows(6, 4, offset=17)
    with pytest.raises(ValueError, match=r"This is a bug: reviews\.in/0/17 has several windows"):
        Batch([first.entry])


def test_windows_of_a_review_that_has_its_outcome_are_left_out():
    settled, other, short = make_windows(6, 6), make_windows(7, 5), make_entry(3)
    ladder = ShapeLadder(lengths=(8,), rows=(1, 4, 8))
    batch = Batch([*settled, short, *other], ladder)
    assert batch.without_settled() is batch
    settled[0].entry.outcome = TOMBSTONE
    left = batch.without_settled()
    assert left.parts == (short, *other)
    assert (left.rows, left.length) == (4, 8)
    assert Batch(settled).without_settled() is None


def test_the_parts_of_entries_are_themselves_or_their_windows_and_nothing_of_those_that_are_done():
    windows, done, rejected = make_windows(6, 4, 3), make_entry(4), make_entry(None)
    done.outcome = rejected.outcome = TOMBSTONE
    short, long = make_entry(2), windows[0].entry
    parts = list(parts_of([short, done, long, rejected]))
    assert parts[0] is short
    assert [(part.entry, part.number) for part in parts[1:]] == [(long, 0), (long, 1), (long, 2)]
    assert lengths_of(parts) == [2, 6, 4, 3]
