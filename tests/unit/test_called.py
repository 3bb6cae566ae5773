"""Hints name a command that works here."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.called import PROGRAM, how_called


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """A folder of scripts, as in an environment of its own."""
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    for name in ("python", PROGRAM):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return folder


def test_it_is_called_by_name_where_the_path_leads_to_it(scripts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(scripts))
    assert how_called(Path("/"), scripts / "python") == "reviews-worker"


def test_it_is_called_by_its_place_where_the_path_leads_elsewhere(
    scripts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / PROGRAM).write_text("#!/bin/sh\n")
    (other / PROGRAM).chmod(0o755)
    monkeypatch.setenv("PATH", str(other))
    assert how_called(tmp_path, scripts / "python") == ".venv/bin/reviews-worker"
    assert how_called(other, scripts / "python") == str(scripts / PROGRAM)


def test_without_a_script_it_is_called_as_a_module(scripts: Path, tmp_path: Path) -> None:
    (scripts / PROGRAM).unlink()
    assert how_called(tmp_path, scripts / "python") == ".venv/bin/python -m worker.cli"
