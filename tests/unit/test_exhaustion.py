"""What is told from a broker that is away."""

from __future__ import annotations

import errno
import os

import pytest

from worker.errors import ExitCode
from worker.exhaustion import exhausted, files_needed


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "this process has as many files"),
        (OSError(errno.ENFILE, os.strerror(errno.ENFILE)), "this machine has as many files"),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/var/lib/model"),
            "no room left on the disk for /var/lib/mo",
        ),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "no room left on the disk;"),
        (RuntimeError("can't start new thread"), "no more threads"),
    ],
)
def test_what_is_used_up_is_told_with_what_to_raise_and_through_other_errors(error: Exception, says: str) -> None:
    wrapped = ConnectionError("cannot connect")
    wrapped.__cause__ = error
    for each in (error, wrapped):
        found = exhausted(each)
        assert found is not None
        assert says in str(found)
        assert found.exit_code is ExitCode.EXHAUSTED


@pytest.mark.parametrize("error", [ConnectionRefusedError(errno.ECONNREFUSED, ""), TimeoutError(), RuntimeError("x")])
def test_a_broker_that_is_away_is_none_of_it(error: Exception) -> None:
    assert exhausted(error) is None


def test_exactly_once_needs_files_for_each_partition_and_broker() -> None:
    assert files_needed(600, 3, exactly_once=False) == files_needed(6, 3, exactly_once=False)
    assert files_needed(600, 3, exactly_once=True) - files_needed(100, 3, exactly_once=True) == 2 * 500 * 3
