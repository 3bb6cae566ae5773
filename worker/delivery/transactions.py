"""Outputs, dead letters and input offsets in one transaction: what a lane asks of the broker.

aiokafka's offsets in a transaction carry no metadata of the group (no KIP-447), so the broker cannot fence by the
group's generation. What fences is the transactional id, one for each *input* partition: opening it ends whatever
transaction the owner before has open, and nothing of that owner is taken any more. Only after that does the committed
offset say what is done; this order, and nothing else, makes it exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from worker.errors import RecordRefusedError
from worker.records import OutputRecord, TopicPartition


class BatchRefusedError(RecordRefusedError):
    """The broker does not take `records`, which were sent as one batch."""

    def __init__(self, refusal: RecordRefusedError, records: Sequence[OutputRecord]) -> None:
        super().__init__(str(refusal))
        self.reason = refusal.reason
        self.records = records


class Transactions(Protocol):
    """The transactions of one input partition, one after the other. After any error it must be opened again."""

    async def open(self) -> None:
        """Be the only one to publish what comes of the partition: fence who did before, end what they had open.

        Raises TransactionError when it may pass, DeliveryError when it will not.
        """

    async def committed(self) -> int:
        """Next offset as the group has it stored, no transaction pending; 0 where it has stored none.

        Raises TransactionError when the broker cannot say.
        """

    async def commit(self, records: Sequence[OutputRecord], next_offset: int, batch_records: int) -> None:
        """Publish `records` in batches of `batch_records` at most and store `next_offset`, all or nothing.

        Raises FencedError when another member has taken over, BatchRefusedError when the broker refuses a batch,
        TransactionError when it may pass (it may even have been committed), DeliveryError when it will not.
        """

    async def close(self) -> None:
        """End what is open, disconnect. Never raises."""


NewTransactions = Callable[[TopicPartition], Transactions]


def transactional_id(group: str, partition: TopicPartition) -> str:
    """The identity under which what comes of `partition` is published: the same whichever member does it.

    Names may have dots, so another group may have the same one for another topic; then each fences the other.
    """
    return f"{group}.{partition.topic}.{partition.partition}"
