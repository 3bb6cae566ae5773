"""The image, really built; once for all tests here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.docker import buildah
from tests.deploy.image.container import Image, mounted


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    """The target ``cpu``."""
    with mounted(buildah.build("cpu")) as image:
        yield image
