"""Worker processes for these tests."""

from process_fixtures import gate, ledger, workers

__all__ = ["gate", "ledger", "workers"]
