"""How the demo shows reviews as they arrive: a live table on a terminal, a line each otherwise."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from worker.cli.terminal import label_colour, on_terminal, plain_line, printable, review_line, rich_console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_FEWEST_ROWS = 5
_LINES_AROUND = 12


@dataclass(frozen=True, slots=True)
class Shown:
    """One classified review, as far as people see it."""

    label: str
    score: float
    text: str


Show = Callable[[Shown], None]


@contextlib.contextmanager
def review_display(expected: int) -> Iterator[Show]:
    """Where each classified review goes; `expected` is how many will come."""
    console = rich_console()
    if console is None:
        line = review_line if on_terminal() else plain_line
        yield lambda review: click.echo(line(review.label, review.score, review.text))
        return
    from rich.live import Live

    rows: deque[Shown] = deque(maxlen=max(console.height - _LINES_AROUND, _FEWEST_ROWS))
    count = 0
    with Live(_table(rows, 0, expected, console), console=console, refresh_per_second=8) as live:

        def show(review: Shown) -> None:
            nonlocal count
            count += 1
            rows.append(review)
            live.update(_table(rows, count, expected, console))

        yield show


def _table(rows: deque[Shown], count: int, expected: int, console: Console) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(caption=f"{count} of {expected} reviews classified", width=console.width)
    table.add_column("label")
    table.add_column("probability", justify="right")
    table.add_column("review", ratio=1, no_wrap=True, overflow="ellipsis")
    for row in rows:
        label = Text(row.label, style=f"bold {label_colour(row.label)}")
        table.add_row(label, f"{row.score:.3f}", Text(printable(row.text)))
    return table
