"""The batch queue against a naive one that keeps a list and looks at all of it every time."""

import itertools

import pytest
from entries import lengths_of, make_entry, make_windows
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from worker.batching import Batch, BatchLimits, BatchQueue, ShapeLadder
from worker.batching.cut import CutLimits, best_cut, token_price
from worker.records import Part

MAX_TOKENS = 240
MAX_LENGTH = 60
LADDERS = (None, ShapeLadder(lengths=(8, 16, 24, 40, MAX_LENGTH), rows=(1, 2, 4, 6)))


class QueueMachine(RuleBasedStateMachine):
    """Appends, cuts, lowers the budget and lets time pass; every batch is checked against what waits."""

    @initialize(
        ladder=st.sampled_from(LADDERS),
        reviews=st.integers(1, 6),
        window=st.integers(1, 40),
        linger_s=st.sampled_from([0.0, 2.0]),
    )
    def start(self, ladder, reviews, window, linger_s):
        self.limits = BatchLimits(MAX_TOKENS, reviews, window, linger_s=linger_s, max_wait_s=10.0, ladder=ladder)
        self.queue = BatchQueue(self.limits)
        self.waiting: list[Part] = []
        self.max_tokens = MAX_TOKENS
        self.now = 100.0
        self.first_went_last_time = False
        self.patience: dict[int, int] = {}  # entry -> batches that may still go by without it

    @rule(lengths=st.lists(st.integers(1, MAX_LENGTH), max_size=12), ages=st.lists(st.integers(0, 30), min_size=12))
    def extend(self, lengths, ages):
        entries = [
            make_entry(length, arrived_at=self.now, waiting_since=self.now - age)
            for length, age in zip(lengths, ages, strict=False)
        ]
        self.queue.extend(entries)
        self.waiting.extend(entries)

    @rule(lengths=st.lists(st.integers(1, MAX_LENGTH), min_size=2, max_size=6), age=st.integers(0, 30))
    def extend_by_windows(self, lengths, age):
        windows = make_windows(*lengths, arrived_at=self.now, waiting_since=self.now - age)
        self.queue.extend(windows)
        self.waiting.extend(windows)

    @rule(seconds=st.floats(0.0, 8.0))
    def let_time_pass(self, seconds):
        self.now += seconds

    @rule(max_tokens=st.integers(1, 2 * MAX_TOKENS))
    def limit_tokens(self, max_tokens):
        self.queue.limit_tokens(max_tokens)
        self.max_tokens = min(max_tokens, MAX_TOKENS)

    @precondition(lambda self: len(self.waiting) > 20)
    @rule()
    def clear(self):
        self.queue.clear()
        self.waiting.clear()
        self.patience.clear()
        self.first_went_last_time = False

    @rule(drain=st.booleans())
    def cut(self, drain):
        ready_at = self.queue.ready_at(self.now)
        batch = self.queue.next_batch(self.now, drain=drain)
        assert ready_at == self._expected_ready_at()
        if batch is None:
            assert not self.waiting or (ready_at > self.now and not drain)
            return
        assert drain or ready_at == self.now
        self._check_bounds(batch)
        self._check_turn(batch)
        self._check_neighbours(batch)
        self._check_patience(batch)
        taken = {id(entry) for entry in batch.parts}
        assert len(taken) == len(batch.parts)
        assert taken <= {id(entry) for entry in self.waiting}
        self.waiting = [entry for entry in self.waiting if id(entry) not in taken]

    @invariant()
    def nothing_is_lost(self):
        if hasattr(self, "queue"):
            assert len(self.queue) == len(self.waiting)

    def _expected_ready_at(self):
        if not self.waiting:
            return None
        tokens = sum(Batch([entry], self.limits.ladder).length for entry in self.waiting)
        full = len(self.waiting) >= self.limits.max_batch_reviews or tokens >= self.max_tokens
        if full or self.limits.linger_s == 0:
            return self.now
        lingered_at = min(entry.arrived_at for entry in self.waiting) + self.limits.linger_s
        overdue_at = min(entry.waiting_since for entry in self.waiting) + self.limits.max_wait_s
        return max(self.now, min(lingered_at, overdue_at))

    def _check_bounds(self, batch):
        assert len(batch.parts) <= self.limits.max_batch_reviews
        assert batch.padded_tokens <= self.max_tokens or len(batch.parts) == 1
        assert batch.padded_tokens <= MAX_TOKENS

    def _check_turn(self, batch):
        first, oldest = self.waiting[0], min(self.waiting, key=lambda entry: entry.waiting_since)
        overdue = self.now - first.arrived_at >= self.limits.max_wait_s
        self.first_went_last_time = overdue and not self.first_went_last_time
        assert (first if self.first_went_last_time else oldest) in batch.parts

    def _check_neighbours(self, batch):
        lengths = lengths_of(batch.parts)
        assert self.limits.ladder or lengths == sorted(lengths, reverse=True)
        if len(self.waiting) <= self.limits.window_reviews:
            left = set(lengths_of(self.waiting)) - set(lengths)
            between = range(min(lengths) + 1, max(lengths)) if self.limits.ladder is None else ()
            assert not left.intersection(between)

    def _check_patience(self, batch):
        for rank, entry in enumerate(self.waiting):
            if self.now - entry.arrived_at >= self.limits.max_wait_s:
                self.patience.setdefault(id(entry), 2 * (rank + 1))
        for entry in batch.parts:
            self.patience.pop(id(entry), None)
        self.patience = {entry: left - 1 for entry, left in self.patience.items()}
        assert all(left > 0 for left in self.patience.values())

    def teardown(self):
        if not hasattr(self, "queue"):
            return
        while self.waiting:
            self.cut(drain=True)
        assert self.queue.next_batch(self.now, drain=True) is None


QueueMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestBatchQueue = QueueMachine.TestCase


def all_groups(lengths, anchor, limits):
    """Each group that may be cut: a run of neighbours in length, whatever it leaves of its longest and shortest."""
    ascending = sorted(lengths)
    for first, last in itertools.combinations(range(len(ascending) + 1), 2):
        group = ascending[first:last]
        if anchor in group and len(group) <= limits.max_rows and len(group) * group[-1] <= limits.max_tokens:
            yield group


@given(
    lengths=st.lists(st.integers(1, MAX_LENGTH), min_size=1, max_size=25),
    choice=st.integers(0),
    max_tokens=st.integers(MAX_LENGTH, 1000),
    max_rows=st.integers(1, 12),
)
def test_no_group_around_the_anchor_is_worth_more(lengths, choice, max_tokens, max_rows):
    anchor = lengths[choice % len(lengths)]
    waiting = {length: range(lengths.count(length)) for length in lengths}
    ascending = sorted(waiting)
    limits = CutLimits(max_tokens, max_rows, token_price(sum(lengths), max_tokens))
    cut = best_cut(ascending, waiting, ascending.index(anchor), limits)
    rows, real = sum(count for _, count in cut), sum(length * count for length, count in cut)
    value = limits.value(real, rows, cut[0][0])
    assert anchor in dict(cut)
    assert 1 - real / (rows * cut[0][0]) <= 1 - 1 / limits.price
    best = max(limits.value(sum(group), len(group), group[-1]) for group in all_groups(lengths, anchor, limits))
    assert value >= best or value == pytest.approx(best)


@given(
    lengths=st.lists(st.integers(1, 64), min_size=1, max_size=9),
    ladder=st.sampled_from([None, ShapeLadder(lengths=(8, 16, 40, 64), rows=(2, 4, 9, 12))]),
    pad_id=st.integers(0, 5),
)
def test_padded_arrays_give_every_encoding_back(lengths, ladder, pad_id):
    batch = Batch([make_entry(length) for length in lengths], ladder)
    ids, row_lengths = batch.arrays(pad_id)
    assert ids.shape == (batch.rows, batch.length)
    assert row_lengths.shape == (batch.rows,)
    for row, entry in enumerate(batch.parts):
        assert ids[row, : row_lengths[row]].tolist() == entry.encoding.ids.tolist()
        assert (ids[row, row_lengths[row] :] == pad_id).all()
    assert (ids[len(lengths) :] == pad_id).all()
    assert (row_lengths[len(lengths) :] == 1).all()
    assert 0.0 <= batch.padding_waste < 1.0
