"""Faust's aiokafka transport, with these things changed: chunks, generations, who commits, and fencing.

A fetch is handed over in chunks of consecutive records of one partition: Faust pays about 80 microseconds for each
item, whatever is in it. The rest is in `worker.faust_app.consumer_thread`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from worker.delivery.offset_metadata import OffsetMetadata
from worker.faust_app.chunks import Fetched, to_chunk
from worker.faust_app.clients import Producer
from worker.faust_app.consumer_thread import ConsumerThread
from worker.faust_app.standing import Standing
from worker.records import TopicPartition

OVER = -1
"""The generation of what the pipeline is to drop."""


class Consumer(driver.Consumer):
    """The consumer as Faust sees it, on the worker's loop."""

    _thread: ConsumerThread

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: TP, fetched: Fetched) -> ConsumerMessage:
        last = fetched.records[-1]
        if self._thread.is_read_again(fetched):
            fetched = fetched._replace(generation=OVER)
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            0.0,
            last.timestamp_type,
            None,
            None,
            to_chunk(tp, fetched),  # type: ignore[arg-type]  # the codec passes it through
            None,
            0,
            0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def perform_seek(self) -> None:
        """Called when Faust has cleared its queues. Asks the broker nothing, other than Faust's own.

        That one waits for the committed offsets. When the assignment ends meanwhile aiokafka never answers, and all
        other calls to its thread wait behind this one; when the broker takes longer than `broker_request_timeout`
        Faust's recovery ends for good. Either way nothing is read any more.
        """
        await self._thread.read_again()
        self._read_offset.clear()

    async def store_offsets(self, offsets: Mapping[TopicPartition, int], generation: int) -> bool:
        """See `Committer.commit`."""
        return await self._thread.store_offsets(offsets, generation)

    async def committed(self, partition: TopicPartition) -> int | None:
        """See `ConsumerThread.committed`."""
        return await self._thread.committed(partition)

    def offset_metadata(self, partition: TopicPartition) -> OffsetMetadata:
        """See `ConsumerThread.offset_metadata`."""
        return self._thread.offset_metadata(partition)

    def rejoin(self) -> None:
        """See `ConsumerThread.rejoin`."""
        self._thread.rejoin()

    @property
    def loop_of_thread(self) -> asyncio.AbstractEventLoop:
        """The event loop of the consumer's thread."""
        return self._thread.thread_loop

    async def standing(self) -> dict[TopicPartition, Standing]:
        """See `ConsumerThread.standing`."""
        return await self._thread.standing()


class Transport(driver.Transport):
    """Given to the Faust app instead of its own."""

    Consumer = Consumer
    Producer = Producer
