"""The way to Kafka: whole batches through an idempotent producer, acknowledged by all in-sync replicas."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from worker.delivery.batches import append
from worker.delivery.refusals import HOPELESS, REFUSED, refusal
from worker.delivery.silence import Silence
from worker.errors import DeliveryError
from worker.metrics import Metrics
from worker.records import OutputRecord, TopicPartition
from worker.security import lacking
from worker.tasks import owned

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
STOP_TIMEOUT_S = 5.0

ProducerFactory = Callable[[], AIOKafkaProducer]


class KafkaPublisher:
    """Publishes through one producer, which is replaced when a batch failed for good.

    A batch that fails for good leaves a hole in the producer's sequence numbers, after which the broker refuses all
    that follows (OutOfOrderSequenceNumber); a new producer starts with an identity and sequences of its own.
    """

    def __init__(self, producer_factory: ProducerFactory, metrics: Metrics) -> None:
        self._producer_factory = producer_factory
        self._metrics = metrics
        self._producer: AIOKafkaProducer | None = None
        self._replacing = asyncio.Lock()
        self._retired: set[asyncio.Task[None]] = set()
        self._users: Counter[AIOKafkaProducer] = Counter()
        """Batches under way through each producer."""
        self._silence = Silence()

    async def start(self) -> None:
        """Connect; raises KafkaError when no broker answers."""
        producer = self._producer_factory()
        try:
            await producer.start()
        except BaseException:
            await _stop(producer)
            raise
        self._producer = producer

    async def stop(self) -> None:
        """Disconnect; what is under way has a few seconds."""
        if self._producer is not None:
            self._retire(self._producer)
            self._producer = None
        await asyncio.gather(*self._retired)

    async def publish(
        self,
        topic: str,
        partition: int,
        records: Sequence[OutputRecord],
        abandoned: Callable[[], bool] = lambda: False,
    ) -> int:
        """Publish as many of the first `records` as one batch takes; see `worker.delivery.collector.Publisher`."""
        pause = FIRST_PAUSE_S
        place = TopicPartition(topic, partition)
        while True:
            producer = self._producer
            if producer is None:
                raise DeliveryError("This is a bug: the producer is stopped")
            try:
                with self._silence.told(producer.client, [place]):
                    count = await self._publish_through(producer, topic, partition, records)
            except REFUSED as error:
                await self._replace(producer)
                raise refusal(error) from error
            except HOPELESS as error:
                raise lacking(error, topic=topic) or DeliveryError(
                    f"{topic} cannot be written to: {type(error).__name__}; check the topic and its settings"
                ) from error
            except (KafkaError, OSError) as error:
                self._metrics.retries.labels("publish").inc()
                self._silence.failed(place, str(error))
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
                await self._replace(producer)
                if abandoned():
                    self._silence.forget([place])
                    return 0
            else:
                self._silence.acknowledged([place])
                return count

    async def _replace(self, broken: AIOKafkaProducer) -> None:
        async with self._replacing:
            if self._producer is not broken:
                return  # another lane was faster
            producer = self._producer_factory()
            try:
                await producer.start()
            except (KafkaError, OSError) as error:
                logger.debug("no new producer yet: %s", error)
                await _stop(producer)
                return  # the old one goes on trying
            self._producer = producer
            if broken not in self._users:
                self._retire(broken)

    async def _publish_through(
        self, producer: AIOKafkaProducer, topic: str, partition: int, records: Sequence[OutputRecord]
    ) -> int:
        """Publish a batch; the last one to use a producer that was replaced stops it.

        A lane may wait for something of it that would never come from a producer that is stopped: the metadata of its
        topic, above all.
        """
        self._users[producer] += 1
        try:
            return await _publish_batch(producer, topic, partition, records)
        finally:
            self._users[producer] -= 1
            if not self._users[producer]:
                del self._users[producer]
                if producer is not self._producer:
                    self._retire(producer)

    def _retire(self, producer: AIOKafkaProducer) -> None:
        task = owned(_stop(producer), "stop a producer", _note, ends=True)
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)


async def _publish_batch(
    producer: AIOKafkaProducer, topic: str, partition: int, records: Sequence[OutputRecord]
) -> int:
    batch = producer.create_batch()
    count = 0
    for record in records:
        if not append(batch, record):
            break
        count += 1
    batch.close()
    acknowledged = await producer.send_batch(batch, topic, partition=partition)
    await acknowledged
    return count


def _note(error: BaseException) -> None:
    logger.error("a producer that is not used any more could not be stopped: %r", error)


async def _stop(producer: AIOKafkaProducer) -> None:
    """Stop without ever raising: there is nothing left to do about a producer that cannot be stopped in time."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await producer.stop()
