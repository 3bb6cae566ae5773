from __future__ import annotations

import io
import logging
import sys

import orjson
import pytest

from worker.clock import FakeClock
from worker.observability.logs import HumanFormatter, JsonFormatter, RepeatFilter, StateLog, configure_logging


def record(message: str, *args: object, name: str = "worker.tests", level: int = logging.INFO, **extra: object):
    made = logging.LogRecord(name, level, __file__, 1, message, args, None)
    made.__dict__.update(extra)
    return made


def json_line(made: logging.LogRecord) -> dict[str, object]:
    line = JsonFormatter().format(made)
    assert "\n" not in line
    return orjson.loads(line)


def test_a_json_line_has_time_level_logger_message_and_extra_fields():
    made = record("partition %d assigned", 3, partition=3)
    made.created = 1_700_000_000.25
    assert json_line(made) == {
        "ts": "2023-11-14T22:13:20.250Z",
        "level": "INFO",
        "logger": "worker.tests",
        "message": "partition 3 assigned",
        "partition": 3,
    }


def test_an_extra_field_cannot_replace_the_message():
    assert json_line(record("kept", level=logging.INFO, ts="then", logger="other"))["logger"] == "worker.tests"


def test_a_json_line_carries_the_exception_on_one_line():
    try:
        raise ValueError("broken")
    except ValueError:
        made = record("failed")
        made.exc_info = sys.exc_info()
    assert "ValueError: broken" in str(json_line(made)["exception"])


@pytest.mark.parametrize("value", ["\ud800", 2**80, object(), {1: 2}, float("nan")])
def test_whatever_an_extra_field_holds_the_line_is_written(value: object):
    assert json_line(record("odd", value=value))["message"] == "odd"


def test_half_a_surrogate_pair_in_a_message_does_not_lose_the_line():
    assert json_line(record("odd \ud800"))["level"] == "INFO"


def test_a_human_line_has_the_level_the_message_and_extra_fields():
    line = HumanFormatter(colour=False).format(record("assigned", partition=3))
    assert line.endswith("INFO    assigned partition=3")


def test_a_human_line_has_colours_only_where_asked_for():
    assert "\x1b[" in HumanFormatter(colour=True).format(record("assigned"))
    assert "\x1b[" not in HumanFormatter(colour=False).format(record("assigned"))


def test_a_third_party_message_is_said_once_and_later_with_the_number_left_out():
    clock = FakeClock()
    repeats = RepeatFilter(clock, interval_s=60)
    complaints = [record("cannot connect to %s", host, name="aiokafka.conn") for host in "abc"]
    assert [repeats.filter(complaint) for complaint in complaints] == [True, False, False]
    clock.advance(60)
    again = record("cannot connect to %s", "d", name="aiokafka.conn")
    assert repeats.filter(again)
    assert "repeated=2" in HumanFormatter(colour=False).format(again)


def test_other_messages_and_our_own_are_not_held_back():
    repeats = RepeatFilter(FakeClock())
    assert all(repeats.filter(record("ours")) for _ in range(3))
    assert repeats.filter(record("one", name="aiokafka"))
    assert repeats.filter(record("two", name="aiokafka"))


def test_the_memory_of_repeated_messages_is_bounded():
    repeats = RepeatFilter(FakeClock())
    for number in range(10_000):
        repeats.filter(record(f"message {number}", name="faust"))
    assert len(repeats._repeats) <= 256


def test_json_goes_to_a_stream_that_is_no_terminal():
    stream = io.StringIO()
    configure_logging("INFO", "auto", stream)
    logging.getLogger("worker.tests").info("hello", extra={"partition": 1})
    assert orjson.loads(stream.getvalue())["partition"] == 1


def test_configuring_again_replaces_the_handler():
    first, second = io.StringIO(), io.StringIO()
    configure_logging("INFO", "human", first)
    configure_logging("INFO", "human", second)
    logging.getLogger("worker.tests").info("hello")
    assert first.getvalue() == ""
    assert second.getvalue().count("hello") == 1


@pytest.mark.parametrize("library", ["aiokafka.consumer", "faust.app", "mode.services"])
def test_libraries_are_heard_from_warning_on(library: str):
    stream = io.StringIO()
    configure_logging("INFO", "json", stream)
    logging.getLogger(library).info("chatter")
    logging.getLogger(library).warning("trouble")
    assert [orjson.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["trouble"]


def test_libraries_never_log_at_debug_where_records_could_be_shown():
    stream = io.StringIO()
    configure_logging("DEBUG", "json", stream)
    logging.getLogger("aiokafka.producer").debug("a record")
    logging.getLogger("worker.tests").debug("ours")
    assert [orjson.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["ours"]


def test_services_of_faust_do_not_announce_themselves_in_our_name():
    stream = io.StringIO()
    configure_logging("INFO", "json", stream)
    logging.getLogger("worker.source.app").info("[^App]: Starting...")
    logging.getLogger("worker.source.app").warning("[^App]: in trouble")
    assert [orjson.loads(line)["level"] for line in stream.getvalue().splitlines()] == ["WARNING"]


def test_what_passes_by_itself_is_no_error():
    stream = io.StringIO()
    configure_logging("INFO", "json", stream)
    logging.getLogger("aiokafka").error("Request failed: %s", "[Error 15] GroupCoordinatorNotAvailableError")
    logging.getLogger("aiokafka").error("Disk full")
    assert [orjson.loads(line)["level"] for line in stream.getvalue().splitlines()] == ["WARNING", "ERROR"]


def test_a_state_is_logged_once_for_each_change(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "worker.tests")
    state = StateLog(logging.getLogger("worker.tests"), "Kafka at k:1")
    state.back()
    for _ in range(3):
        state.away("no route", "trying again")
    state.back()
    state.back()
    assert caplog.messages == ["Kafka at k:1 does not answer (no route); trying again", "Kafka at k:1 answers again"]


def test_a_state_that_stays_is_said_again_every_ten_minutes(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "worker.tests")
    clock = FakeClock()
    state = StateLog(logging.getLogger("worker.tests"), "Kafka at k:1", clock)
    for _ in range(1300):
        state.away("no route", "trying again")
        clock.advance(1.0)
    assert caplog.messages == [
        "Kafka at k:1 does not answer (no route); trying again",
        "Kafka at k:1 has not answered for 10 min (no route); trying again",
        "Kafka at k:1 has not answered for 20 min (no route); trying again",
    ]
