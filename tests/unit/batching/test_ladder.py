import pytest

from worker.batching import ShapeLadder


def test_a_length_is_rounded_up_to_the_next_rung():
    ladder = ShapeLadder(lengths=(32, 16, 64), rows=(1,))
    assert [ladder.round_length(length) for length in (1, 16, 17, 32, 33, 64)] == [16, 16, 32, 32, 64, 64]


def test_rows_are_rounded_up_or_down_to_a_rung():
    ladder = ShapeLadder(lengths=(16,), rows=(2, 4, 8))
    assert [ladder.round_rows(rows) for rows in (1, 2, 3, 5, 8)] == [2, 2, 4, 8, 8]
    assert [ladder.floor_rows(rows) for rows in (1, 2, 3, 7, 8, 99)] == [0, 2, 2, 4, 8, 8]


def test_what_exceeds_the_last_rung_is_a_bug():
    ladder = ShapeLadder(lengths=(16,), rows=(2,))
    with pytest.raises(ValueError, match="This is a bug: 17 tokens exceed"):
        ladder.round_length(17)
    with pytest.raises(ValueError, match="This is a bug: 3 reviews exceed"):
        ladder.round_rows(3)


@pytest.mark.parametrize(("lengths", "rows"), [((), (1,)), ((16,), ()), ((0, 16), (1,)), ((16,), (-1,))])
def test_a_ladder_needs_positive_rungs(lengths, rows):
    with pytest.raises(ValueError, match="positive numbers"):
        ShapeLadder(lengths, rows)


@pytest.mark.parametrize("max_length", [1, 15, 16, 100, 512])
@pytest.mark.parametrize("max_rows", [1, 2, 3, 5, 8, 9, 100, 256, 1000])
def test_the_usual_ladder_ends_at_the_limits_of_model_and_batch(max_length, max_rows):
    ladder = ShapeLadder.up_to(max_length, max_rows)
    assert ladder.lengths[-1] == max_length
    assert ladder.rows[-1] == max_rows
    assert ladder.rows[0] == 1


def test_the_usual_ladder_is_small():
    ladder = ShapeLadder.up_to(512, 256)
    assert ladder.lengths == tuple(range(16, 513, 16))
    assert ladder.rows == (
        *(1, 2, 4, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64),
        *(80, 96, 112, 128, 160, 192, 224, 256),
    )
