"""Tools for the tests of what is in deploy/."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deploy.observed import observed

__all__ = ["observed", "tool"]

BUILT = Path(__file__).parents[2] / "build" / "tools" / "bin"


@pytest.fixture(scope="session")
def tool() -> Callable[[str], Path]:
    """The path of a tool by its name: one that deploy/tools has built, or else one on PATH."""

    def find(name: str) -> Path:
        built = BUILT / name
        found = built if built.is_file() else shutil.which(name)
        assert found, f"{name} is neither in {BUILT} nor on PATH; the scripts in deploy/tools build it"
        return Path(found)

    return find
