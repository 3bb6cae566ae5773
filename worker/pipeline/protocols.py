"""What the pipeline asks of its rooms. It knows none of them by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from worker.delivery.owner import Owner
from worker.records import Entry, Part, Record, TopicPartition


class Preparer(Protocol):
    """Decodes and tokenises. Called in a thread."""

    def prepare(self, records: Sequence[Record], arrived_at: float) -> list[Entry]:
        """One entry for each record, in order; never raises for what a record holds."""


class Batch(Protocol):
    """Parts that are computed together."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """In no order that matters."""


B_co = TypeVar("B_co", bound=Batch, covariant=True)
B_contra = TypeVar("B_contra", bound=Batch, contravariant=True)


class Queue(Protocol[B_co]):
    """Parts waiting for a batch."""

    def __len__(self) -> int: ...

    def extend(self, parts: Iterable[Part]) -> None: ...

    def next_batch(self, now: float, *, drain: bool = False) -> B_co | None: ...

    def ready_at(self, now: float) -> float | None: ...

    def limit_tokens(self, max_batch_tokens: int) -> None: ...

    @property
    def has_full_batch(self) -> bool: ...


class Runner(Protocol[B_contra]):
    """Computes batches. Called in a thread of its own."""

    def run(self, batch: B_contra) -> None:
        """Give every entry its outcome whose last part this is; raises FatalError when the session stays broken."""


class Offsets(Protocol):
    """Submitted, completed, committable."""

    def submit(self, partition: TopicPartition, offsets: Sequence[int], generation: int) -> bool: ...

    def complete(self, partition: TopicPartition, offsets: Iterable[int], generation: int) -> bool: ...

    def committable_offsets(self) -> dict[TopicPartition, int]: ...

    def revoke(self, partitions: Iterable[TopicPartition]) -> None: ...

    def mark_committed(self, offsets: Mapping[TopicPartition, int], generation: int) -> bool: ...


class Collector(Protocol):
    """Publishes results and dead letters."""

    def send(self, entries: Sequence[Entry], owner: Owner) -> None:
        """Publish the outcomes of entries of one partition, in this order; raises FuseError."""

    async def flush(self) -> None:
        """Wait until everything sent is acknowledged or dropped; raises the first fatal send error."""


class Committer(Protocol):
    """Stores offsets in the group."""

    async def commit(self, offsets: Mapping[TopicPartition, int], generation: int) -> bool:
        """Store next offsets; False when the assignment is over. Raises BrokerError when the broker cannot now."""
