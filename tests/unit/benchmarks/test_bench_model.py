"""The benchmark of the model: its ways to batch lose no review, and its figures are what they are called."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.bench_model import OWN, PAD_ID, by_our_batcher, in_arrival_order, ratio, targets
from tests.benchmarks.model_subjects import Batch
from worker.records import Encoding
from worker.service.model_loading import batch_limits
from worker.settings import Settings

LENGTHS = [int(size) for size in np.random.default_rng(4).integers(3, 513, 75)]


def _encodings() -> list[Encoding]:
    """Each begins with its own number, and no token is the padding's."""
    rows = [np.full(size, 7, dtype=np.int32) for size in LENGTHS]
    for number, row in enumerate(rows, 1):
        row[0] = 1000 + number
    return [Encoding(row, truncated=False) for row in rows]


def _rows(batches: list[Batch]) -> list[list[int]]:
    """What is read of every row, in order; whatever is beyond its length is padding."""
    rows = []
    for ids, lengths in batches:
        assert ids.shape == (len(lengths), lengths.max())
        for row, length in zip(ids, lengths, strict=True):
            assert (row[length:] == PAD_ID).all()
            rows.append(row[:length].tolist())
    return rows


@pytest.mark.parametrize("count", [1, 8, 32, 75, 100])
def test_batches_in_arrival_order_hold_every_review_once_in_its_order(count: int) -> None:
    encodings = _encodings()
    batches = in_arrival_order(encodings, count)
    assert _rows(batches) == [encoding.ids.tolist() for encoding in encodings]
    assert [len(lengths) for _, lengths in batches[:-1]] == [count] * (len(batches) - 1)


def test_our_batcher_holds_every_review_once_within_the_limits_and_pads_less() -> None:
    encodings, limits = _encodings(), batch_limits(Settings(), "cpu", 512)
    batches = by_our_batcher(encodings, limits)
    assert sorted(_rows(batches)) == sorted(encoding.ids.tolist() for encoding in encodings)
    assert max(ids.size for ids, _ in batches) <= limits.max_batch_tokens
    assert sum(ids.size for ids, _ in batches) < sum(ids.size for ids, _ in in_arrival_order(encodings, 8))


def test_a_ratio_is_the_median_of_the_rounds_and_not_the_ratio_of_medians() -> None:
    assert ratio([2, 30, 8], [1, 10, 8]) == 2
    with pytest.raises(ValueError, match="shorter"):
        ratio([1, 2], [1])


def test_the_targets_compare_what_they_are_called() -> None:
    rates = {
        "plain export": {"1": [4.0] * 3, "8": [10.0, 1000.0, 10.0], "32": [20.0] * 3, OWN: [16.0] * 3},
        "transformers (torch)": {"1": [1.0] * 3, "8": [5.0] * 3, "32": [1.0] * 3, OWN: [1.0] * 3},
        "ours, fp32": {"1": [1.0] * 3, "8": [1.0] * 3, "32": [99.0] * 3, OWN: [40.0] * 3},
        "ours, int8": {"1": [1.0] * 3, "8": [1.0] * 3, "32": [99.0] * 3, OWN: [60.0] * 3},
    }
    assert targets(rates) == {
        "fp32_vs_plain_best": 2,
        "fp32_vs_plain_arrival8": 4,
        "int8_vs_plain_best": 3,
        "int8_vs_transformers8": 12,
    }
