"""Transactions of a `FakeBroker`: what the transactional collector is given in tests."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fakes.broker import FakeBroker
from worker.delivery.transactions import BatchRefusedError, transactional_id
from worker.errors import BrokerError, FencedError, RecordRefusedError, TransactionError
from worker.records import OutputRecord, TopicPartition


class TransactionFaults:
    """Switches for the transactions of one worker.

    `hold` keeps transactions from being committed until `release`. `fail` makes the next one raise: before it is
    committed, or, what a lost answer looks like, after.
    """

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self._failures: list[bool] = []

    def hold(self) -> None:
        """Commit nothing until `release`."""
        self._open.clear()

    def release(self) -> None:
        """Go on with whatever is held."""
        self._open.set()

    def fail(self, *, committed: bool = False) -> None:
        """Let the next transaction fail, `committed` or not."""
        self._failures.append(committed)

    async def until_open(self) -> None:
        """Wait while transactions are held."""
        await self._open.wait()

    def next_failure(self) -> bool | None:
        """Whether the next transaction that fails is committed; None when it does not fail."""
        return self._failures.pop(0) if self._failures else None


class FakeTransactions:
    """Implements `worker.delivery.transactions.Transactions`."""

    def __init__(self, broker: FakeBroker, group: str, partition: TopicPartition, faults: TransactionFaults) -> None:
        self._broker = broker
        self._group = group
        self._partition = partition
        self._faults = faults
        self._identity = transactional_id(group, partition)
        self._epoch: int | None = None

    async def open(self) -> None:
        await self._broker.until_back()
        self._epoch = self._broker.open_identity(self._identity)

    async def committed(self) -> int:
        self._check_back()
        return self._broker.committed(self._group).get(self._partition, 0)

    async def commit(self, records: Sequence[OutputRecord], next_offset: int, batch_records: int) -> None:
        await self._faults.until_open()
        await self._broker.until_back()
        if self._epoch is None:
            raise TransactionError("not open")
        if self._broker.epoch(self._identity) != self._epoch:
            raise FencedError(f"{self._identity} has another owner")
        failure = self._faults.next_failure()
        if failure is False:
            self._epoch = None
            raise TransactionError("not committed")
        self._store(records, next_offset, batch_records)
        if failure:
            self._epoch = None
            raise TransactionError("committed, and the answer was lost")

    async def close(self) -> None:
        self._epoch = None

    def _store(self, records: Sequence[OutputRecord], next_offset: int, batch_records: int) -> None:
        """All or nothing: a batch that is not taken is refused before any is stored."""
        batches = _batches(records, batch_records)
        for place, batch in batches:
            try:
                self._broker.check_batch(place, batch)
            except RecordRefusedError as error:
                self._epoch = None
                raise BatchRefusedError(error, batch) from error
        for place, batch in batches:
            self._broker.append_batch(place, batch)
        self._broker.commit(self._group, {self._partition: next_offset})

    def _check_back(self) -> None:
        try:
            self._broker.check_back()
        except BrokerError as error:
            raise TransactionError(str(error)) from error


def _batches(
    records: Sequence[OutputRecord], batch_records: int
) -> list[tuple[TopicPartition, Sequence[OutputRecord]]]:
    places: dict[TopicPartition, list[OutputRecord]] = {}
    for record in records:
        places.setdefault(TopicPartition(record.topic, record.partition), []).append(record)
    return [
        (place, each[start : start + batch_records])
        for place, each in places.items()
        for start in range(0, len(each), batch_records)
    ]
