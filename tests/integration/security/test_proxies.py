"""The usual variables for a proxy change nothing about what a worker says to this machine, nor about Kafka."""

from __future__ import annotations

from conftest import TopicNames
from kafka_access import Access, review
from kafka_rights import needed
from ledger import Ledger
from oauth_tokens import TokenEndpoint, token_endpoint
from otlp_receiver import otlp_receiver
from recording_proxy import recording_proxy
from secured_kafka import SecuredKafka
from worker_process import Workers

from worker.errors import ExitCode


async def test_a_worker_with_proxies_in_its_environment(
    secured: SecuredKafka,
    workers: Workers,
    ledger: Ledger,
    topics: TopicNames,
    access: Access,
    user: str,
) -> None:
    await secured.allow(user, needed(topics, "at_least_once"))
    with recording_proxy() as proxy, otlp_receiver() as collector, token_endpoint(TokenEndpoint(user)) as endpoint:
        settings = {**access.endpoint(endpoint), "tracing": True, "create_topics": False}
        del settings["oauth_ca_file"]
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **proxy.variables, "no_proxy": "elsewhere.example"}
        worker = workers.start(str(settings.pop("bootstrap_servers")), **settings, variables=variables)
        await worker.ready()
        await ledger.produce(secured.servers, [review(number) for number in range(4)])
        await ledger.settled(secured.servers)
        assert await worker.stopped() == ExitCode.OK
        assert endpoint.requests
        assert len(collector.spans(f"process {topics.input}")) == 4
        assert not proxy.requests
