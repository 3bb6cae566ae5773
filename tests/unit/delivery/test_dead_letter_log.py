"""What the log says of dead letters."""

from __future__ import annotations

import pytest

from worker.clock import FakeClock
from worker.delivery.dead_letter_log import INTERVAL_S, DeadLetterLog
from worker.errors import Reason


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int, str]]:
    """Reason, count and position of the warnings since the last call."""
    assert all((record.levelname, record.getMessage()) == ("WARNING", "dead letters") for record in caplog.records)
    fields = [record.__dict__ for record in caplog.records]
    caplog.clear()
    return [(each["reason"], each["count"], each["first"]) for each in fields]


def test_there_is_one_line_for_each_reason_and_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    log = DeadLetterLog(clock)
    log.add(Reason.NOT_JSON, "reviews.in/0/3")
    log.add(Reason.NOT_JSON, "reviews.in/0/4")
    log.add(Reason.TEXT_BLANK, "reviews.in/1/9")
    log.look()
    assert said(caplog) == [("not_json", 2, "reviews.in/0/3"), ("text_blank", 1, "reviews.in/1/9")]
    for offset in range(5, 5 + int(INTERVAL_S) - 1):
        clock.advance(1.0)
        log.add(Reason.NOT_JSON, f"reviews.in/0/{offset}")
        log.look()
    assert said(caplog) == []
    clock.advance(1.0)
    log.look()
    assert said(caplog) == [("not_json", INTERVAL_S - 1, "reviews.in/0/5")]
    clock.advance(1.0)
    log.look()
    assert said(caplog) == []


def test_what_is_left_is_told_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    log = DeadLetterLog(FakeClock())
    log.add(Reason.NOT_JSON, "reviews.in/0/3")
    log.look()
    log.add(Reason.NOT_JSON, "reviews.in/0/8")
    caplog.clear()
    log.end()
    log.end()
    assert said(caplog) == [("not_json", 1, "reviews.in/0/8")]
