"""Leaves nothing behind: kills what a process has started, and deletes its folder, when that process ends.

Run as a program of its own, it outlives its owner however that ends, SIGKILL included, and so works where no exit
handler does. The owner holds the other end of its standard input: lines ``+<pid>`` and ``-<pid>`` say what runs, and
the end of the input says that the owner is gone, or done. Only the standard library is imported, for a quick start.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

OWNER_CHECK_S = 0.5
END_CHECK_S = 0.05
END_TIMEOUT_S = 5.0
"""A killed process is gone at once, unless nobody collects orphans; then the folder goes all the same."""


class Reaper:
    """The owner's end; one for each folder."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(folder)]
        # A session of its own, so that a Ctrl-C in the terminal, or a kill of the group, does not reach it.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
        )

    def watch(self, pid: int) -> None:
        """From now on `pid` ends with the owner."""
        self._tell(f"+{pid}")

    def forget(self, pid: int) -> None:
        """`pid` has ended; its number may be given to a stranger."""
        self._tell(f"-{pid}")

    def release(self) -> None:
        """Let everything go: what is still watched is killed and the folder deleted, in a moment."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def close(self) -> None:
        """The same, and wait until it is done."""
        self.release()
        self._process.wait()

    def _tell(self, line: str) -> None:
        if self._process.stdin is None or self._process.stdin.closed:
            return
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()


def _watch_until_owner_ends(owner: int) -> set[int]:
    """The processes that still run when the owner ends."""
    watched: set[int] = set()
    pending = b""
    # A child that the owner forked keeps the pipe open; a new parent shows that the owner is gone all the same.
    while os.getppid() == owner:
        if not select.select([0], [], [], OWNER_CHECK_S)[0]:
            continue
        read = os.read(0, 4096)
        if not read:
            break
        *lines, pending = (pending + read).split(b"\n")
        for line in lines:
            (watched.add if line[:1] == b"+" else watched.discard)(int(line[1:]))
    return watched


def main(owner: int, folder: str) -> None:
    """Watch, then clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    orphans = _watch_until_owner_ends(owner)
    deadline = time.monotonic() + END_TIMEOUT_S
    while (orphans := {pid for pid in orphans if _killed(pid)}) and time.monotonic() < deadline:
        time.sleep(END_CHECK_S)
    shutil.rmtree(folder, ignore_errors=True)


def _killed(pid: int) -> bool:
    """Kill a process; False when there is none any more."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
