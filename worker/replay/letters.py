"""A dead letter taken apart: the event as it was, and what the worker has said of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from worker.delivery.dead_letters import (
    EXCEPTION_HEADER,
    MESSAGE_HEADER,
    OFFSET_HEADER,
    PARTITION_HEADER,
    REASON_HEADER,
    STAGE_HEADER,
    TIMESTAMP_HEADER,
    TOPIC_HEADER,
)
from worker.records import Headers, Record

HOPS_HEADER = "reviews_worker.replay.hops"
"""How often an event was sent again, in decimal; the worker carries it along like any other header."""

FAILURE_HEADERS = (
    EXCEPTION_HEADER,
    MESSAGE_HEADER,
    TOPIC_HEADER,
    PARTITION_HEADER,
    OFFSET_HEADER,
    REASON_HEADER,
    STAGE_HEADER,
)
"""The headers of one failure, in the order in which `worker.delivery.dead_letters.dead_letter` adds them.

`TIMESTAMP_HEADER` comes after them where the dead letter could not have the event's own time.
"""

_NUMBER = re.compile(r"[0-9]{1,18}")
_TIMESTAMP = re.compile(r"-?[0-9]{1,19}")
_TIMESTAMPS = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Failure:
    """What the worker said when an event failed. Reasons and stages are texts: a newer worker may know more of them."""

    reason: str
    stage: str
    exception: str
    message: str
    topic: str
    partition: int
    """-1 where the header is no number."""
    offset: int
    """-1 where the header is no number."""
    timestamp_ms: int | None = None
    """The event's own time, where the dead letter could not have it."""

    @property
    def source(self) -> str:
        """Where the event was read: ``<topic>/<partition>/<offset>``."""
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record of the dead-letter topic."""

    record: Record
    """As it lies there."""
    event_headers: Headers
    """The event's own headers, as they were read: names that are not UTF-8 are escaped."""
    failures: tuple[Failure, ...]
    """Oldest first. Several where the letter itself was copied back to the input and failed again; none where the
    record is not this worker's."""
    hops: int
    """How often the event has been sent again so far."""

    @property
    def latest(self) -> Failure | None:
        """The failure that counts."""
        return self.failures[-1] if self.failures else None

    @property
    def timestamp_ms(self) -> int:
        """The event's own time, as `Record.timestamp_ms`."""
        own = self.latest.timestamp_ms if self.latest else None
        return self.record.timestamp_ms if own is None else own


def read_letter(record: Record) -> DeadLetter:
    """Take a record of the dead-letter topic apart.

    A failure is recognised by its seven headers, in their order, at the end, or by these and the event's own time. So
    what the event itself carried is left alone, be it a header of the same name.
    """
    headers, failures = record.headers, list[Failure]()
    while size := _failure_size(headers):
        failures.insert(0, _failure(headers[-size:]))
        headers = headers[:-size]
    hops = max((_number(value) for name, value in headers if name == HOPS_HEADER), default=0)
    event_headers = tuple(header for header in headers if header[0] != HOPS_HEADER)
    return DeadLetter(record, event_headers, tuple(failures), max(hops, 0))


def _failure_size(headers: Headers) -> int:
    """How many headers at the end are those of a failure."""
    for names in (FAILURE_HEADERS, (*FAILURE_HEADERS, TIMESTAMP_HEADER)):
        if tuple(name for name, _ in headers[-len(names) :]) == names:
            return len(names)
    return 0


def _failure(headers: Headers) -> Failure:
    texts = {name: (value or b"").decode(errors="replace") for name, value in headers}
    return Failure(
        reason=texts[REASON_HEADER],
        stage=texts[STAGE_HEADER],
        exception=texts[EXCEPTION_HEADER],
        message=texts[MESSAGE_HEADER],
        topic=texts[TOPIC_HEADER],
        partition=_number(texts[PARTITION_HEADER]),
        offset=_number(texts[OFFSET_HEADER]),
        timestamp_ms=_timestamp(texts.get(TIMESTAMP_HEADER, "")),
    )


def _number(text: str | bytes | None) -> int:
    """A number in decimal; -1 where there is none."""
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    return int(text) if text and _NUMBER.fullmatch(text) else -1


def _timestamp(text: str) -> int | None:
    """Milliseconds in decimal, as Kafka can have them; None for anything else."""
    return int(text) if _TIMESTAMP.fullmatch(text) and int(text) in _TIMESTAMPS else None
