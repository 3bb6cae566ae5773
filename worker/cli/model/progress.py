"""How far a long measurement has come: a bar on a terminal, nothing anywhere else."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

import click

from worker.cli.terminal import rich_console

Progress = Callable[[float, int], None]
"""Takes the share that is done, 0 to 1, and the rows that are classified."""

_STEPS = 1000
_FEWEST_SECONDS = 0.5


@contextlib.contextmanager
def progress_bar(label: str) -> Iterator[Progress | None]:
    """A bar on stderr with rate and remaining time; None where stderr is no terminal.

    It goes away when it is done, or interrupted.
    """
    if not sys.stderr.isatty():
        yield None
        return
    with _rich_bar(label) or _plain_bar(label) as progress:
        yield progress


def rows_per_second(rows: int, seconds: float) -> str:
    """The rate so far, in words."""
    return f"{rows:,} rows, {rows / max(seconds, _FEWEST_SECONDS):,.1f}/s"


def _rich_bar(label: str) -> contextlib.AbstractContextManager[Progress] | None:
    console = rich_console(stderr=True)
    if console is None:
        return None
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )

    @contextlib.contextmanager
    def opened() -> Iterator[Progress]:
        started = time.monotonic()
        with Bar(*columns, console=console, transient=True) as bar:
            task = bar.add_task(label, total=1.0, rate="")

            def update(share: float, rows: int) -> None:
                bar.update(task, completed=share, rate=rows_per_second(rows, time.monotonic() - started))

            yield update

    return opened()


@contextlib.contextmanager
def _plain_bar(label: str) -> Iterator[Progress]:
    started = time.monotonic()
    with click.progressbar(
        length=_STEPS, label=label, file=sys.stderr, item_show_func=lambda rate: rate, show_eta=True
    ) as bar:

        def update(share: float, rows: int) -> None:
            bar.update(round(share * _STEPS) - bar.pos, rows_per_second(rows, time.monotonic() - started))

        yield update
