"""Secrets that change while a worker runs, and sessions that the broker ends: the work goes on, and nothing is lost."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from conftest import TopicNames
from kafka_access import Access, review, start
from kafka_rights import Right, needed
from ledger import Ledger
from oauth_tokens import TokenEndpoint
from secured_kafka import Authority, SecuredKafka
from worker_process import WorkerProcess, Workers, eventually

from worker import settings as worker_settings
from worker.errors import AccessError, ExitCode
from worker.kafka.topics import open_admin

PER_S = 100
REFUSED = "the broker refuses"


async def refused(worker: WorkerProcess) -> None:
    """Wait until the worker says that it is not let in."""
    await worker.says("does not answer", REFUSED, "work goes on when it is back")
    assert (await worker.get("/readyz"))[0] == 503
    assert (await worker.get("/healthz"))[0] == 200


async def goes_on(worker: WorkerProcess, events: int = PER_S) -> None:
    """Wait until it has published more."""
    await worker.ready()
    published = await worker.metric("events_out_total")
    await worker.reaches("events_out_total", published + events)


async def ends_well(worker: WorkerProcess, ledger: Ledger, secured: SecuredKafka) -> None:
    """Nothing is lost or repeated, and it stops in order."""
    (await ledger.settled(secured.servers)).check()
    assert await worker.stopped() == ExitCode.OK
    assert len(worker.said("does not answer", REFUSED)) == len(worker.said("answers again"))
    assert "Traceback" not in worker.output


async def test_a_password_that_is_changed_on_one_side_and_then_on_the_other(
    secured: SecuredKafka, workers: Workers, ledger: Ledger, topics: TopicNames, access: Access, user: str
) -> None:
    await secured.set_password(user, "the old one")
    await secured.allow(user, needed(topics, "exactly_once"))
    settings = access.scram("SCRAM-SHA-512", user, "the old one", "SHORT")
    worker = await start(workers, settings, processing_guarantee="exactly_once").ready()
    async with ledger.load(secured.servers, review, per_s=PER_S):
        await goes_on(worker)
        await secured.set_password(user, "the new one")
        await refused(worker)
        access.file("password", "the new one")
        await worker.says("answers again")
        await goes_on(worker)
    await ends_well(worker, ledger, secured)
    assert len(worker.said("does not answer", REFUSED)) == 1
    assert "the old one" not in worker.output
    assert "the new one" not in worker.output


async def test_a_token_that_expires_before_it_is_renewed(
    secured: SecuredKafka, workers: Workers, ledger: Ledger, topics: TopicNames, access: Access, user: str
) -> None:
    await secured.allow(user, needed(topics, "at_least_once"))
    worker = await start(workers, access.token(user, listener="SHORT")).ready()
    async with ledger.load(secured.servers, review, per_s=PER_S):
        await goes_on(worker)
        access.token(user, -10)
        await refused(worker)
        access.token(user)
        await goes_on(worker)
    await ends_well(worker, ledger, secured)


async def test_tokens_of_an_end_point_that_live_for_seconds(
    secured: SecuredKafka,
    workers: Workers,
    ledger: Ledger,
    topics: TopicNames,
    access: Access,
    user: str,
    endpoint: TokenEndpoint,
) -> None:
    endpoint.life_s = 3
    await secured.allow(user, needed(topics, "exactly_once"))
    settings = access.endpoint(endpoint, "SHORT")
    worker = await start(workers, settings, processing_guarantee="exactly_once").ready()
    async with ledger.load(secured.servers, review, per_s=PER_S):
        await goes_on(worker)
        wanted = len(endpoint.requests) + 3
        await eventually(lambda: len(endpoint.requests) >= wanted, "three more tokens")
        await goes_on(worker)
    await ends_well(worker, ledger, secured)


async def may_describe(settings: worker_settings.Settings, topic: str) -> bool:
    """Whether a new connection is that of the user who may."""
    from worker.errors import TopicError

    async with open_admin(settings) as admin:
        try:
            await admin.describe([topic])
        except TopicError:
            return False
        return True


async def test_a_certificate_that_is_renewed_is_shown_on_new_connections(
    secured: SecuredKafka, access: Access, user: str, topics: TopicNames, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "worker")
    await secured.allow(user, [Right("topic", topics.input, "Describe")])
    certificate, key = access.folder / "tls.pem", access.folder / "tls.key"

    def place(file: Path, content: Path) -> None:
        access.file(file.name, content.read_text())

    before = secured.authority.issue("another@example.org", name="another")
    after = secured.authority.issue("worker@example.org", name=user)
    place(certificate, before[0])
    place(key, before[1])
    given = {**access.tls("MUTUAL"), "ssl_certificate_file": certificate, "ssl_key_file": key}
    settings = worker_settings.Settings(**given)
    assert not await may_describe(settings, topics.input)
    place(certificate, after[0])  # and not yet the key: the old pair is used
    assert not await may_describe(settings, topics.input)
    assert "ssl_key_file" in caplog.text and "connecting with those from before" in caplog.text
    place(key, after[1])
    assert await may_describe(settings, topics.input)
    assert "new certificates are used from here on" in caplog.text


async def test_a_ca_that_is_replaced_is_forgotten(secured: SecuredKafka, access: Access) -> None:
    ours, other = secured.authority.ca_file.read_text(), Authority(access.folder / "other").ca_file.read_text()
    settings = worker_settings.Settings(**{**access.tls(), "ssl_ca_file": access.file("ca.pem", ours)})
    async with open_admin(settings) as admin:
        assert await admin.broker_count() == 1
    access.file("ca.pem", other)
    with pytest.raises(AccessError, match="not signed by those of ssl_ca_file"):
        async with open_admin(settings):
            pass
    access.file("ca.pem", other + ours)
    async with open_admin(settings) as admin:
        assert await admin.broker_count() == 1
