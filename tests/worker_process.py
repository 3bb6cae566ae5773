"""A worker as a process of its own, for tests: started, asked, signalled, and always killed at the end.

Its log goes to a file; `Workers.close` prints the logs, which pytest shows for a test that failed.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from conftest import FOREIGN_VARIABLES, TopicNames
from metric_samples import samples_of

REPOSITORY = Path(__file__).parents[1]
CONSOLE_SCRIPT = Path(sys.executable).parent / "reviews-worker"
SPECIAL = Path(__file__).parent / "special_worker.py"
GATE_VARIABLE = "TEST_GATE"
DEADLINE_S = 120.0
POLL_S = 0.02
SHOWN_LINES = 60


async def eventually(condition: Callable[[], Any | Awaitable[Any]], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """The first true answer of `condition`; raises AssertionError that names `what` when the deadline passes."""
    until = time.monotonic() + deadline_s
    while True:
        answer = condition()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        if time.monotonic() > until:
            raise AssertionError(f"waited {deadline_s:g} s in vain for: {what}")
        await asyncio.sleep(POLL_S)


async def evenly_shared(partitions: int, *workers: WorkerProcess) -> None:
    """Wait until the partitions are shared out evenly among these workers."""

    async def even() -> bool:
        return all([await worker.metric("assigned_partitions") == partitions / len(workers) for worker in workers])

    await eventually(even, f"{len(workers)} workers have {partitions / len(workers):g} partitions each")


@dataclass(frozen=True)
class Gate:
    """A file that lets the model ``gated`` answer while it exists; closed at first."""

    file: Path

    @property
    def variables(self) -> dict[str, str]:
        """What its worker needs in its environment."""
        return {GATE_VARIABLE: str(self.file)}

    def open(self) -> None:
        """Let it answer."""
        self.file.touch()


@dataclass(frozen=True)
class LogLine:
    """One line of a worker's log; a line that is not JSON has the level ``TEXT``."""

    level: str
    logger: str
    message: str
    fields: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """All of its members."""


@dataclass
class WorkerProcess:
    """One process."""

    process: subprocess.Popen[bytes]
    log_file: Path
    settings: dict[str, str]
    _url: str = field(default="", init=False)

    # --- its log ----------------------------------------------------------------------------------------------------

    @property
    def output(self) -> str:
        """All that it wrote, to standard output or standard error."""
        return self.log_file.read_text(errors="replace")

    @property
    def log(self) -> list[LogLine]:
        """Its log, line by line."""
        return [_parsed(line) for line in self.output.splitlines() if line.strip()]

    def said(self, *parts: str) -> list[LogLine]:
        """The lines whose message has all of `parts`."""
        return [line for line in self.log if all(part in line.message for part in parts)]

    async def says(self, *parts: str, deadline_s: float = DEADLINE_S) -> LogLine:
        """Wait for a line whose message has all of `parts`."""
        lines = await eventually(lambda: self.said(*parts), f"the log says {' ... '.join(parts)!r}", deadline_s)
        return lines[0]

    @property
    def errors(self) -> list[str]:
        """Lines for a person that are not part of the log: what the command line prints."""
        return [line.message for line in self.log if line.level == "TEXT"]

    # --- its port ---------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where it answers; empty as long as it has not said so."""
        if not self._url:
            line = next(iter(self.said("health and metrics on ")), None)
            self._url = line.message.rpartition(" ")[2] if line else ""
        return self._url

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body of an HTTP answer; status 0 when nobody answers."""
        if not self.url:
            return 0, "no port yet"
        try:
            async with aiohttp.ClientSession() as session, session.get(self.url + path) as answer:
                return answer.status, await answer.text()
        except aiohttp.ClientError as error:
            return 0, str(error)

    async def ready(self, deadline_s: float = DEADLINE_S) -> WorkerProcess:
        """Wait until ``/readyz`` answers 200; raises AssertionError when it ends first."""

        async def is_ready() -> bool:
            assert self.process.poll() is None, f"the worker ended with {self.process.returncode}:\n{self.shown()}"
            return (await self.get("/readyz"))[0] == 200

        await eventually(is_ready, f"worker {self.process.pid} is ready", deadline_s)
        return self

    async def metrics(self) -> dict[str, float]:
        """All samples, by name without the prefix and with labels as in ``dead_letters_total{reason=not_json}``."""
        status, text = await self.get("/metrics")
        assert status == 200, text
        return samples_of(text)

    async def metric(self, name: str) -> float:
        """One sample; 0 when there is none yet."""
        return (await self.metrics()).get(name, 0.0)

    async def reaches(self, name: str, value: float, deadline_s: float = DEADLINE_S) -> None:
        """Wait until a metric is `value` or more."""

        async def reached() -> bool:
            return await self.metric(name) >= value

        await eventually(reached, f"{name} >= {value:g}", deadline_s)

    # --- what it takes ----------------------------------------------------------------------------------------------

    def memory_mib(self) -> float:
        """Its memory now (resident)."""
        return self._memory_mib("VmRSS")

    def peak_memory_mib(self) -> float:
        """The most memory that it has had so far."""
        return self._memory_mib("VmHWM")

    def open_files(self) -> int:
        """Files and connections that it has open now."""
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/fd").iterdir())

    def _memory_mib(self, name: str) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name)) / 1024

    # --- its life ---------------------------------------------------------------------------------------------------

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    async def ended(self, deadline_s: float = DEADLINE_S) -> int:
        """Wait for its end; answers the exit code, below zero for a signal."""
        await eventually(lambda: self.process.poll() is not None, f"worker {self.process.pid} ends", deadline_s)
        return self.process.returncode

    async def stopped(self, deadline_s: float = DEADLINE_S) -> int:
        """SIGTERM, and wait for its end."""
        self.send(signal.SIGTERM)
        return await self.ended(deadline_s)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.process.kill()
        self.process.wait()

    def shown(self) -> str:
        """Its log's end, for a person."""
        lines = self.output.splitlines()
        left_out = [f"({len(lines) - SHOWN_LINES} lines before)"] if len(lines) > SHOWN_LINES else []
        state = "killed at the end" if self.process.returncode is None else f"exit code {self.process.returncode}"
        return "\n".join((f"--- worker {self.process.pid}, {state}", *left_out, *lines[-SHOWN_LINES:]))


@dataclass
class Workers:
    """Starts workers for one test, all with its topics and its group."""

    names: TopicNames
    folder: Path
    started: list[WorkerProcess] = field(default_factory=list)

    def start(
        self,
        servers: str | None,
        *,
        special: str | None = None,
        program: Path = SPECIAL,
        variables: Mapping[str, str] | None = None,
        **settings: object,
    ) -> WorkerProcess:
        """Start a worker: the console script, or `special_worker.py` with the named model.

        `program` takes the place of `special_worker.py`; `settings` that are None are left out; `variables`
        come into its environment as they are.
        """
        command = [sys.executable, str(program), special] if special else [str(CONSOLE_SCRIPT), "run"]
        given = {
            "bootstrap_servers": servers,
            "input_topic": self.names.input,
            "output_topic": self.names.output,
            "dead_letter_topic": self.names.dead_letters,
            "group": self.names.group,
            "topic_partitions": 2,
            "port": 0,
            "commit_interval_s": 0.2,
            **settings,
        }
        chosen = {name: str(value) for name, value in given.items() if value is not None}
        environment = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_VARIABLES)}
        environment |= {f"REVIEWS_WORKER_{name.upper()}": value for name, value in chosen.items()}
        environment |= {"PYTHONUNBUFFERED": "1", **(variables or {})}
        log_file = self.folder / f"worker-{len(self.started) + 1}.log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        worker = WorkerProcess(process, log_file, chosen)
        self.started.append(worker)
        return worker

    def kill_all(self) -> None:
        """Kill all that still run."""
        for worker in self.started:
            worker.kill()

    def close(self, *, show: bool = True) -> None:
        """Kill all that still run, and print every log."""
        for worker in self.started:
            running = worker.process.poll() is None
            if running:
                worker.process.kill()
            if show:
                print(worker.shown())
            worker.process.wait()


@contextmanager
def workers_for(names: TopicNames, folder: Path, *, show: bool = True) -> Iterator[Workers]:
    """Workers that are all gone when the block ends; `show` prints their logs then."""
    workers = Workers(names, folder)
    try:
        yield workers
    finally:
        workers.close(show=show)


def _parsed(line: str) -> LogLine:
    try:
        members = json.loads(line)
        return LogLine(members["level"], members["logger"], members["message"], members)
    except (ValueError, KeyError, TypeError):
        return LogLine("TEXT", "", line)
