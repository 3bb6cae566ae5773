"""How many dead letters there are of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import click
import orjson

from worker.cli.dlq.shown import FOREIGN, moment
from worker.cli.terminal import on_terminal, print_table, printable, rich_console
from worker.records import NO_TIMESTAMP
from worker.replay.letters import DeadLetter

COLUMNS = ("reason", "stage", "topic", "count", "share", "oldest", "newest", "replayed")


class Kind(NamedTuple):
    """What letters are counted by."""

    reason: str
    stage: str
    topic: str


@dataclass(slots=True)
class _Count:
    count: int = 0
    replayed: int = 0
    times_ms: list[int] = field(default_factory=list)
    """The oldest and the newest time."""


class Summary:
    """Counts letters as they come."""

    def __init__(self) -> None:
        self.total = 0
        self._counts: dict[Kind, _Count] = {}

    def add(self, letter: DeadLetter, *, replayed: bool) -> None:
        """Count one letter."""
        failure = letter.latest
        kind = Kind(failure.reason, failure.stage, failure.topic) if failure else Kind(FOREIGN, "", "")
        count = self._counts.setdefault(kind, _Count())
        self.total += 1
        count.count += 1
        count.replayed += replayed
        if letter.timestamp_ms != NO_TIMESTAMP:
            times = [*count.times_ms, letter.timestamp_ms]
            count.times_ms = [min(times), max(times)]

    def rows(self) -> Iterator[dict[str, Any]]:
        """One for each kind, the most frequent first."""
        for kind, count in sorted(self._counts.items(), key=lambda item: (-item[1].count, item[0])):
            oldest, newest = map(moment, count.times_ms or (NO_TIMESTAMP, NO_TIMESTAMP))
            share = round(count.count / self.total, 4)
            values = (*kind, count.count, share, oldest, newest, count.replayed)
            yield dict(zip(COLUMNS, values, strict=True))

    def show(self) -> None:
        """Print the rows: a table on a terminal, a JSON object a line otherwise."""
        if not on_terminal():
            for row in self.rows():
                click.echo(orjson.dumps(row))
            return
        cells = [[printable(_cell(name, row[name])) for name in COLUMNS] for row in self.rows()]
        console = rich_console()
        if console is None:
            for line in ([*COLUMNS], *cells):
                click.echo("\t".join(line))
            return
        print_table(console, COLUMNS, cells, to_the_right=("count", "share", "replayed"), caption=self.in_words())

    def in_words(self) -> str:
        """All of it on one line."""
        replayed = sum(count.replayed for count in self._counts.values())
        return f"{self.total:,} dead letter{'' if self.total == 1 else 's'}, {replayed:,} of them replayed"


def _cell(name: str, value: object) -> str:
    if name == "share" and isinstance(value, float):
        return f"{value:.1%}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
