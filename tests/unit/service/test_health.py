"""The health and metrics port."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import aiohttp
import pytest
from absent import Absent

from worker.errors import ExitCode, PortTakenError, UsageError
from worker.observability.metrics import Metrics
from worker.service.health import HealthServer


@dataclass
class Health:
    """What the worker says of itself."""

    alive: list[str] = field(default_factory=list)
    ready: list[str] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)

    def server(self, host: str = "127.0.0.1", port: int = 0) -> HealthServer:
        more: dict[str, Any] = {"refresh": lambda: None} if "refresh" in signature(HealthServer).parameters else {}
        return HealthServer(
            host, port, metrics=self.metrics, alive=lambda: self.alive, ready=lambda: self.ready, **more
        )


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
async def url(health: Health) -> AsyncIterator[str]:
    server = health.server()
    yield await server.start()
    await server.stop()


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as client, client.get(url) as response:
        return response.status, await response.text()


async def test_without_problems_the_worker_is_alive_and_ready(url: str) -> None:
    assert await get(f"{url}/healthz") == (200, "ok\n")
    assert await get(f"{url}/readyz") == (200, "ok\n")


async def test_a_worker_that_is_not_ready_is_alive_all_the_same(url: str, health: Health) -> None:
    health.ready = ["the model is not warm yet"]
    assert await get(f"{url}/healthz") == (200, "ok\n")
    assert await get(f"{url}/readyz") == (503, "the model is not warm yet\n")


async def test_a_worker_that_is_not_alive_is_not_ready_and_says_everything(url: str, health: Health) -> None:
    health.alive, health.ready = ["offsets have not advanced"], ["no partitions are assigned yet"]
    assert await get(f"{url}/healthz") == (503, "offsets have not advanced\n")
    assert await get(f"{url}/readyz") == (503, "offsets have not advanced\nno partitions are assigned yet\n")


async def test_metrics_are_in_prometheus_text(url: str, health: Health) -> None:
    health.metrics.events_in.inc(3)
    status, text = await get(f"{url}/metrics")
    assert status == 200
    assert "\nreviews_worker_events_in_total 3.0\n" in text
    assert "# HELP reviews_worker_events_in_total Records taken from the input topic." in text


async def test_anything_else_is_not_found(url: str) -> None:
    assert (await get(f"{url}/"))[0] == 404


async def test_a_taken_port_is_one_clear_error(health: Health) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"port {port} on 127.0.0.1 is in use; set another --port") as caught:
            await health.server(port=port).start()
    assert caught.value.exit_code is ExitCode.PORT_TAKEN
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", ["203.0.113.7", "no.such.host.invalid"])
async def test_an_address_that_is_not_this_machines_is_one_clear_error(host: str, health: Health) -> None:
    with pytest.raises(UsageError, match=rf"cannot listen on {host}:0 \(.+\); check --host and --port") as caught:
        await health.server(host).start()
    assert "\n" not in str(caught.value)


async def test_the_port_is_free_again_after_a_stop(health: Health) -> None:
    server = health.server()
    port = int((await server.start()).rsplit(":", 1)[1])
    await server.stop()
    await server.stop()
    again = health.server(port=port)
    assert (await again.start()).endswith(f":{port}")
    await again.stop()


async def test_an_ipv6_address_gives_a_url_that_works(health: Health) -> None:
    if not socket.has_ipv6:
        Absent.IPV6.skip("this machine has none")
    server = health.server("::1")
    try:
        url = await server.start()
    except UsageError:
        Absent.IPV6.skip("the loopback interface has none")
    try:
        assert await get(f"{url}/healthz") == (200, "ok\n")
    finally:
        await server.stop()
