"""``reviews-worker check``: whether the worker would run here."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

import click

from worker.cli.interrupts import run_async
from worker.cli.options import SettingsCommand, read_settings, setting_options
from worker.errors import BrokerError, ExitCode, UsageError, WorkerError
from worker.logs import configure_logging
from worker.settings import Settings

_NEEDS = dict.fromkeys(("group", "topics", "files"), ("security", "broker")) | {"broker": ("security",)}
"""Checks that others have to come before."""

GROUP_TRIES, GROUP_PAUSE_S = 20, 0.5

Check = Callable[[Settings], str]
"""Answers what was found, in words; raises `WorkerError` with the remedy."""


@click.command(cls=SettingsCommand)
@setting_options()
@click.pass_context
def command(context: click.Context) -> None:
    """Check whether the worker would run here.

    Looks at settings, security, broker, group, topics, files, artifact, provider, port, a line each; changes nothing.

    Takes the options of `run`. Exits with 11 when a check fails.
    """
    try:
        settings = read_settings(context)
    except UsageError as error:
        for line in str(error).splitlines():
            _say("settings", line, failed=True)
        context.exit(int(ExitCode.CHECK_FAILED))
    configure_logging("CRITICAL", "human")
    _say("settings", "all values are allowed")
    failed: list[str] = []
    for name, check in _checks(settings):
        if lacking := next((other for other in _NEEDS.get(name, ()) if other in failed), None):
            _say(name, f"cannot be looked up without the {lacking}", failed=True)
        elif not _passes(name, check, settings):
            failed.append(name)
    if failed:
        context.exit(int(ExitCode.CHECK_FAILED))


def _checks(settings: Settings) -> tuple[tuple[str, Check], ...]:
    return (
        *((("tracing", _tracing),) if settings.tracing else ()),
        ("security", _security),
        ("broker", _broker),
        ("group", _group),
        ("topics", _topics),
        ("files", _files),
        ("artifact", _artifact),
        ("provider", _provider),
        ("port", _port),
    )


def _passes(name: str, check: Check, settings: Settings) -> bool:
    try:
        _say(name, check(settings))
    except WorkerError as error:
        _say(name, str(error), failed=True)
        return False
    return True


def _say(name: str, text: str, *, failed: bool = False) -> None:
    verdict = click.style("failed", fg="red", bold=True) if failed else click.style("ok", fg="green") + "    "
    click.echo(f"{verdict}  {name:<9} {text}")


def _tracing(settings: Settings) -> str:
    from worker.tracing import require_opentelemetry

    return f"OpenTelemetry {require_opentelemetry()} is installed; a collector is not asked"


def _security(settings: Settings) -> str:
    from worker.security import client_options, described

    client_options(settings)  # raises when a file will not do
    return described(settings)


def _broker(settings: Settings) -> str:
    from worker.cli.kafka import reachable_admin

    async def ask() -> int:
        async with reachable_admin(settings) as admin:
            return await admin.broker_count()

    count = run_async(ask())
    return f"{settings.bootstrap_servers} answers; the cluster has {count} broker{'' if count == 1 else 's'}"


def _group(settings: Settings) -> str:
    from worker.cli.kafka import reachable_admin

    async def ask() -> None:
        async with reachable_admin(settings) as admin:
            for _ in range(GROUP_TRIES):
                with contextlib.suppress(BrokerError):  # a cluster in which no group has ever been makes room first
                    await admin.check_group()
                    return
                await asyncio.sleep(GROUP_PAUSE_S)
            await admin.check_group()

    run_async(ask())
    return f"{settings.group} may be joined, with a session of {settings.session_timeout_s:g} s"


def _topics(settings: Settings) -> str:
    from worker.cli.kafka import reachable_admin
    from worker.errors import TopicError
    from worker.topic_specs import TopicDescription, missing_topics_message, similar_topics_remark

    names = (settings.input_topic, settings.output_topic, settings.dead_letter_topic)

    async def ask() -> tuple[dict[str, TopicDescription], list[str]]:
        async with reachable_admin(settings) as admin:
            return await admin.describe(names), await admin.names()

    found, all_names = run_async(ask())
    missing = [name for name in names if name not in found]
    if missing and not settings.create_topics:
        raise TopicError(missing_topics_message(settings, missing, found.values(), all_names))
    parts = [f"{name} ({found[name].partitions} partitions)" for name in names if name in found]
    if missing:
        similar = similar_topics_remark(settings, missing, all_names)
        parts.append(f"missing, and the worker would create: {', '.join(missing)}{similar}")
    return "; ".join(parts)


def _files(settings: Settings) -> str:
    from worker.cli.kafka import reachable_admin
    from worker.errors import ExhaustedError
    from worker.exhaustion import files_needed, raise_file_limit
    from worker.topic_specs import topic_specs

    async def ask() -> tuple[int, int]:
        async with reachable_admin(settings) as admin:
            found = await admin.describe([settings.input_topic])
            (source, *_) = topic_specs(settings, found.values())
            return source.partitions, await admin.broker_count()

    partitions, brokers = run_async(ask())
    needed = files_needed(partitions, brokers, exactly_once=settings.exactly_once)
    limit = raise_file_limit()
    if needed > limit:
        raise ExhaustedError(
            f"a worker with all {partitions} partitions needs up to {needed} files and connections, and may open"
            f" {limit}; raise the limit (ulimit -n, LimitNOFILE=, nofile of the container)"
        )
    return f"up to {needed} files and connections for all {partitions} partitions, {limit} are allowed"


def _artifact(settings: Settings) -> str:
    from worker.inference.artifact import Artifact

    artifact = Artifact.load(settings.model)
    artifact.load_tokeniser().with_overflow(settings.reading)
    return f"{artifact.identity} ({artifact.precision}, labels {', '.join(artifact.labels)}) in {artifact.path}"


def _provider(settings: Settings) -> str:
    from worker.inference.artifact import Artifact
    from worker.inference.golden import GoldenSet
    from worker.inference.session import SessionOptions, open_session

    artifact = Artifact.load(settings.model)
    session = open_session(artifact, SessionOptions.of(settings))
    session.warm_up()
    difference = GoldenSet.load(artifact.golden_path).check(artifact.load_tokeniser(), session)
    return f"{session.provider} computes what the model said when it was imported (largest difference {difference:.1g})"


def _port(settings: Settings) -> str:
    from worker.errors import PortTakenError

    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise PortTakenError(
                f"{settings.host}:{settings.port} cannot be used ({error.strerror or error}); choose another --port"
            ) from error
    return f"{settings.host}:{settings.port} is free" if settings.port else "a free one will be taken"
