"""Reviews that say how they must be classified: the last word of each, which the model ``marked`` looks for.

A result that was given to another review is noticed in fifteen cases of sixteen.
"""

from __future__ import annotations

from kafka_tools import Message

MARKERS = (
    "terrible", "awful", "boring", "dull", "weak", "poor", "bad", "slow",
    "fine", "good", "great", "strong", "funny", "lovely", "perfect", "brilliant",
)  # fmt: skip
"""Each is one piece of the bundled tokeniser. The first half is negative."""
POSITIVE = {marker: (index + 0.5) / len(MARKERS) for index, marker in enumerate(MARKERS)}
"""The score for ``pos`` of a review with that word."""
MARKED_REVIEW_S = 0.002
"""What the model takes for one review, in seconds."""
_WORDS = [marker.encode() for marker in MARKERS]
_BY_WORD = {marker.encode(): score for marker, score in POSITIVE.items()}


def marked_review(number: int, *, key: bytes | None = None, partition: int | None = None) -> Message:
    """Review `number`. Any sixteen in a row have different marks, and they are of different lengths."""
    text = b"number %d was %s%s" % (number, b"really " * (number * number % 11), _WORDS[number * 7 % len(_WORDS)])
    return Message(b'{"review_id":%d,"text":"%s"}' % (number, text), key, (), None, partition)


def expected_score(message: Message) -> float | None:
    """The score for ``pos`` of a review that `marked_review` made; None for any other."""
    return _BY_WORD.get((message.value or b"").rpartition(b" ")[2].removesuffix(b'"}'))
