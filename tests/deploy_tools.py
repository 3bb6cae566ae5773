"""The programs that tests of ``deploy/`` start, and what they say."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from absent import Absent

from worker.delivery import publisher
from worker.service import service

REPOSITORY = Path(__file__).parents[1]
TOOLS = REPOSITORY / "build" / "tools"
TIMEOUT_S = 120
AFTER_DRAIN_S = service.REVOCATION_FLUSH_S + service.LAST_COMMIT_S + service.STOP_TIMEOUT_S + publisher.STOP_TIMEOUT_S
"""What a stop takes at the longest when the grace period is over."""


@dataclass(frozen=True)
class Answer:
    """How a program ended and what it said."""

    code: int
    out: str
    errors: str

    @property
    def text(self) -> str:
        """Both streams."""
        return self.out + self.errors


@dataclass(frozen=True)
class Tool:
    """A program by its path."""

    path: Path

    def __call__(
        self,
        *arguments: str | Path,
        stdin: str | None = None,
        folder: Path = REPOSITORY,
        variables: Mapping[str, str] | None = None,
    ) -> Answer:
        """Run it to its end."""
        command = [str(self.path), *map(str, arguments)]
        environment = {**os.environ, **(variables or {})}
        ran = subprocess.run(
            command,
            input=stdin,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return Answer(ran.returncode, ran.stdout, ran.stderr)

    def succeeds(self, *arguments: str | Path, stdin: str | None = None, folder: Path = REPOSITORY) -> str:
        """Run it; answers its output, and raises AssertionError with all that it said when it fails."""
        answer = self(*arguments, stdin=stdin, folder=folder)
        assert answer.code == 0, f"{self.path.name} {' '.join(map(str, arguments))}\n{answer.text}"
        return answer.out


def tool(name: str) -> Tool:
    """The program `name` of ``build/tools/bin``, or of the path.

    Where there is none the test is skipped, and fails in CI: `make test` brings all of them.
    """
    built = TOOLS / "bin" / name
    found = str(built) if built.exists() else shutil.which(name)
    if found is None:
        _missing(name)
    return Tool(Path(str(found)))


def made(name: str) -> Path:
    """The folder `name` of ``build/tools``, as `tool` finds a program."""
    folder = TOOLS / name
    if not folder.is_dir():
        _missing(name)
    return folder


def _missing(name: str) -> NoReturn:
    Absent.TOOLS.skip(f"{name} is not in {TOOLS.relative_to(REPOSITORY)}")
