"""Whole workers in one group, and any history of joins, leaves, kills, rebalances and faults."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pytest
from fakes import FakeBroker, FakeGroup, FakeSession, FakeWorker
from hypothesis import given
from hypothesis import strategies as st
from pipeline_parts import until

from worker.inference import Artifact
from worker.records import Encoding, TopicPartition
from worker.settings import Settings
from worker.tokenization.tokenizer import Tokenizer

SETTINGS = Settings(
    group="group",
    commit_interval_s=0.001,
    grace_period_s=30.0,
    max_in_flight_reviews=48,
    batch_window_reviews=48,
    max_batch_reviews=8,
    fuse_share=1.0,
    fuse_run_length=10_000,
    overflow="windows",
    window_overlap_tokens=3,
    max_windows=5,
)
MAX_LENGTH = 12
"""So short that a few words take several windows."""
INPUT = [TopicPartition("reviews.in", number) for number in range(3)]
EVENTS = {
    "review": b'{"text": "review %d"}',
    "tombstone": None,
    "rejected": b"no JSON %d",
    "poison": b'{"text": "poison", "n": %d}',
    "long": b'{"text": "review %d of a film that is much too long, though its first half hour was rather good fun"}',
    "long poison": b'{"text": "a film that is much too long and has poison in one of its many windows, alas", "n": %d}',
    "marker": b"",
}
STEPS = st.one_of(
    st.tuples(st.just("produce"), st.integers(0, 2), st.lists(st.sampled_from(sorted(EVENTS)), max_size=20)),
    st.tuples(st.just("work"), st.integers(0, 30)),
    st.sampled_from(
        [("join",), ("leave",), ("kill",), ("fence",), ("rebalance",), ("away",), ("back",), ("unacknowledged",)]
    ),
    st.tuples(st.just("fail"), st.booleans()),
    st.tuples(st.just("seek"), st.integers(0, 2)),
)


class Simulation:
    """One history, and what must be true at each commit and at its end."""

    def __init__(self, tokenizer: Tokenizer, guarantee: str) -> None:
        self.settings = SETTINGS.model_copy(update={"processing_guarantee": guarantee})
        self.broker = FakeBroker()
        for topic in ("reviews.in", "reviews.classified", "reviews.dlq"):
            self.broker.create_topic(topic, 3)
        self.broker.on_commit.append(self.check_commit)
        self.group = FakeGroup(self.broker, "group", "reviews.in")
        self.session = FakeSession()
        self.session.poison([tokenizer.encode("poison")])
        windows = tokenizer.encode(json.loads(EVENTS["long poison"] % 1)["text"]).windows
        assert len(windows) == 3
        self.session.poison([Encoding(windows[1], truncated=False)])
        self.tokenizer = tokenizer
        self.workers: list[FakeWorker] = []
        self.zombies: list[FakeWorker] = []
        self.number = 0
        self.violations: list[str] = []

    async def run(self, steps: list[tuple]) -> None:
        await self.join()
        for name, *arguments in steps:
            await getattr(self, name)(*arguments)
        await self.back()
        if not self.workers:
            await self.join()
        await until(lambda: self.is_done() or bool(self.failures()))
        for worker in [*self.workers, *self.zombies]:
            assert await worker.stop() == 0 or worker in self.zombies
        assert not self.failures()
        assert not self.violations
        self.check_outputs()

    async def produce(self, partition: int, kinds: list[str]) -> None:
        for kind in kinds:
            template = EVENTS[kind]
            self.number += 1
            if kind == "marker":
                self.broker.skip_offsets(INPUT[partition])
            else:
                value = template % self.number if template is not None else None
                self.broker.append(INPUT[partition], value, key=b"key")

    async def work(self, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    async def join(self) -> None:
        if len(self.workers) < 4:
            worker = FakeWorker(
                self.group, self.settings, session=self.session, tokenizer=self.tokenizer, flush_timeout_s=0.002
            )
            self.workers.append(worker)
            await worker.start()

    async def leave(self) -> None:
        if self.workers and not self.broker.is_away:
            worker = self.workers.pop()
            worker.publisher.release()
            worker.transactions.release()
            assert await worker.stop() == 0

    async def kill(self) -> None:
        if self.workers:
            await self.workers.pop().kill()

    async def fence(self) -> None:
        if self.workers:
            worker = self.workers.pop(0)
            self.zombies.append(worker)
            await self.group.fence(worker.member)

    async def rebalance(self) -> None:
        await self.group.rebalance()

    async def away(self) -> None:
        self.broker.go_away()

    async def back(self) -> None:
        self.broker.come_back()
        for worker in [*self.workers, *self.zombies]:
            worker.publisher.release()
            worker.transactions.release()

    async def fail(self, committed: bool) -> None:
        """The next transaction fails, or only its answer is lost."""
        for worker in self.workers:
            worker.transactions.fail(committed=committed)

    async def unacknowledged(self) -> None:
        for worker in self.workers:
            worker.publisher.hold_acknowledgements()
            worker.transactions.hold()

    async def seek(self, partition: int) -> None:
        committed = self.broker.committed("group").get(INPUT[partition], 0)
        for worker in self.workers:
            if INPUT[partition] in worker.member.partitions:
                worker.member.seek(INPUT[partition], committed)

    def is_done(self) -> bool:
        committed = self.broker.committed("group")
        return all(
            committed.get(partition, 0) > max((record.offset for record in self.broker.records(partition)), default=-1)
            for partition in INPUT
        )

    def failures(self) -> list[BaseException]:
        return [each.pipeline.failed.result() for each in self.workers if each.pipeline.failed.done()]

    def done(self) -> dict[int, list[int]]:
        """Offsets that have an output or a dead letter, by partition, in order of the first of each."""
        offsets: dict[int, list[int]] = defaultdict(list)
        for topic in ("reviews.classified", "reviews.dlq"):
            for partition in self.broker.partitions(topic):
                for record in self.broker.records(partition):
                    headers = dict(record.headers)
                    source = headers.get("source") or b"/%b" % (headers["__streams.errors.offset"] or b"")
                    offsets[partition.partition].append(int(source.rsplit(b"/", 1)[1]))
        return offsets

    def check_commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        done, stored = self.done(), self.broker.committed(group)
        for partition, offset in offsets.items():
            below = {record.offset for record in self.broker.records(partition) if record.offset < offset}
            if not below <= set(done[partition.partition]):
                self.violations.append(f"{partition} committed {offset} without outputs")
            if offset < stored.get(partition, 0):
                self.violations.append(f"{partition} went back to {offset}")

    def check_outputs(self) -> None:
        done = self.done()
        for partition in INPUT:
            assert set(done[partition.partition]) == {each.offset for each in self.broker.records(partition)}
            classified = self.broker.records(TopicPartition("reviews.classified", partition.partition))
            for record in classified:
                if record.value is not None:
                    self.check_result(json.loads(record.value))
            sources = [int((dict(each.headers)["source"] or b"").rsplit(b"/", 1)[1]) for each in classified]
            if self.settings.exactly_once:
                assert len(done[partition.partition]) == len(set(done[partition.partition]))
            # At least once, one that does not know that it lost its partitions publishes on.
            if self.settings.exactly_once or not self.zombies:
                first = list(dict.fromkeys(sources))
                assert first == sorted(first)

    def check_result(self, event: dict[str, Any]) -> None:
        assert "poison" not in event["text"]
        expected = self.session.expected(self.tokenizer.encode(event["text"]))
        result = event["sentiment"]
        assert list(result["scores"].values()) == [round(score, 6) for score in expected.scores]
        assert (result["tokens"], result["windows"]) == (expected.tokens, expected.windows)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    artifact = Artifact.load(None)
    tokenizer = Tokenizer(artifact.pieces_path, max_length=MAX_LENGTH, lower_case=artifact.lower_case)
    return tokenizer.with_overflow(SETTINGS.reading)


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
@given(steps=st.lists(STEPS, max_size=25))
def test_whatever_happens_nothing_is_lost_and_nothing_is_repeated_where_that_is_promised(
    tokenizer: Tokenizer, guarantee: str, steps: list[tuple]
) -> None:
    async def simulate() -> None:
        await Simulation(tokenizer, guarantee).run(steps)

    asyncio.run(simulate())
