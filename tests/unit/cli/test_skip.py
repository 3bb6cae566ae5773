"""Where a group goes on behind a damaged batch: never further than the damage."""

from __future__ import annotations

import pytest

from worker.cli.skip import next_offset
from worker.errors import DamagedBatchError, UsageError


def damage(end: int | None) -> DamagedBatchError:
    return DamagedBatchError("reviews.in", 0, 20, end, "broken")


@pytest.mark.parametrize(
    ("end", "given", "until"), [(30, None, 30), (30, 30, 30), (30, 25, 25), (None, 30, 30), (None, 5_000, 5_000)]
)
def test_it_goes_on_behind_the_damage_or_within_it(end: int | None, given: int | None, until: int) -> None:
    assert next_offset(damage(end), given, 5_000) == until


@pytest.mark.parametrize(
    ("end", "given", "message"),
    [
        (None, None, "does not say where it ends. Give --to"),
        (30, 31, "would skip records behind the damage, which ends at 29"),
        (30, 5_000, "would skip records behind the damage"),
        (30, 20, "is not behind the damage at 20"),
        (None, 5_001, "beyond the end, 5000"),
    ],
)
def test_it_skips_no_record_that_can_be_read(end: int | None, given: int | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        next_offset(damage(end), given, 5_000)


def test_damage_that_an_open_transaction_reaches_beyond_is_not_skipped_yet() -> None:
    with pytest.raises(UsageError, match="reaches beyond what may be read yet, 25: a transaction is open"):
        next_offset(damage(30), None, 25)
