"""Traces through the real thing: a producer's context in Kafka's headers, a worker, and a collector."""

from __future__ import annotations

from collections import defaultdict

import kafka_tools
import pytest
from kafka_tools import Message
from ledger import Ledger
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from otlp_receiver import attributes_of, otlp_receiver
from worker_process import Workers, eventually

from worker.devkafka import Cluster

TEXT = "An unforgettable xylophone solo."
REVIEWS = 30


def trace_of(number: int) -> str:
    return f"{number + 1:032x}"


def reviews() -> list[Message]:
    """Reviews with a trace of their own each, one that is not sampled, an event without a text, and a tombstone."""
    sampled = [
        Message(
            b'{"text": "%s"}' % TEXT.encode(), b"k%d" % n, [("traceparent", f"00-{trace_of(n)}-{7:016x}-01".encode())]
        )
        for n in range(REVIEWS)
    ]
    unsampled = Message(b'{"text": "quiet"}', headers=[("traceparent", f"00-{trace_of(100)}-{7:016x}-00".encode())])
    dead = Message(b'{"stars": 5}', headers=[("traceparent", f"00-{trace_of(101)}-{7:016x}-01".encode())])
    tombstone = Message(None, b"gone", [("traceparent", f"00-{trace_of(102)}-{7:016x}-01".encode())])
    return [*sampled, unsampled, dead, tombstone]


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_a_trace_goes_from_the_producer_through_the_worker(
    kafka: Cluster, workers: Workers, ledger: Ledger, guarantee: str
) -> None:
    servers = kafka.bootstrap_servers
    with otlp_receiver() as receiver:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
        worker = workers.start(servers, tracing=True, processing_guarantee=guarantee, variables=variables)
        await worker.ready()
        await ledger.produce(servers, reviews())
        await ledger.settled(servers)
        outputs, dead_letters = await ledger.outputs(servers)
        assert await worker.stopped() == 0  # which sends what is left

    spans = {span.trace_id.hex(): span for span in receiver.spans(f"process {workers.names.input}")}
    children: dict[bytes, list[Span]] = defaultdict(list)
    for span in receiver.spans():
        children[span.parent_span_id].append(span)
    assert spans.keys() == {trace_of(number) for number in (*range(REVIEWS), 101, 102)}
    for record in (*outputs, *dead_letters):
        (context,) = (value.decode() for name, value in record.headers if name == "traceparent")
        _, trace, parent, flags = context.split("-")
        if trace == trace_of(100):
            assert (flags, parent == f"{7:016x}") == ("00", False)
            continue
        span = spans[trace]
        assert (parent, flags) == (span.span_id.hex(), "01")
        assert span.parent_span_id.hex() == f"{7:016x}"
        stages = {child.name.split()[0] for child in children[span.span_id]}
        attributes = attributes_of(span.attributes)
        expected = {"prepare", "queue", "inference", "send"}
        assert stages == (expected if attributes["reviews_worker.outcome"] == "classified" else {"prepare", "send"})
        assert attributes["messaging.consumer.group.name"] == workers.names.group
        for child in children[span.span_id]:
            assert span.start_time_unix_nano <= child.start_time_unix_nano
            assert child.end_time_unix_nano <= span.end_time_unix_nano
    assert not [request for request in receiver.requests if b"xylophone" in request.SerializeToString()]
    assert "xylophone" not in worker.output


async def test_a_collector_that_is_away_or_refuses_does_not_matter(
    kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers = kafka.bootstrap_servers
    with otlp_receiver() as receiver:
        gone = receiver.url
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": gone, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    worker = await workers.start(servers, tracing=True, variables=variables).ready()
    await ledger.produce(servers, reviews())
    await ledger.settled(servers)
    await eventually(lambda: worker.said("encountered while exporting spans batch"), "the exporter has tried")
    assert await worker.stopped() == 0
    assert await kafka_tools.committed_offsets(servers, workers.names.group)


async def test_without_tracing_headers_pass_through_as_they_came(
    kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers = kafka.bootstrap_servers
    with otlp_receiver() as receiver:
        worker = workers.start(servers, variables={"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url})
        await worker.ready()
        await ledger.produce(servers, reviews())
        await ledger.settled(servers)
        outputs, dead_letters = await ledger.outputs(servers)
        assert await worker.stopped() == 0
        assert receiver.requests == []
    for record in (*outputs, *dead_letters):
        (context,) = (value for name, value in record.headers if name == "traceparent")
        assert context.decode().split("-")[2] == f"{7:016x}"
    ledger.judge(outputs, dead_letters).check()
