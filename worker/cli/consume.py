"""``reviews-worker consume``: see what comes out."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any

import click
import orjson

from worker.cli.interrupts import run_async
from worker.cli.options import KAFKA_OPTIONS, SettingsCommand, read_settings, setting_options
from worker.cli.terminal import on_terminal, printable, review_line
from worker.logs import configure_logging
from worker.settings import Settings

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, ConsumerRecord

POLL_S = 0.25
IDLE_S = 3.0
"""After so long without a record it is said what is waited for."""


@click.command(cls=SettingsCommand)
@click.option("--from-beginning", is_flag=True, help="Start with the oldest record; otherwise with what comes now.")
@click.option("--max", "limit", type=click.IntRange(min=1), help="Stop after so many records.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="Stop after so many seconds without one.")
@click.option("--dead-letters", is_flag=True, help="Read the dead-letter topic, with the reasons.")
@setting_options(*KAFKA_OPTIONS, "output_topic", "dead_letter_topic", "text_field", "result_field", "read_committed")
@click.pass_context
def command(
    context: click.Context, from_beginning: bool, limit: int | None, timeout: float | None, dead_letters: bool
) -> None:
    """Print classified reviews as they arrive.

    Goes on until Ctrl-C; joins no group and commits nothing.

    Without a terminal each review is printed as the JSON object that it is, one on a line.
    """
    settings = read_settings(context)
    configure_logging("WARNING", "human")
    topic = settings.dead_letter_topic if dead_letters else settings.output_topic
    show = show_dead_letter if dead_letters else show_review
    run_async(_consume(settings, topic, from_beginning, limit, timeout, show))


async def _consume(
    settings: Settings,
    topic: str,
    from_beginning: bool,
    limit: int | None,
    timeout: float | None,
    show: Callable[[ConsumerRecord, Settings], None],
) -> None:
    count = 0
    idle = _Idle(f"{topic} at {settings.bootstrap_servers}", from_beginning=from_beginning)
    async with contextlib.aclosing(
        records(settings, topic, from_beginning=from_beginning, timeout_s=timeout, on_poll=idle.look)
    ) as arriving:
        async for record in arriving:
            show(record, settings)
            idle.over()
            count += 1
            if count == limit:
                return


class _Idle:
    """Tells whoever looks on what is waited for, once in each silence."""

    def __init__(self, place: str, *, from_beginning: bool) -> None:
        self._place = place
        self._anything = from_beginning
        self._since: float | None = None
        self._said = False

    def look(self) -> None:
        """Called several times a second, from when the reading begins."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if self._said or now - self._since < IDLE_S:
            return
        self._said = True
        hint = "" if self._anything else "; what is there already is read with --from-beginning"
        click.echo(click.style(f"waiting for new records on {self._place}{hint}; Ctrl-C ends it", dim=True), err=True)

    def over(self) -> None:
        """A record has come."""
        self._since, self._said, self._anything = None, False, True


async def records(
    settings: Settings,
    topic: str,
    *,
    from_beginning: bool,
    timeout_s: float | None = None,
    on_poll: Callable[[], None] | None = None,
) -> AsyncGenerator[ConsumerRecord, None]:
    """The records of `topic` as they come, without a group; ends after `timeout_s` without one.

    `on_poll` is called several times a second and may raise to end it.
    """
    from aiokafka import TopicPartition

    from worker.cli.kafka import existing_topics, may_read, started

    found = await existing_topics(settings, topic)
    async with started(reader(settings), settings) as consumer, may_read():
        places = [TopicPartition(topic, number) for number in range(found[topic].partitions)]
        consumer.assign(places)
        await (consumer.seek_to_beginning(*places) if from_beginning else consumer.seek_to_end(*places))
        last = time.monotonic()
        while timeout_s is None or time.monotonic() - last < timeout_s:
            if on_poll is not None:
                on_poll()
            fetched = await consumer.getmany(timeout_ms=int(POLL_S * 1000))
            for record in (record for part in fetched.values() for record in part):
                last = time.monotonic()
                yield record


def reader(settings: Settings) -> AIOKafkaConsumer:
    """A client that reads without a group; not started."""
    from worker.consumers import kafka_consumer
    from worker.security import client_options

    return kafka_consumer(
        **client_options(settings),
        isolation_level="read_committed" if settings.read_committed else "read_uncommitted",
    )


def show_review(record: ConsumerRecord, settings: Settings) -> None:
    """Print a record of the output topic."""
    if record.value is None:
        click.echo("null" if not on_terminal() else f"tombstone of {_text(record.key)}")
    elif not on_terminal():
        # A line break between the members of an object means nothing, and inside a string there can be none.
        click.echo(record.value.replace(b"\r", b" ").replace(b"\n", b" "))
    else:
        click.echo(review_of(record.value, settings))


def review_of(value: bytes, settings: Settings) -> str:
    """A classified review as a line for a terminal."""
    try:
        event = orjson.loads(value)
        result = event[settings.result_field]
        return review_line(str(result["label"]), float(result["score"]), text_of(event, settings.text_field))
    except (ValueError, KeyError, TypeError):
        return f"not a classified review: {printable(value.decode(errors='replace'), 100)}"


def text_of(event: Any, text_field: str) -> str:
    """The text of an event, or nothing where it has none."""
    for member in text_field.split("."):
        event = event.get(member) if isinstance(event, dict) else None
    return event if isinstance(event, str) else ""


def show_dead_letter(record: ConsumerRecord, settings: Settings) -> None:
    """Print a record of the dead-letter topic with its reason and where it came from."""
    letter = dead_letter_members(record)
    if on_terminal():
        reason = click.style(str(letter["reason"]), fg="red", bold=True)
        click.echo(f"{reason}  {letter['source']}  {letter['message']}  {printable(str(letter['value'] or ''), 60)}")
    else:
        click.echo(orjson.dumps(letter))


def dead_letter_members(record: ConsumerRecord) -> dict[str, Any]:
    """A dead letter in words: reason, stage, message, source, and the original key, value and headers as text."""
    from worker.delivery import dead_letters as names

    headers = {name: _text(value) for name, value in record.headers}
    place = (headers.pop(name, "") for name in (names.TOPIC_HEADER, names.PARTITION_HEADER, names.OFFSET_HEADER))
    own_time = headers.pop(names.TIMESTAMP_HEADER, None)
    return {
        "reason": headers.pop(names.REASON_HEADER, None),
        "stage": headers.pop(names.STAGE_HEADER, None),
        "exception": headers.pop(names.EXCEPTION_HEADER, None),
        "message": headers.pop(names.MESSAGE_HEADER, None),
        "source": "/".join(part or "" for part in place),
        **({} if own_time is None else {"timestamp": own_time}),
        "key": _text(record.key),
        "value": _text(record.value),
        "headers": headers,
    }


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")
