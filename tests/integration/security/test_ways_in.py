"""A worker, and the commands for people, by each way in; with no right that docs/security.md does not name."""

from __future__ import annotations

import pytest
from conftest import TopicNames
from kafka_access import Access, Settings, review, start
from kafka_rights import needed
from ledger import Ledger
from oauth_tokens import TokenEndpoint
from secured_kafka import PASSWORD, USER, SecuredKafka
from worker_process import Workers

from worker import settings as worker_settings
from worker.devkafka import kafka_cluster
from worker.errors import ExitCode
from worker.kafka.security import client_options

REVIEWS = 40


async def classifies(secured: SecuredKafka, workers: Workers, ledger: Ledger, settings: Settings) -> str:
    """Let a worker classify some reviews, and stop; answers all that it wrote."""
    worker = await start(workers, settings).ready()
    await ledger.produce(secured.servers, [review(number) for number in range(REVIEWS)])
    (await ledger.settled(secured.servers)).check()
    assert await worker.stopped() == ExitCode.OK
    assert not [line for line in worker.log if line.level in ("ERROR", "CRITICAL", "TEXT")]
    return worker.output


@pytest.mark.parametrize(
    ("way", "guarantee"),
    [
        ("PLAIN", "exactly_once"),
        ("SCRAM-SHA-256", "at_least_once"),
        ("SCRAM-SHA-512", "exactly_once"),
        ("a token in a file", "exactly_once"),
        ("a token end point", "at_least_once"),
        ("a certificate", "exactly_once"),
        ("a certificate with an encrypted key", "at_least_once"),
    ],
)
async def test_a_worker_classifies_by(
    way: str,
    guarantee: str,
    secured: SecuredKafka,
    workers: Workers,
    ledger: Ledger,
    topics: TopicNames,
    access: Access,
    user: str,
    endpoint: TokenEndpoint,
) -> None:
    password = f"a password of {user}"
    match way:
        case "PLAIN":
            user, password, settings = USER, PASSWORD, access.plain()
        case "SCRAM-SHA-256" | "SCRAM-SHA-512":
            await secured.set_password(user, password)
            settings = access.scram(way, user, password)
        case "a token in a file":
            settings = access.token(user)
            password = settings["oauth_token_file"].read_text().strip()
        case "a token end point":
            settings = access.endpoint(endpoint)
            password = endpoint.client_secret
        case "a certificate":
            settings = access.mutual(user)
        case _:
            settings = access.mutual(user, password)
    await secured.allow(user, needed(topics, guarantee))
    said = await classifies(secured, workers, ledger, {**settings, "processing_guarantee": guarantee})
    assert f": {settings['security_protocol']}, " in said  # how it connects
    assert password not in said
    if way == "a token end point":
        assert endpoint.requests == [{"grant_type": "client_credentials", "scope": "kafka"}]  # for all its clients


async def test_a_configured_kafka_may_ask_for_a_password(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    options = client_options(worker_settings.Settings(**access.plain()))
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", access.kafka.at("SASL"))
    with kafka_cluster(kind="configured", client_options=options) as cluster:
        assert cluster.bootstrap_servers == access.kafka.at("SASL")
