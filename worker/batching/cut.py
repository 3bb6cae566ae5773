"""Which of the waiting reviews go into a batch together.

The rule: among all groups of neighbours in length that hold the *anchor* (the review whose turn it is) and keep to the
limits, take the one of the highest value. A computed token costs 1, and a real one is worth a little more, its *price*:
at 1.2, a review is worth a place in a batch unless more than a sixth of that place would be padding. So large groups
are better than small ones, up to the point where only mixing lengths would fill them, and what does not fit well waits
for a batch of its own, even when there is room. No group of neighbours wastes more than 1 - 1 / price.

While little waits, the price is higher, since a batch has a cost of its own (a launch) that few tokens share.

``docs/batching.md`` has the measurements behind it. Growing the group one neighbour at a time, each time the one that
adds the least padding, wastes half as much again. Leaving the anchor out for a better group elsewhere brings nothing:
the outputs of a partition leave in input order, so whatever overtakes the oldest waits for it all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from typing import NamedTuple

from worker.batching.ladder import ShapeLadder

BACKLOG_PRICE = 1.2
"""What a real token is worth, in computed ones, while much waits."""
LAUNCH_SHARE = 1 / 16
"""What a batch costs beside its padded tokens, as a share of the token budget."""

Cut = list[tuple[int, int]]
"""Lengths and how many reviews of each to take, longest first; no count is zero."""


class CutLimits(NamedTuple):
    """What one cut keeps to."""

    max_tokens: int
    """Padded tokens, the rows rounded to the ladder."""
    max_rows: int
    """Reviews."""
    price: float
    """What a real token is worth; see `token_price`."""
    ladder: ShapeLadder | None = None

    def room(self, longest: int) -> int:
        """How many reviews of this length fit."""
        rows = self.max_tokens // longest
        return min(self.max_rows, rows if self.ladder is None else self.ladder.floor_rows(rows))

    def value(self, real_tokens: float, rows: int, longest: int) -> float:
        """What a group is worth, less what it costs."""
        return self.price * real_tokens - longest * (rows if self.ladder is None else self.ladder.round_rows(rows))


class _Group(NamedTuple):
    """A run of neighbours in length, counted downwards from the longest."""

    top: int
    """Index of the longest length."""
    above: int
    """Reviews of that length, where it is longer than the anchor."""
    rows: int
    needed: int
    """How many of the rows it takes to reach the anchor."""


class _Step(NamedTuple):
    """Reviews of one length."""

    length: int
    reviews: int
    rows: int
    """Reviews of the steps before it."""
    tokens: int
    """Their tokens."""


def token_price(waiting_tokens: int, max_tokens: int) -> float:
    """Price a real token while `waiting_tokens` wait and a batch may have `max_tokens`."""
    return max(BACKLOG_PRICE, 1.0 + LAUNCH_SHARE * max_tokens / waiting_tokens)


def best_cut(lengths: Sequence[int], waiting: Mapping[int, Sized], anchor: int, limits: CutLimits) -> Cut:
    """Find the most valuable group that holds at least one review of length ``lengths[anchor]``.

    `lengths` are the waiting lengths, ascending, already rounded to the ladder; ``waiting[length]`` are the reviews of
    one length. An anchor that is larger than the limits by itself is cut all the same, alone.
    """
    best, best_value = _Group(anchor, above=0, rows=1, needed=1), 0.0
    steps = _steps_down(lengths, waiting, anchor, limits)
    between = between_tokens = 0  # what is longer than the anchor and shorter than the longest has to come along
    for top in range(anchor, len(lengths)):
        longest = lengths[top]
        room = limits.room(longest)
        if room < between + (1 if top == anchor else 2):
            break  # the anchor and one of this length do not fit, nor does anything longer
        above = 0 if top == anchor else min(len(waiting[longest]), room - between - 1)
        places = room - between - above
        while len(steps) > 1 and (steps[-1].rows >= places or limits.price * steps[-1].length <= longest):
            steps.pop()  # no place left, or not worth it; nor will it be for anything longer
        last = steps[-1]
        taken = min(last.reviews, places - last.rows)
        rows = between + above + last.rows + taken
        real = between_tokens + above * longest + last.tokens + taken * last.length
        value = limits.price * real - rows * longest
        if value > best_value:
            best, best_value = _Group(top, above, rows, needed=between + above + 1), value
        if top > anchor:
            between += len(waiting[longest])
            between_tokens += len(waiting[longest]) * longest
    cut = _spell_out(lengths, waiting, best)
    return cut if limits.ladder is None else _whole_rung(cut, best.needed, limits, limits.ladder)


def _steps_down(lengths: Sequence[int], waiting: Mapping[int, Sized], anchor: int, limits: CutLimits) -> list[_Step]:
    """List what may come along without being longer than the anchor: the anchor itself, then the next shorter ones."""
    longest = lengths[anchor]
    room = limits.room(longest)
    steps = [_Step(longest, reviews=1, rows=0, tokens=0)]
    rows, tokens = 1, longest
    for index in range(anchor, -1, -1):
        length = lengths[index]
        if rows >= room or limits.price * length <= longest:
            break
        count = len(waiting[length]) - (index == anchor)
        if count:
            steps.append(_Step(length, count, rows, tokens))
            rows += count
            tokens += count * length
    return steps


def _spell_out(lengths: Sequence[int], waiting: Mapping[int, Sized], group: _Group) -> Cut:
    cut, index = [], group.top
    if group.above:
        cut, index = [(lengths[index], group.above)], index - 1
    missing = group.rows - group.above
    while missing:
        taken = min(len(waiting[lengths[index]]), missing)
        cut.append((lengths[index], taken))
        missing -= taken
        index -= 1
    return cut


def _whole_rung(cut: Cut, needed: int, limits: CutLimits, ladder: ShapeLadder) -> Cut:
    """Leave out the shortest reviews of `cut`, down to a whole rung of rows, where that is worth more than empty rows.

    The first `needed` reviews stay: the anchor is the last of them.
    """
    rows, longest = sum(count for _, count in cut), cut[0][0]
    whole = ladder.floor_rows(rows)
    if whole < needed:
        return cut
    fewer: Cut = []
    missing = whole
    for length, count in cut:
        if missing:
            fewer.append((length, min(count, missing)))
            missing -= min(count, missing)
    better = limits.value(_tokens(fewer), whole, longest) > limits.value(_tokens(cut), rows, longest)
    return fewer if better else cut


def _tokens(cut: Cut) -> int:
    return sum(length * count for length, count in cut)
