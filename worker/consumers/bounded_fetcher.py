"""aiokafka's fetcher, bounded in bytes of memory, and with the damage of a partition kept to that partition."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import TopicPartition as KafkaPartition

from worker.consumers.answers import Answers
from worker.consumers.batches import PartitionRecords
from worker.errors import DamagedBatchError
from worker.records import bytes_in_memory

MAX_TAKEN_BYTES = 2 * 1024 * 1024
"""What is handed over at once, in memory; one record may be larger."""
MAX_AHEAD_BYTES = 8 * 1024 * 1024
"""With so much fetched and not handed over, as it came from the brokers, nothing more is asked for."""
MAX_UNPACKED = 2
"""Partitions with a batch that is unpacked and only partly handed over: whoever asks may want others next."""


class BoundedFetcher(fetcher.Fetcher):  # type: ignore[misc]  # aiokafka has no types
    """Fetches ahead no more than fits; unpacks few batches at a time, and no further than what is handed over."""

    on_damage: Callable[[DamagedBatchError], None] | None = None
    """Is told of damage instead of whoever reads, who then gets what is left of the other partitions."""

    max_taken_bytes = MAX_TAKEN_BYTES

    def __init__(self, client: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(_Client(client, self._heard), *args, **kwargs)
        self._answers = Answers(read_committed=self._isolation_level == fetcher.READ_COMMITTED)
        self._unpacked: dict[KafkaPartition, PartitionRecords] = {}
        """What holds a batch that is unpacked and only partly handed over, the oldest first."""

    async def fetched_records(
        self, partitions: Any, timeout: float = 0, max_records: int | None = None
    ) -> dict[KafkaPartition, list[Any]]:
        """See aiokafka's: what there is of these partitions, or of all, waiting for some for `timeout` seconds."""
        while True:
            if self._subscriptions.reassignment_in_progress:
                await self._subscriptions.wait_for_assignment()
            since = time.monotonic()
            taken = self._take(partitions, max_records)
            if taken or not timeout:
                return taken
            waiter = self._create_fetch_waiter()
            done, _ = await asyncio.wait([waiter], timeout=timeout)
            if not done or self._closed:
                waiter.cancel()
                return {}
            waiter.result()  # the group may have said that there is no right to read
            timeout = max(0.0, timeout - (time.monotonic() - since))

    def _take(self, partitions: Any, max_records: int | None) -> dict[KafkaPartition, list[Any]]:
        taken: dict[KafkaPartition, list[Any]] = {}
        left_records, left_bytes = max_records, self.max_taken_bytes
        for partition in self._in_turn():
            if partitions and partition not in partitions:
                if not self._subscriptions.is_assigned(partition):
                    self._forget(partition)
                continue
            result = self._records[partition]
            if isinstance(result, fetcher.FetchError):
                if not taken:
                    self._forget(partition)
                    result.check_raise()
                return taken
            try:
                records, size_bytes = self._records_of(result, left_records, left_bytes)
            except DamagedBatchError as error:
                if taken:  # comes again, and then first
                    return taken
                self._report(error)
                continue
            finally:
                if not result.has_more():
                    self._forget(partition)
            if records:
                taken[partition] = records
                left_bytes -= size_bytes
                left_records = None if left_records is None else left_records - len(records)
                if left_bytes <= 0 or left_records == 0:
                    break
        return taken

    def _in_turn(self) -> Iterator[KafkaPartition]:
        """Those with something fetched, as it came; first what is unpacked, so that no other has to be as well."""
        first = [partition for partition in self._unpacked if partition in self._records]
        yield from (*first, *(partition for partition in list(self._records) if partition not in first))

    def _records_of(self, result: Any, most_records: int | None, most_bytes: int) -> tuple[list[Any], int]:
        """Records until one of the bounds is reached, and their bytes; raises DamagedBatchError when there is none."""
        taken: list[Any] = []
        size_bytes = 0
        if not result.check_assignment(result._topic_partition) or not result.has_more():
            return taken, size_bytes
        records: PartitionRecords = result._partition_records
        self._make_room_for(result._topic_partition, records)
        more = False
        try:
            for record in records:
                taken.append(record)
                size_bytes += bytes_in_memory(record.key, record.value, record.headers)
                if size_bytes >= most_bytes or len(taken) == most_records:
                    more = True
                    break
        except DamagedBatchError:
            if not taken:
                raise
        finally:
            result._update_position()
            if more:
                records.let_go()
                if records.holds_unpacked:
                    self._unpacked.setdefault(result._topic_partition, records)
            else:
                result._partition_records = None
        return taken, size_bytes

    def _make_room_for(self, partition: KafkaPartition, records: PartitionRecords) -> None:
        """Keep so few unpacked that these may be as well: those of longest ago are packed."""
        for held in [held for held, of_held in self._unpacked.items() if not self._still_unpacked(held, of_held)]:
            del self._unpacked[held]
        if self._unpacked.get(partition) is records:
            return
        while len(self._unpacked) >= MAX_UNPACKED:
            self._unpacked.pop(next(iter(self._unpacked))).pack()

    def _still_unpacked(self, partition: KafkaPartition, records: PartitionRecords) -> bool:
        result = self._records.get(partition)
        return getattr(result, "_partition_records", None) is records and records.holds_unpacked

    def _forget(self, partition: KafkaPartition) -> None:
        del self._records[partition]
        self._unpacked.pop(partition, None)
        self._notify(self._wait_consume_future)

    def _report(self, error: DamagedBatchError) -> None:
        if self.on_damage is None:
            raise error
        self.on_damage(error)

    def _get_actions_per_node(self, assignment: Any) -> Any:
        requests, *others = super()._get_actions_per_node(assignment)
        if self._ahead_bytes() >= MAX_AHEAD_BYTES:
            requests = []
        return (requests, *others)

    def _ahead_bytes(self) -> int:
        """Of what somebody may take: what a paused partition has left must not keep the others from being fetched."""
        return sum(
            each._partition_records._records.size_in_bytes()
            for partition, each in self._records.items()
            if isinstance(each, fetcher.FetchResult)
            and each.has_more()
            and not each._assignment.state_value(partition).paused
        )

    def _heard(self, request: Any, response: Any) -> None:
        """Look for what aiokafka only logs, without a name, and for what it does not see at all."""
        for error in self._answers.faults(request, response, time.monotonic()):
            partition = KafkaPartition(error.topic, error.partition)
            if self.on_damage is not None:
                self.on_damage(error)
            elif partition not in self._records:
                self._set_error(partition, error)
                for waiter in list(self._fetch_waiters):
                    self._notify(waiter)


class _Client:
    """aiokafka's client, and somebody who hears what brokers answer to fetches."""

    def __init__(self, client: Any, heard: Callable[[Any, Any], None]) -> None:
        self._client = client
        self._heard = heard

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node_id: int, request: Any, **options: Any) -> Any:
        response = await self._client.send(node_id, request, **options)
        if isinstance(request, FetchRequest):
            self._heard(request, response)
        return response
