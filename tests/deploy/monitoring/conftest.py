"""One worker and one Prometheus for all tests of this folder."""

from tests.deploy.monitoring.observed import observed

__all__ = ["observed"]
