"""The offset tracker against a naive one that remembers every offset it was ever told."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from worker.pipeline.offsets import OffsetTracker
from worker.records import TopicPartition

PARTITIONS = [TopicPartition("reviews.in", number) for number in range(3)]
partitions = st.sampled_from(PARTITIONS)


class TrackerMachine(RuleBasedStateMachine):
    """Assignments, gaps, completions in any order and late ones, commits that answer late."""

    @initialize()
    def start(self):
        self.tracker = OffsetTracker()
        self.generation = 0
        self.stale: list[tuple[TopicPartition, int, int]] = []  # partition, offset, generation
        self.commits: list[tuple[dict[TopicPartition, int], int]] = []  # asked for, not answered
        self._assign(set(PARTITIONS))

    @rule(assigned=st.sets(partitions))
    def rebalance(self, assigned):
        self._retire(self.delivered)
        self._assign(assigned)

    @rule(partition=partitions)
    def revoke(self, partition):
        if partition in self.delivered:
            self._retire([partition])
            self.tracker.revoke([partition])
            for state in (self.delivered, self.completed, self.committed):
                del state[partition]

    @rule(partition=partitions, steps=st.lists(st.integers(1, 4), max_size=8))
    def submit(self, partition, steps):
        if partition in self.delivered:
            offsets = []
            for step in steps:
                self.position[partition] += step
                offsets.append(self.position[partition])
            assert self.tracker.submit(partition, offsets, self.generation)
            self.delivered[partition] += offsets

    @rule(partition=partitions, data=st.data())
    def complete(self, partition, data):
        in_flight = self._in_flight(partition)
        if in_flight:
            offsets = data.draw(st.lists(st.sampled_from(in_flight), unique=True))
            assert self.tracker.complete(partition, offsets, self.generation)
            self.completed[partition].update(offsets)

    @rule(data=st.data())
    def complete_late(self, data):
        if self.stale:
            partition, offset, generation = data.draw(st.sampled_from(self.stale))
            assert not self.tracker.complete(partition, [offset], generation)
            if generation < self.generation:
                assert not self.tracker.submit(partition, [offset], generation)

    @rule()
    def ask_for_a_commit(self):
        self.commits.append((self.tracker.committable_offsets(), self.generation))

    @rule(data=st.data())
    def answer_a_commit(self, data):
        if self.commits:
            offsets, generation = self.commits.pop(data.draw(st.integers(0, len(self.commits) - 1)))
            assert self.tracker.mark_committed(offsets, generation) == (generation == self.generation)
            if generation == self.generation:
                for partition, offset in offsets.items():
                    if partition in self.committed:
                        self.committed[partition] = max(self.committed[partition], offset)

    @invariant()
    def committable_is_safe_and_maximal(self):
        if not hasattr(self, "tracker"):
            return
        committable = self.tracker.committable_offsets()
        for partition, offset in committable.items():
            assert all(done in self.completed[partition] for done in self.delivered[partition] if done < offset)
        assert committable == self._expected()

    @invariant()
    def in_flight_is_what_is_not_completed(self):
        if hasattr(self, "tracker"):
            for partition in PARTITIONS:
                assert self.tracker.in_flight(partition) == len(self._in_flight(partition))
            assert self.tracker.in_flight() == sum(len(self._in_flight(partition)) for partition in PARTITIONS)

    def _assign(self, assigned):
        self.generation += 1
        self.tracker.assign(assigned, self.generation)
        self.delivered = {partition: [] for partition in assigned}
        self.completed = {partition: set() for partition in assigned}
        self.committed = dict.fromkeys(assigned, -1)
        self.position = dict.fromkeys(assigned, -1)

    def _retire(self, retired):
        for partition in retired:
            self.stale += [(partition, offset, self.generation) for offset in self._in_flight(partition)]

    def _in_flight(self, partition):
        done = self.completed.get(partition, set())
        return [offset for offset in self.delivered.get(partition, []) if offset not in done]

    def _expected(self):
        """For each partition, the offset after the last delivered one below which everything is completed."""
        expected = {}
        for partition, delivered in self.delivered.items():
            for offset in delivered:
                if offset not in self.completed[partition]:
                    break
                if offset + 1 > self.committed[partition]:
                    expected[partition] = offset + 1
        return expected


TrackerMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestOffsetTracker = TrackerMachine.TestCase
