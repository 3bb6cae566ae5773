"""Messages for the scenarios, and what must come of them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from contract.world import LABELS, Out
from fakes import FakeSession
from kafka_tools import Message

from worker.tokenization.tokenizer import Tokenizer

WORDS = ("good", "bad", "dull", "bright", "film", "plot", "actor", "scene", "ending", "never", "quite", "works")
FIRST_TIMESTAMP_MS = 1_700_000_000_000


def text_of(number: int) -> str:
    """A text that no other number has, of 2 to 60 words."""
    chooser = random.Random(number)
    return f"review {number} " + " ".join(chooser.choices(WORDS, k=chooser.randrange(1, 59)))


def review(number: int, partition: int = 0, **members: Any) -> Message:
    """An event with a key, headers (one name twice, one without a value) and a timestamp of its own."""
    return Message(
        json.dumps({"review_id": number, "text": text_of(number), **members}).encode(),
        key=f"key {number % 7}".encode(),
        headers=[("trace", f"{number}".encode()), ("trace", b"\xff"), ("empty", None)],
        timestamp_ms=FIRST_TIMESTAMP_MS + number,
        partition=partition,
    )


def reviews(count: int, partitions: int = 1, first: int = 0) -> list[Message]:
    """`count` events, spread evenly."""
    return [review(first + number, number % partitions) for number in range(count)]


def numbers(outputs: Sequence[Out]) -> list[int]:
    """Which reviews these are."""
    return [json.loads(output.value or b"")["review_id"] for output in outputs]


def check_prediction(output: Out, session: FakeSession, tokenizer: Tokenizer) -> None:
    """The result is that of this very review."""
    event = json.loads(output.value or b"")
    expected = session.expected(tokenizer.encode(event["text"]))
    result = event["sentiment"]
    scores = dict(zip(LABELS, expected.scores, strict=True))
    assert result["label"] == max(scores, key=scores.__getitem__)
    assert result["scores"] == {label: round(score, 6) for label, score in scores.items()}
    assert result["tokens"] == expected.tokens


def without_result(value: bytes | None) -> dict[str, Any]:
    """The event as it came in."""
    event: dict[str, Any] = json.loads(value or b"")
    del event["sentiment"]
    return event
