"""The judge of the chaos suite notices each fault, also when records come long before their producer's answer."""

from __future__ import annotations

from aiokafka import ConsumerRecord
from audit import Audit
from kafka_tools import Message
from marked_reviews import MARKERS, POSITIVE, expected_score, marked_review

REVIEWS = [marked_review(number, key=b"key", partition=0) for number in range(len(MARKERS))]


def produced() -> dict[str, Message]:
    return {f"in/0/{number}": message for number, message in enumerate(REVIEWS)}


def classified(number: int, *, scored_as: int | None = None, partition: int = 0, key: bytes = b"key") -> ConsumerRecord:
    """The output of a review, with the scores of another one if that is asked for."""
    score = expected_score(REVIEWS[number if scored_as is None else scored_as])
    assert score is not None
    label = "pos" if score > 0.5 else "neg"
    result = b'"sentiment":{"label":"%b","scores":{"neg":%f,"pos":%f}}' % (label.encode(), 1 - score, score)
    value = (REVIEWS[number].value or b"").removesuffix(b"}") + b"," + result + b"}"
    return record(value, (("source", b"in/0/%d" % number),), partition, key)


def dead(number: int) -> ConsumerRecord:
    place = {"topic": b"in", "partition": b"0", "offset": b"%d" % number}
    headers = tuple((f"__streams.errors.{name}", value) for name, value in place.items())
    return record(REVIEWS[number].value or b"", headers)


def record(
    value: bytes, headers: tuple[tuple[str, bytes], ...], partition: int = 0, key: bytes = b"key"
) -> ConsumerRecord:
    return ConsumerRecord("out", partition, 0, 0, 0, key, value, None, 0, 0, headers)


def test_every_mark_has_a_score_of_its_own() -> None:
    assert sorted(map(expected_score, REVIEWS)) == sorted(POSITIVE.values())


def test_the_scores_of_a_neighbour_are_a_wrong_label() -> None:
    audit = Audit(produced(), expected=expected_score)
    audit.output(classified(0, scored_as=1))
    audit.output(classified(1, scored_as=0))
    audit.output(classified(2))
    assert audit.verdict().wrongly_labelled == ["in/0/0", "in/0/1"]


def test_a_record_that_is_read_before_its_producer_knows_is_judged_later() -> None:
    known: dict[str, Message] = {}
    audit = Audit(known, expected=expected_score)
    audit.output(classified(0))
    audit.output(classified(0))
    audit.output(classified(1, scored_as=2))
    audit.dead_letter(dead(2))
    assert audit.verdict().unknown == ["in/0/0", "in/0/1", "in/0/2"]
    known.update(list(produced().items())[:4])
    assert audit.missing() == 1
    verdict = audit.verdict()
    assert (verdict.unknown, verdict.lost) == ([], ["in/0/3"])
    assert (verdict.wrongly_labelled, verdict.repeats, verdict.dead_letters) == (["in/0/1"], 1, 1)


def test_what_may_be_missing_is_not_lost() -> None:
    audit = Audit(dict(list(produced().items())[:2]))
    audit.output(classified(0))
    assert audit.missing({"in/0/1"}) == 0
    assert audit.missing() == 1
    assert audit.verdict({"in/0/1"}).lost == []
    assert audit.verdict().lost == ["in/0/1"]


def test_a_key_may_move_only_where_that_is_said() -> None:
    strict, lenient = Audit(produced()), Audit(produced(), keys_may_move=True)
    for audit in (strict, lenient):
        audit.output(classified(0))
        audit.output(classified(1, partition=1))
    assert strict.verdict().reordered == ["in/0/1"]
    assert lenient.verdict().reordered == []


def test_each_going_back_is_counted_and_the_longest_is_known() -> None:
    audit = Audit(produced())
    for number in (0, 1, 2, 1, 2, 3, 2, 3, 4):
        audit.output(classified(number))
    verdict = audit.verdict()
    assert (verdict.repeats, verdict.rewinds, verdict.longest_rewind) == (4, 2, 2)
    assert verdict.reordered == []


def test_another_key_is_corruption() -> None:
    audit = Audit(produced())
    audit.output(classified(0, key=b"other"))
    assert audit.verdict().corrupted == ["in/0/0"]
