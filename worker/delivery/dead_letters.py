"""Dead letters: how an event that cannot be classified is kept, and the fuse that limits how many there may be."""

from __future__ import annotations

import math
from collections import Counter, deque
from itertools import islice

from worker.errors import FuseError, Reason, RecordError
from worker.records import NO_TIMESTAMP, Headers, OutputRecord, Record

# The names and the form (text) of Kafka Streams' dead letters, KIP-1034; its stack trace is left out.
EXCEPTION_HEADER = "__streams.errors.exception"
MESSAGE_HEADER = "__streams.errors.message"
TOPIC_HEADER = "__streams.errors.topic"
PARTITION_HEADER = "__streams.errors.partition"
OFFSET_HEADER = "__streams.errors.offset"
# What Kafka Streams has no name for: `Reason` and `Stage`, for machines.
REASON_HEADER = "reviews_worker.errors.reason"
STAGE_HEADER = "reviews_worker.errors.stage"
TIMESTAMP_HEADER = "reviews_worker.errors.timestamp"
"""The event's own time in milliseconds since the epoch; only where the dead letter cannot have it as its timestamp."""

_REMEDIES = {
    Reason.NOT_UTF8: "check that the producer writes UTF-8 JSON, and input_topic",
    Reason.NOT_JSON: "check that the producer writes plain JSON (no schema registry prefix), and input_topic",
    Reason.NOT_OBJECT: "check that the producer writes one JSON object for each record, and input_topic",
    Reason.TEXT_MISSING: "check that text_field names the member that the producer fills, and whether events without a"
    " text, such as the deletes of a change stream, belong on input_topic",
    Reason.TEXT_NOT_STRING: "check that text_field names the member that holds the text itself",
    Reason.TEXT_BLANK: "check what the producer sends as text, and text_field",
    Reason.EVENT_TOO_LARGE: "raise max_event_bytes, or let the producer send less",
    Reason.OUTPUT_TOO_LARGE: "raise max.message.bytes of the output topic and max_output_bytes",
    Reason.OUTPUT_REFUSED: "let the producer give each event a key, or the output topic no compaction (cleanup.policy)",
    Reason.TIMESTAMP_REFUSED: (
        "raise message.timestamp.before.max.ms and message.timestamp.after.max.ms of the output topic to those of the"
        " input topic, or check the producer's clock"
    ),
    Reason.INFERENCE_FAILED: "check the model with 'reviews-worker check'",
}


def dead_letter(
    record: Record,
    error: RecordError,
    topic: str,
    partition: int,
    carried: Headers | None = None,
    *,
    time_of_now: bool = False,
) -> OutputRecord:
    """Return the dead letter for `record`: its key, value, headers and timestamp untouched, and headers added.

    `carried` takes the place of the record's own headers. With `time_of_now`, and for an event from before 1970, the
    event's own time is in a header of its own.

    The added headers come last, so a dead letter that failed once more says the latest failure in the last header of
    each name. All are UTF-8 text, partition and offset in decimal.
    """
    source = record.partition
    added = (
        (EXCEPTION_HEADER, _exception_name(error)),
        (MESSAGE_HEADER, str(error)),
        (TOPIC_HEADER, source.topic),
        (PARTITION_HEADER, str(source.partition)),
        (OFFSET_HEADER, str(record.offset)),
        (REASON_HEADER, error.reason.value),
        (STAGE_HEADER, error.stage.value),
    )
    headers = (
        *(record.headers if carried is None else carried),
        *((name, text.encode(errors="replace")) for name, text in added),
    )
    timestamp_ms = NO_TIMESTAMP if time_of_now else record.timestamp_ms
    if timestamp_ms < 0 and record.timestamp_ms != NO_TIMESTAMP:
        headers = (*headers, (TIMESTAMP_HEADER, b"%d" % record.timestamp_ms))
    return OutputRecord(topic, partition, record.key, record.value, headers, timestamp_ms)


class DeadLetterFuse:
    """Stops the worker before a wrong producer or a wrong setting drains the input topic into the dead letters.

    It blows when the last `run_length` events were all dead letters, or when `share` or more of the last
    `window_reviews` events were, once there have been so many. Not thread-safe; constant time for each event,
    whatever `record_classified` counts.
    """

    def __init__(self, share: float, window_reviews: int, run_length: int) -> None:
        if not (0 < share <= 1 and window_reviews >= 1 and run_length >= 1):
            raise ValueError(f"no such fuse: share {share}, window {window_reviews}, run length {run_length}")
        self.window_reviews = window_reviews
        self.run_length = run_length
        self.limit = max(1, math.ceil(round(share * window_reviews, 9)))
        """Dead letters in the window that blow the fuse."""
        self._seen = 0
        self._run = 0
        self._dead: deque[tuple[int, Reason | None]] = deque()
        """Numbers (first is 1) and reasons of the dead letters in the window."""
        self._last: dict[Reason, str] = {}
        """The last dead letter of each reason in words."""

    def record(self, dead: bool, reason: Reason | None = None, example: str = "") -> None:
        """Count one event. Raises `FuseError`, and again for each further dead letter, while a limit is reached.

        `example` says of a dead letter where its event was read and what was wrong with it.
        """
        if not dead:
            self.record_classified(1)
            return
        self._seen += 1
        self._run += 1
        self._dead.append((self._seen, reason))
        if reason is not None:
            self._last[reason] = example
        self._forget()
        if self._run >= self.run_length:
            raise FuseError(f"the last {self._run} events were all dead letters{self._advice(self._run)}")
        self._check_share()

    def record_classified(self, count: int) -> None:
        """Count `count` events in a row that are no dead letters; the same as counting them one by one."""
        if count <= 0:
            return
        self._run = 0
        fills_window = self._seen < self.window_reviews <= self._seen + count
        if fills_window:
            self._seen, count = self.window_reviews, count - (self.window_reviews - self._seen)
            self._check_share()
        self._seen += count
        self._forget()

    def interrupt(self) -> None:
        """End the run: a classified event that was counted long ago lies between two that are refused now."""
        self._run = 0

    def _forget(self) -> None:
        oldest = self._seen - self.window_reviews
        while self._dead and self._dead[0][0] <= oldest:
            self._dead.popleft()

    def _check_share(self) -> None:
        if self._seen >= self.window_reviews and len(self._dead) >= self.limit:
            raise FuseError(
                f"{len(self._dead)} of the last {self.window_reviews} events were dead letters "
                f"(limit {self.limit}){self._advice(len(self._dead))}"
            )

    def _advice(self, count: int) -> str:
        """The reasons of the last `count` dead letters, each with its last event, and what to do about the first."""
        counted = islice(reversed(self._dead), count)
        reasons = Counter(reason for _, reason in counted if reason is not None).most_common()
        if not reasons:
            return "; see the headers of the dead letters for the reasons"
        counts = ", ".join(
            f"{reason.value} {times} time{'' if times == 1 else 's'}{self._example(reason)}"
            for reason, times in reasons
        )
        remedy = _REMEDIES[reasons[0][0]]
        return f": {counts}; because of {reasons[0][0].value}: {remedy}"

    def _example(self, reason: Reason) -> str:
        return f" (last {self._last[reason]})" if self._last[reason] else ""


def _exception_name(error: RecordError) -> str:
    kind = type(error)
    return f"{kind.__module__}.{kind.__qualname__}"
