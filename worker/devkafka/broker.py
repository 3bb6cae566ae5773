"""One broker as a process of ours: format, start, stop, kill, and what its log says."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from worker.devkafka.artefacts import BROKER_CLASS, FORMAT_CLASS, Artefacts
from worker.devkafka.cluster import DevKafkaError
from worker.devkafka.properties import Node
from worker.devkafka.reaper import Reaper

TAIL_LINES = 30
STOP_TIMEOUT_S = 30.0
PORT_TAKEN = ("java.net.BindException", "Address already in use")


class PortTakenError(DevKafkaError):
    """Another process took the port between picking and starting; pick others and start again."""


class Broker:
    """A broker's process and its folder, which outlives the process."""

    def __init__(self, node: Node, folder: Path, artefacts: Artefacts, reaper: Reaper) -> None:
        self.node = node
        self._folder = folder
        self._artefacts = artefacts
        self._reaper = reaper
        self._process: subprocess.Popen[bytes] | None = None
        self._temporary = folder / "tmp"
        self._temporary.mkdir(parents=True)
        self.data = folder / "data"
        self.settings_file = folder / "server.properties"
        self.log_file = folder / "broker.log"

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Number of its process, while it lives."""
        return self._process.pid if self._process is not None and self.running else None

    def format(self, cluster_id: str, voters: Sequence[Node]) -> None:
        """Prepare the data folder, once; `finish_format` waits for it."""
        self._launch(
            FORMAT_CLASS,
            "format",
            "--cluster-id",
            cluster_id,
            "--config",
            str(self.settings_file),
            "--initial-controllers",
            ",".join(node.voter for node in voters),
        )

    def finish_format(self) -> None:
        """Wait until `format` is done; raises DevKafkaError with the log when it failed."""
        if self._process is not None and self._process.wait() != 0:
            raise self.failure("could not format its data folder")
        self._gone()

    def start(self) -> None:
        """Start the process; nothing happens when it runs. Returns before the broker answers."""
        if not self.running:
            self._gone()
            self._launch(BROKER_CLASS, str(self.settings_file))

    def check(self) -> None:
        """Raises DevKafkaError, with the end of the log, when the process has ended by itself."""
        if self._process is not None and not self.running:
            raise self.failure(f"ended with exit code {self._process.returncode}")

    def stop(self) -> None:
        """SIGTERM, and wait; a broker that does not stop in time is killed."""
        if self._process is not None and self.running:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._gone()

    def kill(self) -> None:
        """SIGKILL, and wait."""
        if self._process is not None and self.running:
            self._process.kill()
        self._gone()

    def failure(self, what: str) -> DevKafkaError:
        """The error that says what happened to this broker and ends with its log."""
        tail = self.log_tail()
        error = PortTakenError if any(sign in tail for sign in PORT_TAKEN) else DevKafkaError
        return error(f"Kafka broker {self.node.id} at {self.node.address} {what}; the end of its log:\n{tail}")

    def log_tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines of its log."""
        if not self.log_file.exists():
            return "(no log)"
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:]) or "(empty)"

    def _launch(self, main_class: str, *arguments: str) -> None:
        command = self._artefacts.command(main_class, *arguments, temporary=self._temporary)
        with self.log_file.open("ab") as log:
            # A session of its own: a Ctrl-C in the terminal is for the owner, who then stops the broker.
            self._process = subprocess.Popen(
                command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._reaper.watch(self._process.pid)

    def _gone(self) -> None:
        if self._process is not None:
            self._process.wait()
            self._reaper.forget(self._process.pid)
            self._process = None
