"""``/healthz``, ``/readyz`` and ``/metrics`` on one port."""

from __future__ import annotations

import errno
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from worker.errors import PortTakenError, UsageError
from worker.exhaustion import exhausted
from worker.metrics import Metrics

Problems = Callable[[], list[str]]


class HealthServer:
    """Answers 200 without and 503 with problems, each on a line."""

    def __init__(self, host: str, port: int, *, metrics: Metrics, alive: Problems, ready: Problems) -> None:
        self._host = host
        self._port = port
        self._metrics = metrics
        self._alive = alive
        self._ready = ready
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Listen; answers the URL. Raises PortTakenError, and UsageError for an address that is not this machine's."""
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._serve_metrics)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self.stop()
            if used_up := exhausted(error):
                raise used_up from error
            if error.errno == errno.EADDRINUSE:
                raise PortTakenError(
                    f"port {self._port} on {self._host} is in use; set another --port"
                    " (REVIEWS_WORKER_PORT), 0 takes a free one"
                ) from error
            raise UsageError(
                f"cannot listen on {self._host}:{self._port} ({error.strerror}); check --host and --port"
            ) from error
        host, port = self._runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stop listening. May be called again."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _healthz(self, _: web.Request) -> web.Response:
        return _answer(self._alive())

    async def _readyz(self, _: web.Request) -> web.Response:
        return _answer(self._alive() + self._ready())

    async def _serve_metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _answer(problems: list[str]) -> web.Response:
    if problems:
        return web.Response(status=503, text="".join(f"{problem}\n" for problem in problems))
    return web.Response(text="ok\n")
