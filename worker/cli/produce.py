"""``reviews-worker produce``: put reviews on the input topic."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click
import orjson

from worker.called import how_called
from worker.cli.interrupts import run_async
from worker.cli.lines import binary_stdin, in_groups_async, names_a_file
from worker.cli.options import KAFKA_OPTIONS, TOPIC_OPTIONS, SettingsCommand, read_settings, setting_options
from worker.cli.terminal import rich_console
from worker.errors import DeliveryError, UsageError
from worker.events import is_blank, type_name
from worker.logs import configure_logging
from worker.settings import Settings

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer, ConsumerRecord

MAX_GROUP_EVENTS = 2000
_LINES_PER_UPDATE = 200
_JSON_LINES = (".jsonl", ".ndjson", ".json")

Event = tuple[bytes | None, bytes]
"""Key and value."""
Advance = Callable[[int], None]
"""Told how many bytes of the source have been read so far."""


@click.command(cls=SettingsCommand)
@click.argument(
    "source", required=False, type=click.Path(exists=True, dir_okay=False, allow_dash=True), metavar="[FILE]"
)
@click.option("--text", help="Produce one review with this text instead of a file.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="With --text: wait so long for its result, and print it.",
)
@setting_options(*KAFKA_OPTIONS, *TOPIC_OPTIONS, "text_field", "result_field", "read_committed", "compression")
@click.pass_context
def command(context: click.Context, source: str | None, text: str | None, wait_s: float | None) -> None:
    """Put reviews on the input topic.

    Each line of FILE (JSON lines, also .gz; "-" is stdin) becomes one event.

    The key is the event's review_id, where it has one. Blank lines are left out; a line that is no JSON object ends the
    command, and what came before it has been produced.

    Exits with 11 when --wait gets no classified review.
    """
    settings = read_settings(context)
    configure_logging("WARNING", "human")
    if (source is None) == (text is None):
        raise UsageError('give a FILE, "-" for stdin, or --text "I really liked that movie!"')
    if text is None and wait_s is not None:
        raise UsageError("--wait goes with --text")
    if text is not None:
        if is_blank(text):
            raise UsageError("--text is blank")
        if names_a_file(text):
            raise UsageError(_is_a_file(text))
        event = _event_of(text, settings.text_field)
        if wait_s is not None:
            from worker.cli.consume import show_review

            show_review(run_async(_send_through(settings, event, wait_s)), settings)
            return
        count = run_async(_produce(settings, iter([(None, event)])))
    else:
        with _open(str(source)) as (lines, advance):
            count = run_async(_produce(settings, _events(lines, str(source), advance)))
    click.echo(f"produced {count} event{'' if count == 1 else 's'} to {settings.input_topic}", err=True)


def _is_a_file(name: str) -> str:
    quoted = shlex.quote(name)
    if name.removesuffix(".gz").endswith(_JSON_LINES):
        return f"--text {quoted} is a file; its lines are produced by: {how_called()} produce {quoted}"
    return f"--text {quoted} is a file, and --text is a review; FILE is for JSON lines, an object with a review each"


async def _produce(settings: Settings, events: Iterator[Event]) -> int:
    """Send `events` in order; answers how many the broker has acknowledged."""
    from worker.cli.kafka import existing_topics, started

    await existing_topics(settings, settings.input_topic)
    async with started(_producer(settings), settings) as producer:
        return await _send_all(producer, settings.input_topic, events)


async def _send_through(settings: Settings, value: bytes, wait_s: float) -> ConsumerRecord:
    """Send one event and wait for what it becomes; raises `UnansweredError` where that is no classified review."""
    from aiokafka.errors import KafkaError

    from worker.cli.awaited import results_from_now
    from worker.cli.kafka import existing_topics, started
    from worker.security import lacking

    found = await existing_topics(settings, settings.input_topic, settings.output_topic, settings.dead_letter_topic)
    async with (
        results_from_now(settings, found.values()) as results,
        started(_producer(settings), settings) as producer,
    ):
        try:
            sent = await producer.send_and_wait(settings.input_topic, value)
        except KafkaError as error:
            raise lacking(error, topic=settings.input_topic) or DeliveryError(
                f"{settings.input_topic}: the broker did not take the event ({error})"
            ) from error
        return await results.of(f"{sent.topic}/{sent.partition}/{sent.offset}", wait_s)


def _producer(settings: Settings) -> AIOKafkaProducer:
    from aiokafka import AIOKafkaProducer

    from worker.security import client_options

    return AIOKafkaProducer(
        **client_options(settings),
        acks="all",
        enable_idempotence=True,
        linger_ms=20,
        max_request_size=settings.max_output_bytes,
        compression_type=None if settings.compression == "none" else settings.compression,
    )


async def _send_all(producer: AIOKafkaProducer, topic: str, events: Iterator[Event]) -> int:
    from aiokafka.errors import KafkaError

    from worker.security import lacking

    count = 0
    try:
        async for group in in_groups_async(events, MAX_GROUP_EVENTS):
            waiting = [await producer.send(topic, value, key) for key, value in group]
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            count += sum(not isinstance(outcome, BaseException) for outcome in outcomes)
            for failure in (outcome for outcome in outcomes if isinstance(outcome, BaseException)):
                raise failure
    except KafkaError as error:
        raise lacking(error, topic=topic) or DeliveryError(
            f"{topic}: the broker took {count} events and then failed ({error})"
        ) from error
    except UsageError as error:
        raise UsageError(f"{error}; produced before it: {count}") from None
    return count


def _events(lines: Iterator[bytes], name: str, advance: Advance) -> Iterator[Event]:
    """The events of JSON lines; raises `UsageError` that names the first line that is no event."""
    read = 0
    for number, line in enumerate(lines, 1):
        read += len(line)
        if number % _LINES_PER_UPDATE == 0:
            advance(read)
        if value := line.strip():
            yield _key(value, f"{'stdin' if name == '-' else name}:{number}"), value
    advance(read)


def _key(value: bytes, place: str) -> bytes | None:
    try:
        event = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{place}: not JSON ({error})") from None
    if not isinstance(event, dict):
        raise UsageError(f"{place}: not a JSON object but {type_name(event)}")
    review_id = event.get("review_id")
    return None if review_id is None or isinstance(review_id, bool) else str(review_id).encode()


def _event_of(text: str, text_field: str) -> bytes:
    """An event that holds `text` where `text_field` says, dots going into nested objects."""
    event: Any = text
    for member in reversed(text_field.split(".")):
        event = {member: event}
    return orjson.dumps(event)


@contextlib.contextmanager
def _open(source: str) -> Iterator[tuple[Iterator[bytes], Advance]]:
    """The lines of a file or of stdin, and where to tell how far they have been read: a progress bar on a terminal."""
    console = rich_console(stderr=True)
    if source == "-":
        yield binary_stdin(), lambda read: None
        return
    path = Path(source)
    with path.open("rb") as raw:
        unpacked = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
        if console is None:
            yield _readable(unpacked, source), lambda read: None
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

        bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TransferSpeedColumn(), TimeRemainingColumn(), console=console
        )
        with bar:
            task = bar.add_task(path.name, total=path.stat().st_size)
            yield _readable(unpacked, source), lambda read: bar.update(task, completed=_position(raw, path, read))


def _position(raw: BinaryIO, path: Path, read: int) -> int:
    return raw.tell() if path.suffix == ".gz" else read


def _readable(lines: Iterable[bytes], name: str) -> Iterator[bytes]:
    try:
        yield from lines
    except (OSError, EOFError) as error:
        raise UsageError(f"{name}: cannot be read ({error})") from None
