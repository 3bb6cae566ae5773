"""What needs a control plane or an image of its own runs only by name: `make cluster-test`, `make image-test`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from absent import Absent

HERE = Path(__file__).parent
ONLY_BY_NAME = {HERE / "cluster": Absent.CONTROL_PLANE, HERE / "image": Absent.IMAGE}


def pytest_collection_modifyitems(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    named = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    for folder, kind in ONLY_BY_NAME.items():
        if not any(path.is_relative_to(folder) for path in named):
            for item in items:
                if item.path.is_relative_to(folder):
                    item.add_marker(kind.unless(False, "has a command of its own"))
