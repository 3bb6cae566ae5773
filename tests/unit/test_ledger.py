"""The judge of the process tests is judged first."""

from __future__ import annotations

import pytest
from aiokafka import ConsumerRecord
from audit import extended_only
from conftest import TopicNames
from kafka_tools import Message
from ledger import Ledger

RESULT = b'"sentiment":{"label":"pos"}'


def ledger_of(count: int) -> Ledger:
    ledger = Ledger(TopicNames("in", "out", "dlq", "group"))
    ledger.produced = {f"in/0/{number}": Message(b'{"n":%d}' % number, b"key") for number in range(count)}
    return ledger


def record(number: int, *, value: bytes | None = None, partition: int = 0) -> ConsumerRecord:
    value = value or b'{"n":%d,%s}' % (number, RESULT)
    headers = (("source", b"in/0/%d" % number),)
    return ConsumerRecord("out", partition, 0, 0, 0, b"key", value, None, 0, 0, headers)


def dead(number: int) -> ConsumerRecord:
    names = {"topic": b"in", "partition": b"0", "offset": b"%d" % number}
    headers = tuple((f"__streams.errors.{name}", value) for name, value in names.items())
    return ConsumerRecord("dlq", 0, 0, 0, 0, b"key", b'{"n":%d}' % number, None, 0, 0, headers)


def test_what_is_right_passes() -> None:
    ledger_of(3).judge([record(0), record(2)], [dead(1)]).check()


@pytest.mark.parametrize(
    ("outputs", "dead_letters", "complaint"),
    [
        pytest.param([record(0), record(2)], [], "lost: 1, first in/0/1", id="lost"),
        pytest.param([record(0), record(1), record(2), record(3)], [], "unknown: 1, first in/0/3", id="unknown"),
        pytest.param([record(0), record(2), record(1)], [], "reordered: 1, first in/0/1", id="reordered"),
        pytest.param([record(0), record(1), record(2, partition=1)], [], "reordered: 1", id="key scattered"),
        pytest.param([record(0), record(1), record(2)], [dead(1)], "both classified and dead: 1", id="both"),
        pytest.param([record(0), record(1), record(0), record(1), record(2)], [], "repeated: 2", id="repeated"),
        pytest.param(
            [record(0), record(1), record(2, value=b'{"n":3,%s}' % RESULT)], [], "corrupted: 1", id="corrupted"
        ),
    ],
)
def test_what_is_wrong_is_named(
    outputs: list[ConsumerRecord], dead_letters: list[ConsumerRecord], complaint: str
) -> None:
    with pytest.raises(AssertionError, match=complaint):
        ledger_of(3).judge(outputs, dead_letters).check()


def test_a_repeat_in_order_is_no_change_of_order_and_may_be_allowed() -> None:
    outputs = [record(0), record(1), record(0), record(1), record(2)]
    verdict = ledger_of(3).judge(outputs, [])
    assert (verdict.reordered, verdict.repeats, verdict.rewinds) == ([], 2, 1)
    verdict.check(max_repeats=2, max_rewinds=1)


@pytest.mark.parametrize(
    ("value", "output", "same"),
    [
        (b'{"a":1}', b'{"a":1,"sentiment":{}}', True),
        (b' {"a":1 } ', b' {"a":1 ,"sentiment":{}} ', True),
        (None, None, True),
        (b'{"a":1}', None, False),
        (b'{"a":1}', b'{"a":1.0,"sentiment":{}}', False),
        (b'{"a":1}', b'{"a":1,"sentiment":{}} ', False),
        (b'{"a":1}', b'{"a":1,"sentiment":5}', False),
        (b'{"a":1}', b'{"a":1}', False),
    ],
)
def test_an_output_is_its_event_and_one_member_more(value: bytes | None, output: bytes | None, same: bool) -> None:
    assert extended_only(value, output) is same
