"""What happens to a review that is longer than the model reads: the choices, and where its windows lie. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from worker.errors import UsageError

OverflowPolicy = Literal["truncate", "head_tail", "windows"]

MARKERS = 2
"""``[CLS]`` and ``[SEP]``, which each encoding has beside the tokens of its text."""
MOST_WINDOWS = 64
"""Of one review, whatever is asked for."""


@dataclass(frozen=True, slots=True)
class Overflow:
    """How a text of more than `room` tokens is read, `room` being the model's length less `MARKERS`.

    - ``truncate``: its first tokens.
    - ``head_tail``: its first and its last ones, after Sun et al. 2019, "How to Fine-Tune BERT for Text
      Classification?", who take 128 and 382 of 510.
    - ``windows``: all of it, in windows that overlap; see `window_spans`.

    Raises `UsageError` for a policy that is not there and for bounds that allow nothing.
    """

    policy: OverflowPolicy = "head_tail"
    window_overlap_tokens: int | None = None
    """Tokens that a window has in common with the next one, at least; None for an eighth of the model's length."""
    max_windows: int = 8
    """Windows of one review; what they do not reach is not read."""
    head_share: float = 128 / 510
    """Of the room, how much goes to the beginning with ``head_tail``."""

    def __post_init__(self) -> None:
        if self.policy not in get_args(OverflowPolicy):
            raise UsageError(
                f"overflow {self.policy!r} is not there; choose from {', '.join(get_args(OverflowPolicy))}"
            )
        overlap = self.window_overlap_tokens or 0
        if overlap < 0 or not 1 <= self.max_windows <= MOST_WINDOWS or not 0 <= self.head_share <= 1:
            raise UsageError(
                f"window_overlap_tokens must not be negative, max_windows lies between 1 and {MOST_WINDOWS}, and"
                f" head_share between 0 and 1 (now {overlap}, {self.max_windows}, {self.head_share})"
            )

    def check(self, max_length: int) -> None:
        """Raise `UsageError` when windows of a model that reads `max_length` tokens would not advance."""
        room = max_length - MARKERS
        if self.policy == "windows" and self.overlap_tokens(room) >= room:
            raise UsageError(
                f"window_overlap_tokens is {self.overlap_tokens(room)}, and the model's max_length of {max_length}"
                f" leaves windows of {room} tokens; set it to {room - 1} or less"
            )

    def head_tokens(self, room: int) -> int:
        """How many of `room` tokens the beginning gets with ``head_tail``; the end gets the others."""
        return round(room * self.head_share)

    def overlap_tokens(self, room: int) -> int:
        """How many tokens neighbouring windows share at least."""
        return (room + MARKERS) // 8 if self.window_overlap_tokens is None else self.window_overlap_tokens

    def most_tokens(self, room: int) -> int:
        """How many tokens of a text are read at most."""
        if self.policy != "windows":
            return room
        return room + (self.max_windows - 1) * (room - self.overlap_tokens(room))

    def window_spans(self, tokens: int, room: int) -> list[tuple[int, int]]:
        """First token of each window, and the one after its last, for a text of `tokens`, at most `most_tokens`.

        The rule: as few windows as hold the text when neighbours share `overlap_tokens`, all of the same
        length, the shortest that does, and with their starts spread evenly from the first token to where the last
        window ends with the text. So none is tiny, every token is in a window, and little is computed twice.
        """
        overlap = self.overlap_tokens(room)
        count = 1 if tokens <= room else -(-(tokens - overlap) // (room - overlap))
        if count == 1:
            return [(0, tokens)]
        length = -(-(tokens + (count - 1) * overlap) // count)
        starts = ((tokens - length) * number // (count - 1) for number in range(count))
        return [(start, start + length) for start in starts]


DEFAULT_OVERFLOW = Overflow()
"""What holds where nothing is said, in settings, commands and Python API: its fields are the only place."""
