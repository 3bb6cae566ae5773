"""How the demo shows reviews as they arrive: a row each, and on a terminal a line below that counts them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from worker.cli.terminal import label_colour, on_terminal, plain_line, printable, review_line, rich_console

if TYPE_CHECKING:
    from rich.text import Text


@dataclass(frozen=True, slots=True)
class Shown:
    """One classified review, as far as people see it."""

    label: str
    score: float
    text: str


Show = Callable[[Shown], None]


@contextlib.contextmanager
def review_display(expected: int) -> Iterator[Show]:
    """Where each classified review goes; `expected` is how many will come. All rows stay in the scroll-back."""
    console = rich_console()
    if console is None:
        line = review_line if on_terminal() else plain_line
        yield lambda review: click.echo(line(review.label, review.score, review.text))
        return
    from rich.live import Live

    moments: list[float] = []
    with Live(_status(moments, expected), console=console, refresh_per_second=8) as live:

        def show(review: Shown) -> None:
            moments.append(time.monotonic())
            console.print(_row(review), no_wrap=True, overflow="ellipsis")
            live.update(_status(moments, expected))

        yield show


def _row(review: Shown) -> Text:
    from rich.text import Text

    label = (review.label, f"bold {label_colour(review.label)}")
    return Text.assemble(label, f"  {review.score:.3f}  {printable(review.text)}")


def _status(moments: list[float], expected: int) -> Text:
    from rich.text import Text

    if not moments:
        return Text("the worker is starting", style="dim")
    line = f"{len(moments)} of {expected} reviews classified"
    elapsed = moments[-1] - moments[0]
    if elapsed > 0:
        line += f", {(len(moments) - 1) / elapsed:,.1f} reviews/s"
    return Text(line, style="dim")
