"""The worker of the demo: a process of its own, as in production."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from worker.cli.described import described_settings, environment_of
from worker.errors import FatalError
from worker.settings import Settings

STOP_MARGIN_S = 5.0
_TAIL_LINES = 15


class WorkerProcess:
    """A running ``reviews-worker run``."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, url: str) -> None:
        self.url = url
        """Where health and metrics are served."""
        self._process = process
        self._log = log

    def check_alive(self) -> None:
        """Raise `FatalError` with the end of its log when the process has ended."""
        code = self._process.poll()
        if code is not None:
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
            raise FatalError("\n".join([f"the worker ended with exit code {code}; its last lines were:", *lines]))

    def is_ready(self) -> bool:
        """Whether it classifies what comes."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5):  # noqa: S310 - http
                return True
        except OSError:  # nobody answers yet, or with a problem
            return False

    def metrics(self) -> dict[str, float]:
        """Samples of its metrics by name, those with labels added up; empty when it does not answer."""
        samples: dict[str, float] = {}
        address = f"{self.url}/metrics"
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310 - http
            for family in text_string_to_metric_families(answer.read().decode()):
                for sample in family.samples:
                    samples[sample.name] = samples.get(sample.name, 0.0) + sample.value
        return samples


def _environment(settings: Settings) -> dict[str, str]:
    """What is around, with these settings and no others: one that is not set must not be set by a variable."""
    variables = {variable for setting in described_settings() for variable in setting.variables}
    kept = {name: value for name, value in os.environ.items() if name.upper() not in variables}
    return kept | environment_of(settings)


@contextlib.contextmanager
def worker_process(settings: Settings, log: Path) -> Iterator[WorkerProcess]:
    """A worker with `settings` that logs to `log`; stopped in order, and killed when that takes too long."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker.cli", "run"],
            env=_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the demo, which then stops the worker in order
        )
    try:
        yield WorkerProcess(process, log, f"http://{settings.host}:{settings.port}")
    finally:
        process.terminate()
        try:
            process.wait(settings.grace_period_s + STOP_MARGIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
