"""``python broken_worker.py MODEL``: the worker of `special_worker.py`, broken on purpose, or at an unlucky moment.

``TEST_TRAP`` names what is broken (`breakages`): one protection is taken away, mostly by switching one of Faust's ways
to lose or repeat data on again. ``TEST_SCHEDULE`` names a moment that is forced (`schedules`), which the unbroken
worker must survive.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

import special_worker  # noqa: E402 - found only now

from tests.chaos.breakages import BREAKAGES  # noqa: E402
from tests.chaos.schedules import SCHEDULES  # noqa: E402

if __name__ == "__main__":
    if trap := os.environ.get("TEST_TRAP"):
        BREAKAGES[trap]()
    if schedule := os.environ.get("TEST_SCHEDULE"):
        SCHEDULES[schedule]()
    special_worker.main(sys.argv[1])
