"""Where spans go, what OpenTelemetry's variables change, and that a collector cannot hold the worker up."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading
from importlib.metadata import version

import pytest
from otlp_receiver import otlp_receiver
from recording_proxy import recording_proxy
from tracing_parts import KeptSpans, unexpected

from worker.clock import SystemClock
from worker.errors import ExitCode, UsageError
from worker.extras import install_command
from worker.observability.tracing import Tracing, open_tracing, require_opentelemetry
from worker.observability.tracing.spans import WAITING_REVIEWS
from worker.records import Entry, OutputRecord, Prediction, Record, TopicPartition

PARTITION = TopicPartition("reviews.in", 0)


def trace(tracing: Tracing, count: int = 1) -> None:
    """So many reviews, from intake to acknowledgement."""
    entries = [
        Entry(Record(PARTITION, offset, 1, None, b"{}", (), 1), None, False, 0.0, 0.0) for offset in range(count)
    ]
    tracing.prepared(entries, 0.0, 0.0)
    for entry in entries:
        entry.outcome = Prediction((0.25, 0.75), 2, truncated=False)
    outputs = [OutputRecord("reviews.classified", 0, None, b"{}", tracing.headers(entry), 1) for entry in entries]
    tracing.published(list(zip(outputs, entries, strict=True)))


def test_spans_reach_the_collector_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    with otlp_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        tracing = open_tracing("group", SystemClock(), unexpected)
        trace(tracing, 3)
        tracing.close(30.0)
        assert len(receiver.spans("process reviews.in")) == 3
        assert len(receiver.spans("send reviews.classified")) == 3
        (resource,) = receiver.resources()
        assert resource["service.name"] == "reviews-worker"
        assert {"service.version", "telemetry.sdk.name"} <= resource.keys()


def test_the_environment_names_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    with otlp_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        tracing = open_tracing("group", SystemClock(), unexpected)
        trace(tracing)
        tracing.close(30.0)
        (resource,) = receiver.resources()
        assert (resource["service.name"], resource["deployment.environment.name"]) == ("mine", "test")


@pytest.mark.parametrize(("variable", "value"), [("OTEL_TRACES_SAMPLER", "always_off"), ("OTEL_SDK_DISABLED", "true")])
def test_the_environment_may_switch_it_off(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    with otlp_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        monkeypatch.setenv(variable, value)
        tracing = open_tracing("group", SystemClock(), unexpected)
        trace(tracing)
        tracing.close(30.0)
        assert receiver.requests == []


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("no_proxy", ["", "collector.example"])
def test_a_collector_elsewhere_is_reached_through_the_usual_proxy(
    monkeypatch: pytest.MonkeyPatch, variable: str, no_proxy: str
) -> None:
    with recording_proxy() as proxy:
        for name in proxy.variables:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(variable, proxy.url)
        monkeypatch.setenv("no_proxy", no_proxy)
        # Its own name: what an export of the test before still tries is not taken for one of this.
        host = f"{variable.lower()[:4]}-{variable.isupper()}-{bool(no_proxy)}.collector.example".lower()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{host}:4318")
        tracing = open_tracing("group", SystemClock(), unexpected)
        trace(tracing)
        tracing.close(0.5)
        ours = [request for request in proxy.requests if host in request]
        assert ours[:1] == ([] if no_proxy else [f"POST http://{host}:4318/v1/traces"])


def test_a_value_that_cannot_be_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    with pytest.raises(UsageError, match=r"tracing cannot start \(max_export_batch_size .*OTEL_") as caught:
        open_tracing("group", SystemClock(), unexpected)
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_collector_that_never_answers_does_not_keep_it_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600")
        tracing = open_tracing("group", SystemClock(), unexpected)
        trace(tracing, 1_000)
        tracing.close(0.5)
        connection, _ = server.accept()  # it was asked, and has not answered
        connection.close()


def test_a_collector_that_is_away_costs_spans_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free}")
    tracing = open_tracing("group", SystemClock(), unexpected)
    trace(tracing, 20_000)
    tracing.close(0.5)
    assert {record.name.split(".")[0] for record in caplog.records} <= {"opentelemetry", "urllib3", "worker"}


def test_more_reviews_than_spans_can_be_made_for_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    spans = KeptSpans()
    with caplog.at_level(logging.WARNING, logger="worker"):
        trace(spans.tracing, WAITING_REVIEWS + 1_000)
        trace(spans.tracing, WAITING_REVIEWS + 1_000)
    assert len([record for record in caplog.records if "OTEL_TRACES_SAMPLER" in record.getMessage()]) == 1
    reviews = [span for span in spans.finished() if span.name == "process reviews.in"]
    assert WAITING_REVIEWS <= len(reviews) <= 2 * (WAITING_REVIEWS + 1_000)


def test_no_thread_is_left() -> None:
    before = set(threading.enumerate())
    spans = KeptSpans()
    trace(spans.tracing)
    assert len(spans.finished()) == 3
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("command", ["run", "check"])
def test_without_the_extra_one_line_says_what_to_install(command: str) -> None:
    arguments = ["reviews-worker", command, "--tracing", "--port", "0", "--bootstrap-servers", "127.0.0.1:1"]
    code = (
        f"import sys; sys.modules['opentelemetry'] = None; sys.argv = {arguments}; from worker.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == (ExitCode.USAGE if command == "run" else ExitCode.CHECK_FAILED)
    (line,) = [line for line in (done.stdout + done.stderr).splitlines() if "OpenTelemetry" in line and line[0] != "{"]
    assert line.startswith("error: tracing is on" if command == "run" else "failed  tracing   tracing is on")
    assert line.endswith(install_command("otel"))


def test_the_check_says_that_it_is_there() -> None:
    assert require_opentelemetry() == version("opentelemetry-sdk")
