"""What is published for an entry: which topic, which partition, which bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka.partitioner import murmur2

from worker.clock import Clock
from worker.delivery.dead_letters import dead_letter
from worker.delivery.refused_times import RefusedTimes
from worker.errors import Reason, RecordError, Stage
from worker.events.codec import EventCodec, ResultWriter, rfc3339_ms
from worker.observability.tracing import Tracing
from worker.records import NO_TIMESTAMP, Entry, Headers, OutputRecord, Prediction, Record, TopicPartition

SOURCE_HEADER = "source"
SOURCE_TIMESTAMP_HEADER = "source_timestamp"
"""The event's own time in milliseconds since the epoch, where it is before 1970, and the output has another one."""
RECORD_OVERHEAD_BYTES = 128
"""More than Kafka's own framing of a batch with one record in it (61 bytes and a few varints)."""
LARGEST_RESULT_BYTES = 8192
"""More than the worker ever adds to an event: its member with the scores of a few hundred labels, and its header."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A topic to publish to."""

    topic: str
    partitions: int
    max_record_bytes: int
    """Largest record to send there, before compression, with headers."""
    keys_only: bool = False
    """Whether a record without a key is not taken, since the topic is compacted."""


class Partitioner:
    """Chooses the partition of an output so that the order of its input partition survives.

    As many partitions as the input topic: the same one, so a producer's own choice is kept. Otherwise by key, as
    Kafka's default partitioner does (murmur2), and without a key by the input's partition.
    """

    def __init__(self, input_partitions: int) -> None:
        self._input_partitions = input_partitions

    def partition(self, record: Record, destination: Destination) -> int:
        """The partition of `destination` for what comes of `record`."""
        if record.key is None or destination.partitions == self._input_partitions:
            return record.partition.partition % destination.partitions
        hashed: int = murmur2(record.key) & 0x7FFFFFFF
        return hashed % destination.partitions


class OutputWriter:
    """Makes the record to publish from an entry and its outcome."""

    def __init__(
        self,
        *,
        codec: EventCodec,
        results: ResultWriter,
        partitioner: Partitioner,
        output: Destination,
        dead_letters: Destination,
        clock: Clock,
        tracing: Tracing | None = None,
    ) -> None:
        self._codec = codec
        self._results = results
        self._partitioner = partitioner
        self._output = output
        self._dead_letters = dead_letters
        self._clock = clock
        self._tracing = tracing
        self._source_prefixes: dict[TopicPartition, bytes] = {}
        self._keys_only = output.keys_only
        self._surely_small = output.max_record_bytes - LARGEST_RESULT_BYTES
        self._refused_times = {topic: RefusedTimes(clock) for topic in (output.topic, dead_letters.topic)}

    def write(self, entries: Sequence[Entry]) -> list[OutputRecord]:
        """One record for each entry, in order. An output beyond the topic's limit becomes a dead letter."""
        classified_at = rfc3339_ms(self._clock.wall())
        if self._tracing is None:
            return [self._write(entry, entry.record.headers, classified_at) for entry in entries]
        return [self._write(entry, self._tracing.headers(entry), classified_at) for entry in entries]

    def is_dead_letter(self, output: OutputRecord) -> bool:
        """Whether `output` goes to the dead-letter topic."""
        return output.topic == self._dead_letters.topic

    @property
    def knows_refusals(self) -> bool:
        """Whether `refusal` may answer anything but None."""
        return self._keys_only or self._refused_times[self._output.topic].known

    def refusal(self, output: OutputRecord) -> Reason | None:
        """For what the output topic is known by now to refuse `output`; None where it may take it."""
        if self.is_dead_letter(output):
            return None
        if output.key is None and self._keys_only:
            return Reason.OUTPUT_REFUSED
        return Reason.TIMESTAMP_REFUSED if self._refused_times[output.topic].hold(output.timestamp_ms) else None

    def learn(self, output: OutputRecord, reason: Reason) -> None:
        """Its topic has refused `output`, alone, for `reason`: the next ones need not be sent to find out."""
        if reason is Reason.TIMESTAMP_REFUSED and output.timestamp_ms >= 0:
            self._refused_times[output.topic].note(output.timestamp_ms)
        elif reason is Reason.OUTPUT_REFUSED and output.key is None and not self.is_dead_letter(output):
            self._keys_only = True

    def refuse(self, entry: Entry, error: RecordError, *, time_of_now: bool = False) -> OutputRecord:
        """The dead letter for an entry; `error` becomes its outcome.

        It has the event's own time, unless `time_of_now`, or unless its topic does not take that.
        """
        entry.outcome = error.without_traceback()
        record, topic = entry.record, self._dead_letters.topic
        partition = self._partitioner.partition(record, self._dead_letters)
        headers = record.headers if self._tracing is None else self._tracing.headers(entry)
        time_of_now = time_of_now or self._refused_times[topic].hold(record.timestamp_ms)
        return dead_letter(record, error, topic, partition, headers, time_of_now=time_of_now)

    def refuse_as_too_large(self, entry: Entry, size_bytes: int, limit: str) -> OutputRecord:
        """The dead letter for an entry whose output the broker does not take."""
        message = f"the classified event has {size_bytes} bytes, more than {limit}"
        return self.refuse(entry, RecordError(Reason.OUTPUT_TOO_LARGE, Stage.PUBLISH, message))

    def refuse_as_invalid(self, entry: Entry) -> OutputRecord:
        """The dead letter for an entry whose output the broker takes for no valid record."""
        message = f"{self._output.topic} does not take the classified event: {why_invalid(entry.record)}"
        return self.refuse(entry, RecordError(Reason.OUTPUT_REFUSED, Stage.PUBLISH, message))

    def refuse_for_its_time(self, entry: Entry) -> OutputRecord:
        """The dead letter, with the time of now, for an entry whose own time the output topic does not take."""
        message = (
            f"{self._output.topic} does not take the event's timestamp, {_shown_time(entry.record.timestamp_ms)}"
            " (message.timestamp.before.max.ms, message.timestamp.after.max.ms)"
        )
        return self.refuse(entry, RecordError(Reason.TIMESTAMP_REFUSED, Stage.PUBLISH, message), time_of_now=True)

    def _write(self, entry: Entry, carried: Headers, classified_at: str) -> OutputRecord:
        record, outcome = entry.record, entry.outcome
        value = record.value
        if value is not None:
            if isinstance(outcome, RecordError):
                return self.refuse(entry, outcome)
            if isinstance(outcome, Prediction):
                try:
                    value = self._codec.encode(value, entry.has_result, self._results.result(outcome, classified_at))
                except RecordError as error:
                    return self.refuse(entry, error)
        if record.key is None and self._keys_only:
            return self.refuse_as_invalid(entry)
        source = SOURCE_HEADER, self._source_prefix(record.partition) + b"%d" % record.offset
        partition = self._partitioner.partition(record, self._output)
        if record.timestamp_ms < NO_TIMESTAMP:
            carried = (*carried, (SOURCE_TIMESTAMP_HEADER, b"%d" % record.timestamp_ms))
        headers = (*carried, source) if carried else (source,)
        output = OutputRecord(self._output.topic, partition, record.key, value, headers, record.timestamp_ms)
        if carried or record.size_bytes > self._surely_small:
            size_bytes = record_bytes(output)
            if size_bytes > self._output.max_record_bytes:
                return self.refuse_as_too_large(
                    entry, size_bytes, f"{self._output.max_record_bytes}, the limit of {self._output.topic}"
                )
        return output

    def _source_prefix(self, partition: TopicPartition) -> bytes:
        prefix = self._source_prefixes.get(partition)
        if prefix is None:
            prefix = self._source_prefixes[partition] = f"{partition.topic}/{partition.partition}/".encode()
        return prefix


def why_invalid(record: Record | OutputRecord) -> str:
    """What a broker may mean by INVALID_RECORD; it says no more."""
    if record.key is None:
        return "it has no key, and a compacted topic (cleanup.policy) takes none without"
    return "the broker takes it for no valid record (INVALID_RECORD), or a policy of its operators forbids it"


def _shown_time(timestamp_ms: int) -> str:
    try:
        return rfc3339_ms(timestamp_ms / 1000)
    except (ValueError, OverflowError, OSError):  # no calendar has it
        return f"{timestamp_ms} ms since 1970"


def record_bytes(output: OutputRecord) -> int:
    """Bytes that `output` takes in a batch of its own, before compression; never too low."""
    size = RECORD_OVERHEAD_BYTES + len(output.key or b"") + len(output.value or b"")
    for name, value in output.headers:
        size += len(name) * 4 + len(value or b"") + 10
    return size
