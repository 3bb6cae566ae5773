"""The commands ``dlq`` against one set of topics, and what then lies in the topics."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from aiokafka import ConsumerRecord
from click.testing import CliRunner, Result
from conftest import FOREIGN_VARIABLES, TopicNames
from kafka_tools import Message, consume_all, create_topics, produce
from worker_process import DEADLINE_S

from worker.cli.commands import commands
from worker.devkafka import Cluster
from worker.replay.notes import notes_topic

REPOSITORY = Path(__file__).parents[1]


class DlqShell:
    """Input and dead-letter topic are created, with two partitions each."""

    def __init__(self, kafka: Cluster, names: TopicNames, *, input_config: Mapping[str, str] | None = None) -> None:
        self.servers = kafka.bootstrap_servers
        self.names = names
        self.notes = notes_topic(names.dead_letters)
        asyncio.run(create_topics(self.servers, names.input, partitions=2, config=input_config))
        asyncio.run(create_topics(self.servers, names.dead_letters, partitions=2))

    # --- the commands -----------------------------------------------------------------------------------------------

    def run(self, *arguments: str) -> Result:
        """A command in this process, as for a pipe."""
        result = CliRunner().invoke(commands, ["dlq", *arguments], env=self._variables)
        assert "Traceback" not in result.output
        return result

    def lines(self, *arguments: str) -> list[dict[str, Any]]:
        """The objects that a command prints; it has to succeed."""
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return [orjson.loads(line) for line in result.stdout.splitlines()]

    def replay(self, *arguments: str) -> dict[str, Any]:
        """The result of a replay that succeeds."""
        return self.lines("replay", *arguments)[-1]

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A command in a process of its own, stdout and stderr in one pipe."""
        return subprocess.Popen(
            self._command(arguments),
            cwd=REPOSITORY,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def on_terminal(self, *arguments: str) -> str:
        """What a command that succeeds shows on a terminal."""
        ours, theirs = pty.openpty()
        with os.fdopen(ours, "rb", buffering=0) as shown:
            process = subprocess.Popen(
                self._command(arguments), cwd=REPOSITORY, env=self._environment, stdout=theirs, stderr=theirs
            )
            os.close(theirs)
            parts = []
            try:
                while part := shown.read(65536):
                    parts.append(part)
            except OSError:  # how Linux says that the other side has closed it
                pass
            text = b"".join(parts).decode()
            assert process.wait(DEADLINE_S) == 0, text
            return text

    # --- the topics -------------------------------------------------------------------------------------------------

    def put(self, *letters: Message, **options: Any) -> None:
        """Put messages on the dead-letter topic."""
        asyncio.run(produce(self.servers, self.names.dead_letters, letters, **options))

    def sent(self, topic: str | None = None) -> list[ConsumerRecord]:
        """What was sent again: the committed records of the input topic, or of another one."""
        return asyncio.run(consume_all(self.servers, topic or self.names.input, read_committed=True))

    def there(self) -> list[ConsumerRecord]:
        """What lies on the dead-letter topic, by place."""
        records = asyncio.run(consume_all(self.servers, self.names.dead_letters))
        return sorted(records, key=lambda record: (record.partition, record.offset))

    # --- inside -----------------------------------------------------------------------------------------------------

    @property
    def _variables(self) -> dict[str, str]:
        return {
            "REVIEWS_WORKER_BOOTSTRAP_SERVERS": self.servers,
            "REVIEWS_WORKER_INPUT_TOPIC": self.names.input,
            "REVIEWS_WORKER_DEAD_LETTER_TOPIC": self.names.dead_letters,
        }

    @property
    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_VARIABLES)}
        return kept | self._variables | {"COLUMNS": "200", "NO_COLOR": "1"}

    @staticmethod
    def _command(arguments: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "worker.cli", "dlq", *arguments]
