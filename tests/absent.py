"""What a machine may lack that tests need. A test skips for one of these kinds only, and each is listed at the end.

In CI (variable ``CI``) a skip is a failure, but for the kinds that CI need not have and those in ``TESTS_MAY_LACK``
(names of kinds, with commas). A skip for any other reason is a failure everywhere: nobody would notice it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import NoReturn

import pytest

MAY_LACK_VARIABLE = "TESTS_MAY_LACK"


@dataclass(frozen=True)
class _Kind:
    what: str
    """With what to do about it."""
    in_ci: bool = True
    """CI has it; a test that has to do without fails there."""


class Absent(Enum):
    """The kinds; a name stands before the reason of each skip."""

    TOOLS = _Kind("the programs that check deploy/ (make tools)")
    KDC = _Kind("a Kerberos KDC and its clients (docs/development.md says what to install)")
    LINUX = _Kind("Linux")
    IPV6 = _Kind("IPv6 on the loopback interface")
    CUDA_BUILD = _Kind("an ONNX Runtime with CUDA (published for Linux and Windows on x86-64)")
    SHARED = _Kind("../shared beside the repository: real reviews, and models that Spark NLP saved", in_ci=False)
    IMAGE = _Kind("the image, built and run (make image-test: Debian, root)", in_ci=False)
    CONTROL_PLANE = _Kind("a Kubernetes control plane (make cluster-test)", in_ci=False)

    def because(self, reason: str) -> str:
        """The reason of a skip, so that its kind is found again."""
        return f"{self.name}: {reason}"

    def skip(self, reason: str) -> NoReturn:
        """Skip the test that runs."""
        pytest.skip(self.because(reason))

    def unless(self, there: bool, reason: str = "not here") -> pytest.MarkDecorator:
        """A mark for tests that need it."""
        return pytest.mark.skipif(not there, reason=self.because(reason))


def kind_of(reason: str) -> Absent | None:
    """The kind that a skip names; None where it names none."""
    name = reason.removeprefix("Skipped: ").partition(":")[0]
    return Absent.__members__.get(name)


def fault_of(reason: str) -> str | None:
    """Why a skip for this reason is a failure here; None where it is none."""
    kind = kind_of(reason)
    if kind is None:
        return f"a test may skip only for a kind of tests/absent.py, not because: {reason}"
    allowed = {name.strip() for name in os.environ.get(MAY_LACK_VARIABLE, "").split(",")}
    if os.environ.get("CI") and kind.value.in_ci and kind.name not in allowed:
        lacking = reason.partition(f"{kind.name}: ")[2]
        return f"CI must have {kind.value.what}: {lacking} ({MAY_LACK_VARIABLE}={kind.name} lets it pass)"
    return None


def listed(reasons: Iterable[str]) -> list[str]:
    """A line for each kind: how many tests did not run, and what they need."""
    counts = Counter(kind for reason in reasons if (kind := kind_of(reason)) is not None)
    return [f"{counts[kind]:5}  {kind.name}: {kind.value.what}" for kind in Absent if counts[kind]]
