"""The flow of the demo: a Kafka, a worker, reviews in, results out, and everything stopped again."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click
import orjson

from worker.called import how_called
from worker.cli.demo.display import Show, Shown, review_display
from worker.cli.demo.events import BROKEN_EVENTS, built_in_reviews, reviews
from worker.cli.demo.process import WorkerProcess, worker_process
from worker.cli.described import described_settings
from worker.cli.interrupts import run_async
from worker.cli.options import SettingsCommand, read_settings, setting_options
from worker.cli.terminal import on_terminal
from worker.errors import FatalError
from worker.logs import configure_logging
from worker.settings import SecuritySettings, Settings

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

    from worker.devkafka import Cluster

SILENCE_S = 60.0
"""Without a result for so long the demo gives up."""

PACE_S, LONGEST_S = 0.4, 20.0
"""On a terminal a review is sent so often that a person can follow, and all of them within the longest time."""
READY_POLL_S = 0.1

_OWN_NAMES = ("group", "input_topic", "output_topic", "dead_letter_topic")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo measured."""

    reviews: int
    dead_letters: int
    first_s: float
    """From starting the worker to the first result."""
    all_s: float
    """From starting the worker to the last result."""
    pace_s: float
    """Between two reviews that were sent; 0 for all at once."""


@click.command(cls=SettingsCommand)
@click.option("--count", type=click.IntRange(min=1), help="Produce so many reviews, repeating them with variations.")
@click.option("--keep", is_flag=True, help="Leave Kafka and the worker running until Ctrl-C, and say how to use them.")
@setting_options("model", "provider")
@click.pass_context
def command(context: click.Context, count: int | None, keep: bool) -> None:
    """Show all of it at once, on this machine.

    Starts a real Kafka and a worker, produces built-in reviews, and prints each as it is classified.

    Uses the Kafka in KAFKA_BOOTSTRAP_SERVERS where that is set, with topics of its own; otherwise one in Docker, or one
    that is downloaded once and run here. Stops what it started.
    """
    settings = read_settings(context)
    configure_logging("CRITICAL", "human")
    with _stopped_by_sigterm():
        _demo(settings, count or len(built_in_reviews()), keep=keep)


def _kafka(settings: Settings) -> AbstractContextManager[Cluster]:
    from worker.devkafka import kafka_cluster
    from worker.security import client_options

    return kafka_cluster(client_options=client_options(settings), say=_say)


def _demo(settings: Settings, count: int, *, keep: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="reviews-demo-") as folder, _kafka(settings) as cluster:
        foreign = cluster.kind == "configured"
        chosen = settings.model_copy(
            update={
                "bootstrap_servers": cluster.bootstrap_servers,
                "host": "127.0.0.1",
                "port": _free_port(),
                **(_own_names() if foreign else _no_security()),
            }
        )
        log = Path(folder) / "worker.log"
        _say(f"starting a worker; its log is {log}")
        try:
            with worker_process(chosen, log) as worker:
                outcome = run_async(_produce_and_watch(chosen, worker, count))
                _summarise(outcome, worker)
                if keep:
                    _keep(chosen, worker)
                click.echo(f"to go on by hand: {how_called()} demo --keep")
                _say("stopping the worker and Kafka")
        finally:
            if foreign:
                run_async(_delete_topics(chosen))


async def _produce_and_watch(settings: Settings, worker: WorkerProcess, count: int) -> Outcome:
    from worker.cli.consume import records
    from worker.topics import ensure_topics

    began = time.monotonic()
    await ensure_topics(settings)
    pace_s = min(PACE_S, LONGEST_S / count) if on_terminal() else 0.0
    producing = asyncio.create_task(_produce(settings, worker, count, pace_s))
    try:
        with review_display(count) as show:
            first, last = await _watch(settings, worker, count, show)
    except BaseException:
        producing.cancel()
        raise
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await producing
    click.echo(f"\n{len(BROKEN_EVENTS)} events could not be classified and are kept on {settings.dead_letter_topic}:")
    dead = 0
    letters = records(settings, settings.dead_letter_topic, from_beginning=True, timeout_s=SILENCE_S)
    async with contextlib.aclosing(letters):
        async for record in letters:
            _show_dead_letter(record)
            dead += 1
            if dead == len(BROKEN_EVENTS):
                break
    return Outcome(count, dead, first - began, last - began, pace_s)


async def _watch(settings: Settings, worker: WorkerProcess, count: int, show: Show) -> tuple[float, float]:
    """Show `count` results; answers when the first and the last came, in monotonic seconds."""
    from worker.cli.consume import records

    moments: list[float] = []
    results = records(
        settings, settings.output_topic, from_beginning=True, timeout_s=SILENCE_S, on_poll=worker.check_alive
    )
    async with contextlib.aclosing(results):
        async for record in results:
            moments.append(time.monotonic())
            show(_shown(record, settings))
            if len(moments) == count:
                return moments[0], moments[-1]
    raise FatalError(f"no result for {SILENCE_S:g} s, after {len(moments)} of {count} reviews")


async def _produce(settings: Settings, worker: WorkerProcess, count: int, pace_s: float) -> None:
    """All at once, or one after the other as soon as the worker is ready to classify each when it comes."""
    from aiokafka import AIOKafkaProducer

    from worker.cli.kafka import started
    from worker.security import client_options

    while pace_s and not await asyncio.to_thread(worker.is_ready):  # noqa: ASYNC110 - another process is asked
        await asyncio.sleep(READY_POLL_S)
    producer = AIOKafkaProducer(**client_options(settings), acks="all", enable_idempotence=True, linger_ms=20)
    async with started(producer, settings):
        for key, value in (*BROKEN_EVENTS, *reviews(count)):
            await producer.send(settings.input_topic, value, key)
            await asyncio.sleep(pace_s)


def _shown(record: ConsumerRecord, settings: Settings) -> Shown:
    from worker.cli.consume import text_of

    event = orjson.loads(record.value)
    result = event[settings.result_field]
    return Shown(result["label"], result["score"], text_of(event, settings.text_field))


def _show_dead_letter(record: ConsumerRecord) -> None:
    from worker.cli.consume import dead_letter_members

    letter = dead_letter_members(record)
    click.echo(f"  {click.style(str(letter['reason']), fg='red')}  {letter['source']}  {letter['message']}")


def _summarise(outcome: Outcome, worker: WorkerProcess) -> None:
    click.echo(
        f"\n{outcome.reviews} reviews classified and {outcome.dead_letters} dead letters; the first result"
        f" {outcome.first_s:.1f} s after the worker was started, the last after {outcome.all_s:.1f} s"
    )
    if outcome.pace_s:
        click.echo(f"a review was sent every {outcome.pace_s:.2g} s, for people to follow")
    metrics = worker.metrics()
    computing_s = metrics.get("reviews_worker_inference_seconds_sum", 0.0)
    if computing_s > 0:
        rate = metrics["reviews_worker_batch_reviews_sum"] / computing_s
        click.echo(f"the model computed for {computing_s:.2f} s: {rate:,.0f} reviews/s")


def _keep(settings: Settings, worker: WorkerProcess) -> None:
    """Say how to use what runs, and wait for Ctrl-C."""
    click.echo("\nKafka and the worker keep running until Ctrl-C. In another terminal, in this folder:\n")
    program = how_called()
    for line in (
        f"export KAFKA_BOOTSTRAP_SERVERS={settings.bootstrap_servers}",
        *(f"export {name}={value}" for name, value in _topic_variables(settings)),
        f'{program} produce --text "The plot is thin, but what a cast!"',
        f"{program} consume --from-beginning",
        f"{program} consume --from-beginning --dead-letters --timeout 3",
        f"{program} topics",
        f"curl {worker.url}/readyz {worker.url}/metrics",
    ):
        click.echo(f"    {line}")
    click.echo("")
    try:
        while True:
            worker.check_alive()
            time.sleep(1)
    finally:
        _say("stopping the worker and Kafka")


def _topic_variables(settings: Settings) -> Iterator[tuple[str, str]]:
    """Variables for topics that are not called as the worker would call them."""
    for setting in described_settings():
        value = getattr(settings, setting.name)
        if setting.name in _OWN_NAMES and str(value) != setting.default:
            yield setting.variables[0], value


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _own_names() -> dict[str, str]:
    """Names that nothing else uses on somebody's Kafka."""
    prefix = f"demo-{uuid.uuid4().hex[:8]}"
    return {name: f"{prefix}.{name.removesuffix('_topic')}" for name in _OWN_NAMES}


def _no_security() -> dict[str, object]:
    """A Kafka that is started here asks for none, whatever is set."""
    return {name: SecuritySettings.model_fields[name].default for name in SecuritySettings.model_fields}


async def _delete_topics(settings: Settings) -> None:
    from worker.cli.kafka import reachable_admin

    async with reachable_admin(settings) as admin:
        await admin.client.delete_topics([settings.input_topic, settings.output_topic, settings.dead_letter_topic])


@contextlib.contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does, so that what it started is stopped."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(line: str) -> None:
    click.echo(click.style(line, dim=True), err=True)
