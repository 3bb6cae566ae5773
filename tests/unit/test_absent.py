"""A test that does not run is counted, and accounted for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from absent import MAY_LACK_VARIABLE

REPOSITORY = Path(__file__).parents[2]
SUITE = """
import pytest
from absent import Absent

@Absent.KDC.unless(False, "no krb5kdc")
@pytest.mark.parametrize("number", range(3))
def test_tickets(number): ...

def test_reviews():
    Absent.SHARED.skip("real reviews")

def test_that_runs(): ...
"""
UNACCOUNTED = """
import pytest

@pytest.mark.skip(reason="one day")
def test_later(): ...
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "conftest.py").write_bytes((REPOSITORY / "tests" / "conftest.py").read_bytes())
    (tmp_path / "test_suite.py").write_text(SUITE)
    return tmp_path


def run(suite: Path, *arguments: str, **variables: str) -> tuple[int, list[str]]:
    """Exit code and lines of a run of pytest with the fixtures and hooks of this suite."""
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", MAY_LACK_VARIABLE)}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--import-mode=importlib", *arguments]
    command += ["-o", f"pythonpath={REPOSITORY} {REPOSITORY / 'tests'}", "--rootdir", str(suite), str(suite)]
    done = subprocess.run(
        command, cwd=suite, env=environment | variables, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize("arguments", [(), ("-n", "1")], ids=["one process", "side by side"])
def test_what_does_not_run_is_listed_by_kind_and_count(suite: Path, arguments: tuple[str, ...]) -> None:
    code, lines = run(suite, *arguments)
    assert code == 0
    listed = lines[next(number for number, line in enumerate(lines) if "not run, for want of" in line) :]
    assert any(line.startswith("    3  KDC: a Kerberos KDC") for line in listed)
    assert any(line.startswith("    1  SHARED: ../shared") for line in listed)


def test_in_ci_only_what_it_need_not_have_is_skipped(suite: Path) -> None:
    code, lines = run(suite, CI="true")
    assert code == 1
    assert "1 passed, 1 skipped, 3 errors" in lines[-1]
    assert any("CI must have a Kerberos KDC" in line and "no krb5kdc" in line for line in lines)
    code, lines = run(suite, CI="true", TESTS_MAY_LACK="IPV6, KDC")
    assert code == 0
    assert "1 passed, 4 skipped" in lines[-1]


def test_a_skip_without_a_kind_is_a_failure_everywhere(suite: Path) -> None:
    (suite / "test_suite.py").write_text(UNACCOUNTED)
    code, lines = run(suite)
    assert code == 1
    assert any("one day" in line for line in lines)
