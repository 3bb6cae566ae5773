"""Reviews, or their windows, wait here until a batch is cut from them."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from operator import itemgetter

from worker.batching.batch import Batch
from worker.batching.cut import Cut, CutLimits, best_cut, token_price
from worker.batching.limits import BatchLimits
from worker.records import Part

_Waiting = tuple[float, int, int, Part]
"""`waiting_since`, the number of its arrival, its padded length, and the part: the smallest is the oldest."""

_oldest_of = itemgetter(0)  # of a heap


class BatchQueue:
    """Parts of reviews that wait, oldest first. Not thread-safe; never blocks and never asks for the time.

    A part is a review, or one of the windows of a long one, which goes wherever it fits. Each batch is cut around an
    *anchor* from its neighbours in length (see `worker.batching.cut`), found among the `window_reviews` oldest: here,
    "the window" is these. The anchor is the oldest, by `Entry.waiting_since`: the age of its event counts. So that old
    events that keep arriving hold nobody back for long, every second batch is cut around the part that arrived
    first, once that one has been here for `max_wait_s`. No part starves: from then on, it waits for at most two
    batches for each part that arrived before it.
    """

    def __init__(self, limits: BatchLimits) -> None:
        self.limits = limits
        self._max_tokens = limits.max_batch_tokens
        self.clear()

    def clear(self) -> None:
        """Drop everything that waits."""
        self._arrived: OrderedDict[int, _Waiting] = OrderedDict()  # all that waits, by number of arrival
        self._arrivals = 0
        self._window: dict[int, list[_Waiting]] = {}  # padded length -> heap; no heap is empty
        self._lengths: list[int] = []  # the window's lengths, ascending
        self._in_window = 0
        self._beyond: list[_Waiting] = []  # heap of what is too young for the window
        self._tokens = 0  # of all that waits, rounded to the ladder
        self._arrival_was_first = False

    def __len__(self) -> int:
        return len(self._arrived)

    def append(self, part: Part) -> None:
        """Let `part` wait; raises ValueError for an entry without an encoding, and for what is larger than a batch."""
        self.extend((part,))

    def extend(self, parts: Iterable[Part]) -> None:
        """Let `parts` wait, in their order; raises as `append` does, with those before the faulty one kept."""
        ladder, most = self.limits.ladder, self.limits.max_batch_tokens
        for part in parts:
            length = len(part.ids)
            if ladder is not None or length > most:
                length = self._padded_length(part, length)
            self._arrivals += 1
            waiting = (part.waiting_since, self._arrivals, length, part)
            self._arrived[self._arrivals] = waiting
            self._tokens += length
            if self._in_window < self.limits.window_reviews:
                self._admit(waiting)
            else:
                heappush(self._beyond, waiting)

    def next_batch(self, now: float, *, drain: bool = False) -> Batch | None:
        """Cut the next batch, or answer None: nothing waits, or what waits may still linger for company.

        `now` is monotonic seconds. With `drain` nothing lingers.
        """
        ready_at = self.ready_at(now)
        if ready_at is None or (ready_at > now and not drain):
            return None
        anchor = bisect_left(self._lengths, self._bring_forward_anchor(now))
        cut = best_cut(self._lengths, self._window, anchor, self._cut_limits())
        batch = Batch(self._take(cut), self.limits.ladder)
        self._refill()
        return batch

    def ready_at(self, now: float) -> float | None:
        """Say from when on `next_batch` answers a batch, `now` at the earliest; None while nothing waits.

        It may come earlier when more parts arrive.
        """
        if not self._arrived:
            return None
        if self.limits.linger_s == 0 or self.has_full_batch:
            return now
        lingered_at = self._first_arrived()[3].arrived_at + self.limits.linger_s
        overdue_at = self._oldest()[0] + self.limits.max_wait_s
        return max(now, min(lingered_at, overdue_at))

    def limit_tokens(self, max_batch_tokens: int) -> None:
        """From now on cut batches of at most so many padded tokens, and never of more than the limits allow.

        A part that is larger than this, though not larger than the limits, is cut alone. Raises ValueError below 1.
        """
        if max_batch_tokens < 1:
            raise ValueError(f"max_batch_tokens must be positive (now {max_batch_tokens})")
        self._max_tokens = min(max_batch_tokens, self.limits.max_batch_tokens)

    @property
    def has_full_batch(self) -> bool:
        """Whether enough waits for a batch that no more company could make better."""
        return len(self._arrived) >= self.limits.max_batch_reviews or self._tokens >= self._max_tokens

    def _first_arrived(self) -> _Waiting:
        return next(iter(self._arrived.values()))

    def _oldest(self) -> _Waiting:
        oldest: _Waiting = min(map(_oldest_of, self._window.values()))
        return min(oldest, self._beyond[0]) if self._beyond else oldest

    def _padded_length(self, part: Part, length: int) -> int:
        ladder = self.limits.ladder
        cost = length
        if ladder is not None:
            length = ladder.round_length(length)
            cost = length * ladder.rows[0]
        if cost > self.limits.max_batch_tokens:
            raise ValueError(
                f"This is a bug: {part.record.source} costs {cost} tokens, more than a whole batch may have"
                f" ({self.limits.max_batch_tokens})"
            )
        return length

    def _admit(self, waiting: _Waiting) -> None:
        length = waiting[2]
        heap = self._window.get(length)
        if heap is None:
            self._window[length] = [waiting]
            insort(self._lengths, length)
        else:
            heappush(heap, waiting)
        self._in_window += 1

    def _refill(self) -> None:
        while self._beyond and self._in_window < self.limits.window_reviews:
            self._admit(heappop(self._beyond))

    def _bring_forward_anchor(self, now: float) -> int:
        """Choose the anchor and answer its length; in the window it is now the first of that length."""
        anchor = self._first_arrived()
        overdue = now - anchor[3].arrived_at >= self.limits.max_wait_s
        self._arrival_was_first = overdue and not self._arrival_was_first
        if not self._arrival_was_first:
            anchor = self._oldest()
        _, number, length, part = anchor
        forward = (-math.inf, number, length, part)
        heap = self._window.get(length)
        if heap is None or anchor not in heap:
            self._beyond.remove(anchor)
            heapify(self._beyond)
            self._admit(forward)
        elif heap[0] is not anchor:
            heap[heap.index(anchor)] = forward
            heapify(heap)
        return length

    def _cut_limits(self) -> CutLimits:
        price = token_price(self._tokens, self._max_tokens)
        return CutLimits(self._max_tokens, self.limits.max_batch_reviews, price, self.limits.ladder)

    def _take(self, cut: Cut) -> list[Part]:
        """Remove from the window what `cut` says, of each length the oldest."""
        parts: list[Part] = []
        for length, count in cut:
            heap = self._window[length]
            if count == len(heap):
                taken = self._window.pop(length)
                del self._lengths[bisect_left(self._lengths, length)]
            else:
                taken = [heappop(heap) for _ in range(count)]
            for _, number, _, part in taken:
                del self._arrived[number]
                parts.append(part)
            self._tokens -= length * count
        self._in_window -= len(parts)
        return parts
