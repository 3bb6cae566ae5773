"""What is left when an owner ends: nothing."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from worker.devkafka.reaper import Reaper


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "owned"
    (made / "data").mkdir(parents=True)
    return made


def test_what_is_watched_is_killed_and_the_folder_deleted(folder: Path) -> None:
    reaper = Reaper(folder)
    with subprocess.Popen(["sleep", "60"]) as watched:
        reaper.watch(watched.pid)
        reaper.release()
        assert watched.wait(30) == -signal.SIGKILL
    reaper.close()
    assert not folder.exists()


def test_what_was_forgotten_is_left_alone(folder: Path) -> None:
    reaper = Reaper(folder)
    with subprocess.Popen(["sleep", "60"]) as forgotten:
        reaper.watch(forgotten.pid)
        reaper.forget(forgotten.pid)
        reaper.close()
        assert forgotten.poll() is None
        forgotten.kill()
    assert not folder.exists()


def test_closing_twice_and_speaking_after_it_is_harmless(folder: Path) -> None:
    reaper = Reaper(folder)
    reaper.close()
    reaper.watch(1)
    reaper.close()
