"""Ctrl-C, in processes of their own: between imports, and in a coroutine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

IMPORTING = """
import signal
from worker.cli.interrupts import interrupt_between_imports

interrupt_between_imports()
try:
    import interrupted
    while True:
        signal.pause()
except KeyboardInterrupt:
    print("ended")
"""
INTERRUPTED = """
import signal

signal.raise_signal(signal.SIGINT)
print("whole", flush=True)
"""
RUNNING = """
import asyncio, signal
from worker.cli.interrupts import interrupt_between_imports, run_async

async def work():
    try:
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        await asyncio.sleep(0)
        print("tidied up")
        raise

interrupt_between_imports()
handler = signal.getsignal(signal.SIGINT)
try:
    run_async(work())
except KeyboardInterrupt:
    print("ended", signal.getsignal(signal.SIGINT) is handler)
"""
IN_A_THREAD = """
import asyncio, threading
from worker.cli.interrupts import run_async

thread = threading.Thread(target=lambda: print(run_async(asyncio.sleep(0, "done"))))
thread.start()
thread.join()
"""


def output_of(code: str, *folders: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_module_that_is_being_imported_is_imported_whole_and_then_it_ends(tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text(INTERRUPTED)
    assert output_of(IMPORTING, tmp_path).split() == ["whole", "ended"]


def test_a_coroutine_is_cancelled_and_tidies_up() -> None:
    assert output_of(RUNNING).splitlines() == ["tidied up", "ended True"]


def test_a_coroutine_runs_in_another_thread_too() -> None:
    assert output_of(IN_A_THREAD).split() == ["done"]
