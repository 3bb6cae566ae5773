"""Which of the waiting reviews go into a batch together.

The rule: among all groups of neighbours in length that hold the *anchor* (the review whose turn it is) and keep to
the limits, take the densest: the one with the most real tokens for its cost. A batch costs its padded tokens and one
launch, taken as a sixteenth of the token budget. The launch makes large groups better than small ones, the padding
makes groups of like length better than mixed ones, and a review that would bring more padding than it saves is left
for a later batch, even when there is room.

``docs/batching.md`` has the measurements behind it. Growing the group one neighbour at a time, each time the one that
adds the least padding, wastes half as much again. Leaving the anchor out for a denser group elsewhere wastes less, but
the outputs of a partition leave in input order, so whatever overtakes the oldest waits for it all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from typing import NamedTuple

from worker.batching.ladder import ShapeLadder
from worker.batching.limits import BatchLimits

LAUNCH_SHARE = 1 / 16
"""What a batch costs beside its padded tokens, as a share of the token budget."""


class Cut(NamedTuple):
    """A group of neighbours in length, counted downwards from the longest."""

    longest: int
    """Index of its longest length among the waiting lengths."""
    rows: int
    """Reviews taken, from that length down."""
    needed: int
    """How many of them it takes to reach the anchor."""


def densest_cut(
    lengths: Sequence[int], waiting: Mapping[int, Sized], anchor: int, max_tokens: int, limits: BatchLimits
) -> Cut:
    """Find the densest group that holds at least one review of length ``lengths[anchor]``.

    `lengths` are the waiting lengths, ascending, already rounded to the ladder; ``waiting[length]`` are the reviews of
    one length. The group keeps to `max_tokens` (which may be lower than in the limits), its rows rounded to the ladder,
    and to ``max_batch_reviews``; only an anchor that is larger than `max_tokens` by itself is cut all the same, alone.
    """
    launch = max_tokens * LAUNCH_SHARE
    best, best_density = Cut(anchor, rows=1, needed=1), 0.0
    rows_above = real_above = 0  # what is longer than the anchor comes along
    for top in range(anchor, len(lengths)):
        longest = lengths[top]
        if top > anchor:
            rows_above += len(waiting[longest])
            real_above += len(waiting[longest]) * longest
        room = _room(longest, max_tokens, limits)
        if rows_above >= room:
            break  # and so it is for all that is longer still
        rows, real = rows_above, real_above
        for index in range(anchor, -1, -1):
            length = lengths[index]
            if index < anchor and length * (rows * longest + launch) <= real * longest:
                break  # shorter reviews would lower the density
            taken = min(len(waiting[length]), room - rows)
            rows += taken
            real += taken * length
            if rows == room:
                break
        density = real / (rows * longest + launch)
        if density > best_density:
            best, best_density = Cut(top, rows, needed=rows_above + 1), density
    return best if limits.ladder is None else _whole_rung(best, lengths, waiting, launch, limits.ladder)


def _room(longest: int, max_tokens: int, limits: BatchLimits) -> int:
    rows = max_tokens // longest
    return min(limits.max_batch_reviews, rows if limits.ladder is None else limits.ladder.floor_rows(rows))


def _whole_rung(
    cut: Cut, lengths: Sequence[int], waiting: Mapping[int, Sized], launch: float, ladder: ShapeLadder
) -> Cut:
    """Leave out the shortest reviews of `cut`, down to a whole rung of rows, where that is denser than empty rows."""

    def density(rows: int) -> float:
        real, missing, index = 0, rows, cut.longest
        while missing:
            taken = min(len(waiting[lengths[index]]), missing)
            real += taken * lengths[index]
            missing -= taken
            index -= 1
        return real / (ladder.round_rows(rows) * lengths[cut.longest] + launch)

    fewer = ladder.floor_rows(cut.rows)
    if fewer < cut.needed or density(fewer) <= density(cut.rows):
        return cut
    return cut._replace(rows=fewer)
