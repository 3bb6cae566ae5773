"""``reviews-worker dlq list``: what is on the dead-letter topic."""

from __future__ import annotations

import click
import orjson

from worker.cli.dlq.filters import filter_options
from worker.cli.interrupts import run_async
from worker.cli.options import KAFKA_OPTIONS, SettingsCommand, read_settings, setting_options
from worker.cli.terminal import on_terminal
from worker.logs import configure_logging
from worker.settings import Settings


@click.command(cls=SettingsCommand, name="list")
@filter_options
@click.option("--limit", type=click.IntRange(min=1), help="Show so many, the oldest of each partition first.")
@click.option("--summary", is_flag=True, help="Show how many there are of each kind instead of one by one.")
@setting_options(*KAFKA_OPTIONS, "input_topic", "dead_letter_topic")
@click.pass_context
def command(
    context: click.Context, reasons: tuple[str, ...], since: int | None, limit: int | None, summary: bool
) -> None:
    """List the dead letters, one on a line.

    Ends at the last one there is now; joins no group and commits nothing. A letter is marked as replayed when it was
    sent back to the input topic.

    Without a terminal each line is a JSON object.
    """
    settings = read_settings(context)
    configure_logging("CRITICAL", "human")
    run_async(_list(settings, reasons, since, limit, summary))


async def _list(
    settings: Settings, reasons: tuple[str, ...], since: int | None, limit: int | None, summary: bool
) -> None:
    from worker.cli.dlq.reading import describe, open_letters, reading
    from worker.cli.dlq.shown import header, line, members
    from worker.cli.dlq.summary import Summary
    from worker.delivery.replay.selection import Wanted

    wanted = Wanted(frozenset(reasons), since)
    counts = Summary()
    found = await describe(settings)
    async with reading(settings, found) as reader:
        opened = await open_letters(reader, settings, found, settings.input_topic)
        for partition, span in enumerate(opened.spans):
            async for letters in reader.letters(opened.topic, partition, span):
                for letter in filter(wanted.wants, letters):
                    replayed = opened.replayed.holds(partition, letter.record.offset)
                    counts.add(letter, replayed=replayed)
                    if summary:
                        continue
                    if on_terminal():
                        if counts.total == 1:
                            click.echo(header())
                        click.echo(line(letter, replayed=replayed))
                    else:
                        click.echo(orjson.dumps(members(letter, replayed=replayed)))
                    if counts.total == limit:
                        return
    if summary:
        counts.show()
    elif on_terminal():
        click.echo(counts.in_words(), err=True)
