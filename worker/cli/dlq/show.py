"""``reviews-worker dlq show``: everything about one dead letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import orjson

from worker.cli.interrupts import run_async
from worker.cli.options import KAFKA_OPTIONS, SettingsCommand, read_settings, setting_options
from worker.cli.positions import read_position
from worker.cli.terminal import on_terminal, printable
from worker.errors import UsageError
from worker.logs import configure_logging
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.delivery.replay.letters import DeadLetter
    from worker.delivery.replay.notes import Note


@click.command(cls=SettingsCommand)
@click.argument("position")
@click.option("--raw", is_flag=True, help="Write the bytes of its value, and nothing else.")
@setting_options(*KAFKA_OPTIONS, "dead_letter_topic")
@click.pass_context
def command(context: click.Context, position: str, raw: bool) -> None:
    """Show all of one dead letter: the event, why it failed, and whether it was sent again.

    POSITION is as `dlq list` shows it: "2/17" for partition and offset, or "reviews.dlq/2/17".

    Without a terminal it is one JSON object; bytes that are not UTF-8 become {"base64": "..."} there.
    """
    settings = read_settings(context)
    configure_logging("CRITICAL", "human")
    place = read_position(position, settings.dead_letter_topic)
    if place.topic != settings.dead_letter_topic:
        raise UsageError(f"{position} is not on {settings.dead_letter_topic}; give --dead-letter-topic {place.topic}")
    letter, notes = run_async(_find(settings, place.partition, place.offset))
    if raw:
        if letter.record.value is None:
            click.echo("it has no value", err=True)
        click.echo(letter.record.value or b"", nl=False)
    elif on_terminal():
        _print(letter, notes)
    else:
        from worker.cli.dlq.shown import all_members

        replayed = [{"to": note.target, "at": note.at} for note in notes]
        click.echo(orjson.dumps({**all_members(letter), "replayed": replayed}))


async def _find(settings: Settings, partition: int, offset: int) -> tuple[DeadLetter, list[Note]]:
    """The letter, and the notes that speak of it; raises `UsageError` when there is none."""
    from worker.cli.dlq.reading import describe, reading
    from worker.delivery.replay.notes import notes_topic

    topic = settings.dead_letter_topic
    found = await describe(settings)
    count = found[topic].partitions
    if partition >= count:
        raise UsageError(f"{topic} has no partition {partition}: they are 0 to {count - 1}")
    async with reading(settings, found) as reader:
        span = (await reader.spans(topic, count))[partition]
        if not span.start <= offset < span.end:
            holds = f"offsets {span.start} to {span.end - 1}" if span.end > span.start else "nothing"
            raise UsageError(f"there is no {topic}/{partition}/{offset}: the partition holds {holds}")
        letter = await reader.letter(topic, partition, offset)
        if letter is None:
            raise UsageError(f"{topic}/{partition}/{offset} holds no record: it is a gap, as transactions leave them")
        notes: list[Note] = []
        if notes_topic(topic) in found:
            async for note in reader.notes(notes_topic(topic)):
                if note.partition == partition and note.holds(offset) and note.is_of(found[topic].id):
                    notes.append(note)  # noqa: PERF401 - ruff knows no asynchronous extend
    return letter, notes


def _print(letter: DeadLetter, notes: list[Note]) -> None:
    from worker.cli.dlq.shown import shown, time_of

    def row(name: str, text: str) -> None:
        click.echo(f"{click.style(f'{name:<10}', bold=True)} {printable(text)}")

    row("position", letter.record.source)
    for number, failure in enumerate(reversed(letter.failures)):
        row("reason" if number == 0 else "before", f"{failure.reason} (stage {failure.stage})")
        row("", f"{failure.message} [{failure.exception}]")
        row("", f"read at {failure.source}")
    if not letter.failures:
        row("reason", "unknown: this worker has not written it")
    row("hops", str(letter.hops))
    for note in notes:
        row("replayed", f"to {note.target} at {note.at}")
    row("time", time_of(letter) or "none")
    row("key", shown(letter.record.key))
    for name, value in letter.event_headers:
        row("header", f"{name}: {shown(value)}")
    value = letter.record.value
    row("value", "none" if value is None else f"{len(value):,} bytes")
    if value is not None:
        click.echo(printable(value.decode(errors="replace")))
