"""Fakes for tests, ours and yours: a broker in memory, a publisher, a consumer group, a session and a whole worker.

They do what the real ones promise, deterministically: no threads but the pipeline's own, no sleeps, no sockets. One
contract suite (``tests/contract``) runs over them and over a real Kafka, so that they stay true.
"""

from fakes.broker import FakeBroker, StoredRecord
from fakes.group import FakeGroup, FakeMember
from fakes.publisher import FakePublisher
from fakes.session import FakeSession
from fakes.worker import FakeWorker

__all__ = [
    "FakeBroker",
    "FakeGroup",
    "FakeMember",
    "FakePublisher",
    "FakeSession",
    "FakeWorker",
    "StoredRecord",
]
