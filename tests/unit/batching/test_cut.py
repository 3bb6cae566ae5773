import pytest

from worker.batching import ShapeLadder
from worker.batching.cut import BACKLOG_PRICE, CutLimits, best_cut, token_price


def cut(waiting: dict[int, int], anchor: int, *, tokens: int, price: float = 1.2, ladder: ShapeLadder | None = None):
    lengths = sorted(waiting)
    reviews_of = {length: range(count) for length, count in waiting.items()}
    return best_cut(lengths, reviews_of, lengths.index(anchor), CutLimits(tokens, 16, price, ladder))


def test_reviews_of_one_length_fill_the_budget():
    assert cut({100: 50}, 100, tokens=1600) == [(100, 16)]


def test_the_number_of_reviews_is_limited_too():
    assert cut({10: 50}, 10, tokens=1600) == [(10, 16)]


def test_the_nearest_lengths_come_first_on_both_sides():
    assert cut({40: 9, 99: 2, 100: 1, 101: 1, 300: 9}, 100, tokens=404) == [(101, 1), (100, 1), (99, 2)]


def test_a_review_that_is_not_worth_its_place_stays_behind():
    assert cut({20: 1, 166: 1, 167: 1, 200: 1, 500: 1}, 200, tokens=1024) == [(200, 1), (167, 1)]


def test_a_higher_price_brings_more_company():
    assert cut({20: 1, 200: 1, 500: 1}, 200, tokens=1500, price=3.0) == [(500, 1), (200, 1)]


def test_few_tokens_share_the_cost_of_a_launch():
    assert token_price(waiting_tokens=1024, max_tokens=16_384) == pytest.approx(2.0)
    assert token_price(waiting_tokens=100_000, max_tokens=16_384) == BACKLOG_PRICE


def test_the_anchor_comes_along_when_more_of_the_longest_wait_than_fit():
    assert cut({100: 1, 101: 100}, 100, tokens=808) == [(101, 7), (100, 1)]


def test_everything_between_the_anchor_and_the_longest_comes_along():
    assert cut({100: 1, 101: 2, 102: 100}, 100, tokens=816) == [(102, 5), (101, 2), (100, 1)]


def test_an_anchor_larger_than_a_lowered_budget_is_cut_alone():
    assert cut({90: 3, 100: 3, 110: 3}, 100, tokens=80) == [(100, 1)]


def test_rows_are_taken_in_whole_rungs_where_more_wait():
    ladder = ShapeLadder(lengths=(128,), rows=(1, 2, 4, 8, 16))
    assert cut({128: 50}, 128, tokens=1536, ladder=ladder) == [(128, 8)]


def test_rows_that_fill_no_rung_wait_for_the_next_batch():
    ladder = ShapeLadder(lengths=(64, 128), rows=(1, 2, 4, 8, 16))
    assert cut({64: 1, 128: 8}, 128, tokens=2048, ladder=ladder) == [(128, 8)]


def test_one_row_short_of_a_rung_is_padded():
    ladder = ShapeLadder(lengths=(128,), rows=(1, 2, 4, 8, 16))
    assert cut({128: 15}, 128, tokens=2048, ladder=ladder) == [(128, 15)]


def test_the_anchor_is_not_left_out_for_a_whole_rung():
    ladder = ShapeLadder(lengths=(120, 128), rows=(1, 2, 4, 8, 16))
    assert cut({120: 1, 128: 8}, 120, tokens=2048, ladder=ladder)[-1] == (120, 1)
