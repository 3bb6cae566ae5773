"""When ``--since`` begins."""

from __future__ import annotations

import pytest

from worker.cli.dlq.filters import since_ms

NOW_MS = 1_795_000_000_000
HOUR_MS = 3600 * 1000


@pytest.mark.parametrize(
    ("text", "ago_ms"),
    [
        ("0s", 0),
        ("90s", 90_000),
        ("30m", HOUR_MS // 2),
        ("2h", 2 * HOUR_MS),
        ("7d", 7 * 24 * HOUR_MS),
        ("2w", 14 * 24 * HOUR_MS),
        ("1d12h", 36 * HOUR_MS),
    ],
)
def test_a_duration_is_so_long_ago(text: str, ago_ms: int) -> None:
    assert since_ms(text, NOW_MS) == NOW_MS - ago_ms


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("1970-01-01T00:00:01Z", 1000),
        ("1970-01-01t00:00:01.250z", 1250),
        ("1970-01-01 01:00:00+01:00", 0),
        ("2026-11-23T15:00:00-02:30", 1_795_455_000_000),
    ],
)
def test_a_time_is_that_time_in_its_own_zone(text: str, time_ms: int) -> None:
    assert since_ms(text, NOW_MS) == time_ms


@pytest.mark.parametrize(
    "text", ["", "soon", "2", "2 h", "-2h", "2y", "h", "1.5h", "9999999999d", "2026-13-01T00:00:00Z"]
)
def test_anything_else_is_refused_and_both_forms_are_shown(text: str) -> None:
    with pytest.raises(ValueError, match=r"2026-11-23T15:00:00Z.*30m, 2h, 7d"):
        since_ms(text, NOW_MS)


@pytest.mark.parametrize("text", ["2026-11-23T15:00:00", "2026-11-23"])
def test_a_time_that_does_not_say_its_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not say its zone"):
        since_ms(text, NOW_MS)
