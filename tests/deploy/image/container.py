"""A program run in an image as a container runtime would run it: its user, its environment, its entry point, a root
file system that is read-only but for ``/tmp``, no capabilities, and the first process of a process tree of its own.

The network is this machine's, so that a Kafka on it can be reached.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.docker import buildah

SET_UP = """
set -e
root=$1 user=$2
shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
mount --bind /etc/hosts "$root/etc/hosts"
mount --bind /etc/resolv.conf "$root/etc/resolv.conf"
mount -o remount,ro,bind "$root"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
# With its user changes, the last capability goes; nothing can give one back.
exec setpriv --no-new-privs chroot --userspec="$user" --groups="${user#*:}" "$root" "$@"
"""


@dataclass(frozen=True)
class Image:
    """An image, its root file system, and what it says about itself."""

    name: str
    root: Path
    configuration: Mapping[str, Any]

    def command(self, *arguments: str, entrypoint: list[str] | None = None) -> list[str]:
        """What this machine has to run; without `arguments` the image's own are taken."""
        program = [*(self.configuration["Entrypoint"] if entrypoint is None else entrypoint)]
        program += arguments or (self.configuration["Cmd"] if entrypoint is None else ())
        apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL"]
        return [*apart, "bash", "-c", SET_UP, "set-up", str(self.root), self.configuration["User"], *program]

    def environment(self, **variables: str) -> dict[str, str]:
        """The image's variables and `variables`, and nothing of this process's."""
        own = dict(entry.split("=", 1) for entry in self.configuration["Env"])
        return {**own, **variables}

    def run(
        self, *arguments: str, entrypoint: list[str] | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        command, environment = self.command(*arguments, entrypoint=entrypoint), self.environment(**variables)
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)

    def healthy(self, **variables: str) -> bool:
        """What its health check says."""
        kind, *command = self.configuration["Healthcheck"]["Test"]
        assert kind == "CMD"
        return self.run(entrypoint=command, **variables).returncode == 0

    @contextmanager
    def started(self, *arguments: str, log: Path, **variables: str) -> Iterator[Started]:
        """Run it in the background; it is killed at the end of the block, if it still runs."""
        with log.open("wb") as file:
            process = subprocess.Popen(
                self.command(*arguments), env=self.environment(**variables), stdout=file, stderr=subprocess.STDOUT
            )
        try:
            yield Started(process, log)
        finally:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class Started:
    """A container that runs."""

    process: subprocess.Popen[bytes]
    log: Path

    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self.process.poll() is not None

    def signal(self, number: signal.Signals) -> None:
        """Send it to the first process in there, as a container runtime does."""
        (first,) = _children(self.process.pid)
        os.kill(first, number)

    def has_begun(self) -> bool:
        """Whether the image's own program has been started; it may have done nothing yet."""
        return any(_children(first) for first in _children(self.process.pid) if _name(first) == "tini")


@contextmanager
def mounted(name: str) -> Iterator[Image]:
    """The image's file system, mounted for the length of a ``with`` block."""
    container = buildah.buildah("from", "--pull-never", name).strip()
    try:
        root = Path(buildah.buildah("mount", container).strip())
        for file in ("hosts", "resolv.conf"):
            (root / "etc" / file).touch()
        yield Image(name, root, buildah.inspect(name))
    finally:
        buildah.buildah("rm", container)


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    except FileNotFoundError:
        return []


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""
