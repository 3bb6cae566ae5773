"""The demo on a terminal: rows one after the other, whatever its size, and hints that work."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shlex
import struct
import subprocess
import termios
import time

import pytest
from worker_process import CONSOLE_SCRIPT

from worker.cli.demo.events import built_in_reviews
from worker.devkafka import Cluster

COUNT = 8
DEADLINE_S = 120.0
ERASED = re.compile(r"[^\n]*\r\x1b\[2K")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
ROW = re.compile(r"^(?:pos|neg)  [01]\.\d{3}  (.*)$", flags=re.MULTILINE)


def on_a_terminal(command: list[str], columns: int, lines: int, environment: dict[str, str]) -> tuple[int, list[str]]:
    """Exit code, and what it wrote until each moment in which something came."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, close_fds=True)
    os.close(theirs)
    written, moments = b"", []
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        try:
            more = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        written += more
        moments.append(CONTROL.sub("", ERASED.sub("", written.decode(errors="ignore"))))
    os.close(ours)
    return process.wait(10), moments


@pytest.mark.parametrize(("columns", "lines"), [(120, 40), (50, 15)])
def test_each_review_is_a_row_when_it_is_classified(kafka: Cluster, columns: int, lines: int) -> None:
    width_of_this_run = {"COLUMNS", "LINES"}  # set where tests run side by side; a terminal's own size counts less
    environment = {name: value for name, value in os.environ.items() if name not in width_of_this_run}
    environment |= {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "TERM": "xterm", "PATH": "/bin"}
    code, moments = on_a_terminal([str(CONSOLE_SCRIPT), "demo", "--count", str(COUNT)], columns, lines, environment)
    text = moments[-1]
    assert code == 0, text
    rows = ROW.findall(text)
    expected = [review[:20] for _, review in built_in_reviews()[:COUNT]]
    assert sorted(row[:20] for row in rows) == sorted(expected)
    assert not [line for line in text.splitlines() if ROW.match(line) and len(line) > columns]
    seen = {len(ROW.findall(moment)) for moment in moments}
    assert len(seen) > COUNT / 2, "all rows came at once"
    assert f"{COUNT} of {COUNT} reviews classified" in text
    (hint,) = re.findall(r"^to go on by hand: (.*)$", text, flags=re.MULTILINE)
    helped = subprocess.run(
        [*shlex.split(hint), "--help"], env=environment, capture_output=True, text=True, check=False
    )
    assert helped.returncode == 0, helped.stderr
    assert "--keep" in helped.stdout
