"""What the demo produces: built-in reviews, repeated with variations, and two events that cannot be classified."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import orjson

BROKEN_EVENTS = (
    (b"demo-broken-1", b'{"review_id": "demo-broken-1", "text": "this JSON never ends'),
    (b"demo-broken-2", b'{"review_id": "demo-broken-2", "stars": 5}'),
)
"""Keys and values: no JSON, and no text."""

_REVIEWS = Path(__file__).with_name("reviews.jsonl")
_OPENINGS = (
    "I went with my sister.",
    "Seen on a plane.",
    "Watched it for the second time.",
    "Our film club chose this.",
    "My expectations were low.",
    "Front row, a full house.",
    "A late show on a Tuesday.",
)


def built_in_reviews() -> list[tuple[str, str]]:
    """Identity and text of each built-in review."""
    lines = _REVIEWS.read_bytes().splitlines()
    return [(event["review_id"], event["text"]) for event in map(orjson.loads, lines)]


def reviews(count: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of `count` events; after the first round each text gets another opening."""
    built_in = built_in_reviews()
    for number, (identity, text) in zip(range(count), itertools.cycle(built_in), strict=False):
        rounds = number // len(built_in)
        name = f"{identity}-{rounds}" if rounds else identity
        opening = f"{_OPENINGS[rounds % len(_OPENINGS)]} " if rounds else ""
        yield name.encode(), orjson.dumps({"review_id": name, "text": opening + text})
