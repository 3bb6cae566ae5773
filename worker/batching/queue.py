"""Entries wait here until a batch is cut from them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heappop, heappush

from worker.batching.batch import Batch
from worker.batching.ladder import ShapeLadder
from worker.records import Entry

_Waiting = tuple[float, int, Entry]
"""`Entry.waiting_since`, a number that breaks ties in order of arrival, and the entry: the smallest is the oldest."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What bounds a batch and a wait. Raises ValueError for limits that contradict each other."""

    max_batch_tokens: int
    """Padded tokens of a batch: rows times length, after rounding to the ladder."""
    max_batch_reviews: int
    """Reviews of a batch."""
    window_reviews: int
    """The oldest waiting reviews, among which those of like length are found."""
    linger_s: float = 0.0
    """How long a review may wait in this process for company."""
    max_wait_s: float = 5.0
    """Age at which a review waits no longer for company."""
    ladder: ShapeLadder | None = None
    """The shapes that batches may have; None for any."""

    def __post_init__(self) -> None:
        if min(self.max_batch_tokens, self.max_batch_reviews, self.window_reviews) < 1:
            raise ValueError("max_batch_tokens, max_batch_reviews and window_reviews must be positive")
        if self.linger_s < 0 or self.max_wait_s < 0:
            raise ValueError("linger_s and max_wait_s must not be negative")
        if self.ladder is not None and self.ladder.rows[-1] < self.max_batch_reviews:
            raise ValueError(
                f"the ladder's last row rung, {self.ladder.rows[-1]}, is below max_batch_reviews,"
                f" {self.max_batch_reviews}"
            )


class BatchQueue:
    """Entries waiting for a batch. Not thread-safe; never blocks."""

    def __init__(self, limits: BatchLimits) -> None:
        self.limits = limits
        self._ladder = limits.ladder
        self._max_tokens = limits.max_batch_tokens
        self.clear()

    def clear(self) -> None:
        """Drop everything that waits."""
        self._by_length: dict[int, list[_Waiting]] = {}  # padded length -> heap, oldest first; never an empty one
        self._lengths: list[int] = []  # its keys, ascending
        self._in_window = 0
        self._beyond: list[_Waiting] = []  # heap of what the window has no room for
        self._arrivals = 0
        self._real_tokens = 0
        self._earliest_arrival: float | None = None

    def __len__(self) -> int:
        return self._in_window + len(self._beyond)

    def append(self, entry: Entry) -> None:
        """Let `entry` wait; raises ValueError for one without an encoding, and for one larger than a whole batch."""
        self.extend((entry,))

    def extend(self, entries: Iterable[Entry]) -> None:
        """Let `entries` wait, in their order; raises as `append` does, with those before the faulty one kept."""
        for entry in entries:
            length = self._padded_length(entry)
            self._arrivals += 1
            waiting = (entry.waiting_since, self._arrivals, entry)
            if self._in_window < self.limits.window_reviews:
                self._admit(waiting, length)
            else:
                heappush(self._beyond, waiting)
            self._real_tokens += len(entry.encoding.ids)  # type: ignore[union-attr]
            if self._earliest_arrival is not None and entry.arrived_at < self._earliest_arrival:
                self._earliest_arrival = entry.arrived_at

    def next_batch(self, now: float, *, drain: bool = False) -> Batch | None:
        """Cut the next batch, or answer None: nothing waits, or what waits may still `linger` for company.

        `now` is monotonic seconds. With `drain` nothing lingers.
        """
        ready_at = self.ready_at(now)
        if ready_at is None or (ready_at > now and not drain):
            return None
        batch = Batch(self._cut(), self._ladder)
        self._real_tokens -= batch.real_tokens
        self._earliest_arrival = None
        self._refill()
        return batch

    def ready_at(self, now: float) -> float | None:
        """The monotonic time from which `next_batch` answers a batch, `now` at the earliest; None while nothing waits.

        It may come closer when more entries arrive.
        """
        if not len(self):
            return None
        if self.limits.linger_s == 0 or self._is_full():
            return now
        if self._earliest_arrival is None:
            self._earliest_arrival = min(waiting[2].arrived_at for heap in self._heaps() for waiting in heap)
        overdue_at = self._oldest()[0] + self.limits.max_wait_s
        return max(now, min(self._earliest_arrival + self.limits.linger_s, overdue_at))

    def limit_tokens(self, max_batch_tokens: int) -> None:
        """Cut batches of at most so many padded tokens from now on, and never more than the limits allow.

        An entry that is larger than this (not than the limits) is cut alone.
        """
        if max_batch_tokens < 1:
            raise ValueError(f"max_batch_tokens must be positive (now {max_batch_tokens})")
        self._max_tokens = min(max_batch_tokens, self.limits.max_batch_tokens)

    def _heaps(self) -> Iterable[list[_Waiting]]:
        yield from self._by_length.values()
        if self._beyond:
            yield self._beyond

    def _oldest(self) -> _Waiting:
        return min(heap[0] for heap in self._heaps())

    def _is_full(self) -> bool:
        return len(self) >= self.limits.max_batch_reviews or self._real_tokens >= self._max_tokens

    def _padded_length(self, entry: Entry) -> int:
        if entry.encoding is None:
            raise ValueError(f"This is a bug: {entry.record.source} has no encoding and cannot wait for a batch")
        length = len(entry.encoding.ids)
        if self._ladder:
            length = self._ladder.round_length(length)
        if length > self.limits.max_batch_tokens:
            raise ValueError(
                f"This is a bug: {entry.record.source} has {length} tokens, more than a whole batch may have"
                f" ({self.limits.max_batch_tokens})"
            )
        return length

    def _admit(self, waiting: _Waiting, length: int) -> None:
        heap = self._by_length.get(length)
        if heap is None:
            self._by_length[length] = [waiting]
            insort(self._lengths, length)
        else:
            heappush(heap, waiting)
        self._in_window += 1

    def _refill(self) -> None:
        while self._beyond and self._in_window < self.limits.window_reviews:
            waiting = heappop(self._beyond)
            self._admit(waiting, self._padded_length(waiting[2]))

    def _cost(self, rows: int, length: int) -> int:
        return (self._ladder.round_rows(rows) if self._ladder else rows) * length

    def _cut(self) -> list[Entry]:
        """Take the oldest and its neighbours in length, each time the one that adds the least padding."""
        oldest = self._oldest()
        anchor = self._padded_length(oldest[2])
        if self._beyond and self._beyond[0] is oldest:
            self._admit(heappop(self._beyond), anchor)
        longest, entries = anchor, self._take(anchor, 1)
        while len(entries) < self.limits.max_batch_reviews:
            index = bisect_left(self._lengths, anchor)
            below = self._lengths[index - 1] if index else 0
            while index < len(self._lengths) and self._lengths[index] < anchor:
                index += 1
            above = self._lengths[index] if index < len(self._lengths) else 0
            if not below and not above:
                break
            padding_above = max(0, above - longest) * len(entries)
            if above and (not below or padding_above <= longest - below):
                length = above
            else:
                length = below
            if self._cost(len(entries) + 1, max(longest, length)) > self._max_tokens:
                break
            longest = max(longest, length)
            entries += self._take(length, 1)
        return entries

    def _take(self, length: int, count: int) -> list[Entry]:
        heap = self._by_length[length]
        taken = [heappop(heap)[2] for _ in range(count)]
        if not heap:
            del self._by_length[length]
            del self._lengths[bisect_left(self._lengths, length)]
        self._in_window -= len(taken)
        return taken
