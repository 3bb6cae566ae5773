"""Any order of completion, any cut into chunks, any seek back and any change of assignment."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pipeline_parts import HeldCollector, make_chunk, make_entries

from worker.observability.metrics import Metrics
from worker.pipeline.flow_control import FlowControl
from worker.pipeline.offsets import OffsetTracker
from worker.pipeline.stream_task import StreamTask
from worker.records import TOMBSTONE, Entry, TopicPartition


class StreamTaskMachine(RuleBasedStateMachine):
    """A broker's logs and committed offsets, as a model beside the real task."""

    @initialize(steps=st.lists(st.lists(st.integers(1, 4), max_size=30), min_size=1, max_size=3))
    def begin(self, steps: list[list[int]]) -> None:
        self.logs: dict[TopicPartition, list[int]] = {}
        for number, gaps in enumerate(steps):
            offset, log = -1, []
            for gap in gaps:
                offset += gap
                log.append(offset)
            self.logs[TopicPartition("reviews.in", number)] = log
        self.metrics = Metrics()
        self.flow = FlowControl(10_000, 10_000_000, self.metrics)
        self.collector = HeldCollector()
        self.committed: dict[TopicPartition, int] = {}
        self.published: dict[TopicPartition, set[int]] = defaultdict(set)
        self.generation = 0
        self.task: StreamTask | None = None
        self.assign()

    def assign(self) -> None:
        self.generation += 1
        tracker = OffsetTracker()
        tracker.assign(self.logs, self.generation)
        self.starts = starts = {partition: self.committed.get(partition) for partition in self.logs}
        self.task = StreamTask(self.generation, starts, tracker, self.collector, self.flow, self.metrics)
        self.positions = {partition: start or 0 for partition, start in starts.items()}
        self.follows: dict[TopicPartition, int | None] = dict.fromkeys(self.logs)
        self.unprepared: list[tuple[TopicPartition, list[Entry]]] = []
        self.waiting: list[Entry] = []
        self.submitted: dict[TopicPartition, list[int]] = defaultdict(list)
        self.released: dict[TopicPartition, list[int]] = defaultdict(list)

    def _partition(self, data: st.DataObject) -> TopicPartition:
        return data.draw(st.sampled_from(sorted(self.logs)))

    @rule(data=st.data(), count=st.integers(1, 6))
    def deliver(self, data: st.DataObject, count: int) -> None:
        assert self.task is not None
        partition = self._partition(data)
        offsets = [offset for offset in self.logs[partition] if offset >= self.positions[partition]][:count]
        if not offsets:
            return
        follows = self.follows[partition]
        if follows is not None and offsets[0] < follows:
            follows = offsets[0]
        self.positions[partition] = self.follows[partition] = offsets[-1] + 1
        records = self.task.submit(make_chunk(offsets, follows, generation=self.generation, partition=partition))
        new = [record.offset for record in records]
        start = self.starts[partition] or 0
        assert new == [each for each in offsets if each >= start and each not in self.submitted[partition]]
        self.submitted[partition] += new
        if records:
            self.unprepared.append((partition, make_entries(records)))

    @rule(data=st.data())
    def seek_back(self, data: st.DataObject) -> None:
        partition = self._partition(data)
        self.positions[partition] = data.draw(st.integers(0, self.positions[partition]))

    @precondition(lambda self: self.task is not None and self.unprepared)
    @rule(rejected=st.sets(st.integers(0, 5)))
    def prepare(self, rejected: set[int]) -> None:
        assert self.task is not None
        partition, entries = self.unprepared.pop(0)
        for index, entry in enumerate(entries):
            if index in rejected:
                entry.outcome = TOMBSTONE
        self.waiting += [entry for entry in entries if entry.outcome is None]
        self.task.prepared(partition, entries)

    @precondition(lambda self: self.task is not None and self.waiting)
    @rule(data=st.data())
    def compute(self, data: st.DataObject) -> None:
        assert self.task is not None
        batch = data.draw(st.lists(st.sampled_from(self.waiting), min_size=1, max_size=5, unique_by=id))
        for entry in batch:
            entry.outcome = TOMBSTONE
            self.waiting.remove(entry)
        self.task.completed()

    @rule(count=st.integers(1, 4), reported=st.booleans())
    def acknowledge(self, count: int, reported: bool) -> None:
        """The broker stores a few groups; that it did may never be learnt when the assignment is over."""
        for _ in range(min(count, len(self.collector.sent))):
            owner, partition, entries = self.collector.sent.pop(0)
            self.published[partition] |= {entry.record.offset for entry in entries}
            if owner is self.task or reported:
                owner.acknowledged(partition, entries)

    @rule()
    def commit(self) -> None:
        assert self.task is not None
        offsets = self.task.prepare_commit()
        for partition, offset in offsets.items():
            assert offset > self.committed.get(partition, -1)
            assert {each for each in self.logs[partition] if each < offset} <= self.published[partition]
        self.committed.update(offsets)
        self.task.post_commit(offsets)

    @rule(committing=st.booleans())
    def rebalance(self, committing: bool) -> None:
        assert self.task is not None
        if committing:
            self.commit()
        self.task.close()
        assert self.task.prepare_commit() == {}
        self.assign()

    @invariant()
    def what_is_sent_is_in_input_order_without_a_gap(self) -> None:
        if not hasattr(self, "logs"):
            return
        assert self.task is not None
        sent: dict[TopicPartition, list[int]] = defaultdict(list)
        for owner, partition, entries in self.collector.sent:
            if owner is self.task:
                sent[partition] += [entry.record.offset for entry in entries]
        for partition, offsets in sent.items():
            first = self.submitted[partition].index(offsets[0])
            assert offsets == self.submitted[partition][first : first + len(offsets)]

    @invariant()
    def what_is_in_flight_is_counted(self) -> None:
        if hasattr(self, "logs"):
            assert self.task is not None
            assert self.flow.reviews == self.task.in_flight >= 0
            assert self.flow.bytes >= 0

    def teardown(self) -> None:
        """Everything delivered in the end, everything is committed."""
        if not hasattr(self, "logs"):
            return
        assert self.task is not None
        while self.unprepared:
            self.prepare(set())
        for entry in self.waiting:
            entry.outcome = TOMBSTONE
        self.task.completed()
        self.acknowledge(len(self.collector.sent), True)
        self.commit()
        assert self.task.in_flight == self.flow.reviews == self.flow.bytes == 0
        for partition, offsets in self.submitted.items():
            if offsets:
                assert self.committed[partition] == offsets[-1] + 1


TestStreamTask = StreamTaskMachine.TestCase
