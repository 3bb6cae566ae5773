"""``reviews-worker dlq replay``: send dead letters to the input topic again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
import orjson

from worker.cli.dlq.filters import filter_options
from worker.cli.interrupts import run_async
from worker.cli.options import KAFKA_OPTIONS, SettingsCommand, read_settings, setting_options
from worker.cli.terminal import on_terminal, printable
from worker.errors import UsageError
from worker.logs import configure_logging
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.delivery.replay.letters import DeadLetter
    from worker.delivery.replay.replay import Report
    from worker.delivery.replay.selection import Selection, Target
    from worker.delivery.replay.transactions import ReplayTransactions
    from worker.records import OutputRecord
    from worker.topic_specs import TopicDescription

START_PATIENCE_S = 60.0
"""A first transaction makes the broker create a topic of its own, and what an earlier replay left open has to end."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line."""

    reasons: tuple[str, ...]
    since: int | None
    to: str | None
    max_hops: int
    dry_run: bool
    again: bool
    new_time: bool


@click.command(cls=SettingsCommand)
@filter_options
@click.option("--dry-run", is_flag=True, help="Say what would be sent where; send nothing.")
@click.option("--to", metavar="TOPIC", help="Send all of them to this topic, wherever they were read.")
@click.option(
    "--max-hops",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Leave an event that has been sent again so often.",
)
@click.option("--again", is_flag=True, help="Also those that were replayed before.")
@click.option("--new-time", is_flag=True, help="Give the events the time of now instead of their own.")
@setting_options(
    *KAFKA_OPTIONS, "input_topic", "dead_letter_topic", "compression", "create_topics", "topic_replication"
)
@click.pass_context
def command(
    context: click.Context,
    reasons: tuple[str, ...],
    since: int | None,
    dry_run: bool,
    to: str | None,
    max_hops: int,
    again: bool,
    new_time: bool,
) -> None:
    """Send dead letters to the input topic again, each exactly once.

    Key, value, time and headers are those of the event; a header counts how often it was sent again. The letters stay
    where they are, and what was replayed is noted in a topic beside them, in the same transaction. So it may be stopped
    at any time and run again, with whatever filter.

    Without a terminal the result is one JSON object, and with --dry-run each letter is one too.
    """
    settings = read_settings(context)
    configure_logging("CRITICAL", "human")
    if to == "":
        raise UsageError("--to needs the name of a topic")
    run_async(_replay(settings, Options(reasons, since, to, max_hops, dry_run, again, new_time)))


async def _replay(settings: Settings, options: Options) -> None:
    from worker.cli.dlq.reading import describe, open_letters, reading
    from worker.delivery.replay.notes import notes_topic
    from worker.delivery.replay.replay import Replay
    from worker.delivery.replay.selection import Selection, Wanted

    topic, name = settings.dead_letter_topic, options.to or settings.input_topic
    if name in (topic, notes_topic(topic)):
        raise UsageError(f"--to {name}: dead letters cannot be replayed to where they are kept")
    found = await describe(settings, name)
    selection = Selection(
        target=_target(found[name]),
        wanted=Wanted(frozenset(options.reasons), options.since),
        max_hops=options.max_hops,
        now_ms=time.time_ns() // 1_000_000,
        from_any_topic=options.to is not None,
        new_time=options.new_time,
    )
    async with (
        _transactions(settings, options, found, selection.target) as transactions,
        reading(settings, found) as reader,
    ):
        # Only now, when nobody else can go on, do the notes say what is done.
        opened = await open_letters(reader, settings, found, name)
        on_chosen = _show_chosen if options.dry_run else None
        replay = Replay(selection, opened.replayed, settings.compression, transactions, on_chosen)
        try:
            await replay.run(reader, topic, opened.spans, again=options.again)
        finally:
            _show(replay.report, selection, options)


def _target(topic: TopicDescription) -> Target:
    from worker.delivery.replay.selection import Target

    retention_ms = topic.integer("retention.ms")
    deletes = "delete" in topic.configs.get("cleanup.policy", "delete")
    own_time = topic.configs.get("message.timestamp.type", "CreateTime") == "CreateTime"
    expires = deletes and own_time and retention_ms is not None and retention_ms >= 0
    times = (topic.integer(f"message.timestamp.{side}.max.ms") if own_time else None for side in ("before", "after"))
    limit = topic.integer("max.message.bytes")
    return Target(topic.name, topic.partitions, limit, retention_ms if expires else None, *times)


@contextlib.asynccontextmanager
async def _transactions(
    settings: Settings, options: Options, found: dict[str, TopicDescription], target: Target
) -> AsyncIterator[ReplayTransactions | None]:
    """What sends; None for a trial. From its start on every earlier replay is at an end."""
    if options.dry_run:
        yield None
        return
    from worker.cli.dlq.notes import ensure_notes_topic
    from worker.cli.kafka import started
    from worker.delivery.replay.transactions import ReplayTransactions, new_producer
    from worker.security import client_options

    topic = settings.dead_letter_topic
    notes = await ensure_notes_topic(settings, found)
    producer = new_producer(client_options(settings), topic, settings.compression, target)
    async with started(producer, settings, START_PATIENCE_S):
        yield ReplayTransactions(producer, notes)


def _show_chosen(letter: DeadLetter, output: OutputRecord) -> None:
    """One line of a dry run."""
    from worker.cli.dlq.shown import line, members

    if on_terminal():
        click.echo(line(letter, replayed=False))
    else:
        place = f"{output.topic}/{output.partition}"
        click.echo(orjson.dumps({**members(letter, replayed=False), "to": place}))


def _show(report: Report, selection: Selection, options: Options) -> None:
    if not on_terminal():
        result = {
            "replayed": report.replayed.total(),
            "to": selection.target.topic,
            "reasons": dict(report.replayed.most_common()),
            "left": {left.name.lower(): count for left, count in report.left.most_common()},
            "dry_run": options.dry_run,
        }
        click.echo(orjson.dumps(result))
        return
    for text in _lines(report, selection, options):
        click.echo(text)


def _lines(report: Report, selection: Selection, options: Options) -> list[str]:
    from worker.delivery.replay.selection import Left

    count, topic = report.replayed.total(), selection.target.topic
    reasons = ", ".join(f"{number:,} {printable(reason)}" for reason, number in report.replayed.most_common())
    verb = "would replay" if options.dry_run else "replayed"
    lines = [f"{verb} {count:,} dead letter{'' if count == 1 else 's'} to {topic}{': ' if reasons else ''}{reasons}"]
    elsewhere = ", ".join(f"{printable(name)} {number:,}" for name, number in report.elsewhere.most_common())
    more = {
        Left.HOPS: f" (--max-hops {selection.max_hops})",
        Left.ELSEWHERE: f" ({elsewhere}); --to {topic} sends them there",
        Left.TOO_OLD: "; --new-time sends them with the time of now",
        Left.TIME_REFUSED: "; --new-time sends them with the time of now",
    }
    lines += [f"left in place: {number:,} {left}{more.get(left, '')}" for left, number in report.left.most_common()]
    return lines
