"""What people see on a terminal; everything else gets plain lines."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

_ANY_WIDTH = 100_000
_COLOURS = {"pos": "green", "neg": "red"}


def on_terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout.isatty()


def rich_console(*, stderr: bool = False) -> Console | None:
    """A console for tables and progress; None where the stream is no terminal or rich is not installed."""
    stream = sys.stderr if stderr else sys.stdout
    if not stream.isatty():
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(stderr=stderr, highlight=False)


def print_table(
    console: Console,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    to_the_right: Collection[str] = (),
    caption: str = "",
    alarming: str = "",
) -> None:
    """A table; where the terminal is too narrow for it, a line for each cell that is not empty.

    Cells that are `alarming` are red.
    """
    from rich.table import Table
    from rich.text import Text

    cells = [[Text(cell, style="red" if cell and cell == alarming else "") for cell in row] for row in rows]
    table = Table(caption=caption or None)
    for column in columns:
        table.add_column(column, justify="right" if column in to_the_right else "left", no_wrap=True)
    for line in cells:
        table.add_row(*line)
    unbounded = console.options.update(width=_ANY_WIDTH)  # a measure is never more than the width that it is given
    if console.measure(table, options=unbounded).maximum <= console.width:
        console.print(table)
        return
    width = max(map(len, columns)) + 2
    for line in cells:
        for number, (column, cell) in enumerate(zip(columns, line, strict=True)):
            if cell.plain:
                console.print(Text(f"{'' if number == 0 else '  '}{column:<{width}}").append(cell), soft_wrap=True)
    if caption:
        console.print(Text(caption, style="italic"), soft_wrap=True)


def printable(text: str, width: int | None = None) -> str:
    """`text` on one line, without control characters (a review could hold any), cut to `width` characters."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if width is None or len(line) <= width else line[: max(width - 1, 0)] + "…"


def label_colour(label: str) -> str:
    """The colour that a label is shown in."""
    return _COLOURS.get(label, "blue")


def review_line(label: str, score: float, text: str) -> str:
    """One classified review as a line for a terminal."""
    room = shutil.get_terminal_size().columns - len(label) - 9
    return f"{click.style(label, fg=label_colour(label), bold=True)}  {score:.3f}  {printable(text, room)}"


def plain_line(label: str, score: float, text: str) -> str:
    """The same for a program: separated by tabs, which the text does not hold."""
    return f"{label}\t{score:.3f}\t{printable(text)}"
