"""The measurement: what is counted, how far ahead is read, and what is said of a row that cannot be used."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from evaluation_parts import LABELS, FakeSubject, labelled, source_of
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, log_loss, precision_recall_fscore_support

from worker.errors import SessionError, UsageError
from worker.modelkit.evaluation.evaluation import Evaluation, EvaluationOptions
from worker.modelkit.evaluation.intake import windows
from worker.modelkit.evaluation.labels import LabelReader
from worker.modelkit.evaluation.rows import NoLabel, Row, RowSource
from worker.modelkit.evaluation.run import MIN_WINDOW_ROWS, evaluate

WORDS = st.lists(st.sampled_from(["a", "fine", "film", "with", "no", "end", "9,", "10"]), min_size=1, max_size=30)
BINARY, TERNARY = FakeSubject(), FakeSubject(("bad", "fair", "good"))


def measure(
    fake: FakeSubject, texts: Sequence[str], labels: Sequence[object], options: EvaluationOptions | None = None
) -> Evaluation:
    reader = LabelReader(fake.subject.classifier.labels)
    return evaluate(fake.subject, source_of(labelled(texts, labels)), reader, options)


@given(st.lists(st.tuples(WORDS.map(" ".join), st.integers(0, 1)), min_size=1, max_size=40), st.sampled_from([0, 1]))
@settings(deadline=None, max_examples=40)
def test_two_labels_give_the_figures_of_scikit_learn_for_the_positive_one(
    rows: list[tuple[str, int]], positive: int
) -> None:
    texts, truths = [text for text, _ in rows], [truth for _, truth in rows]
    evaluation = measure(BINARY, texts, truths, EvaluationOptions(positive_label=LABELS[positive]))
    scores = BINARY.scores(texts)
    predicted = scores.argmax(axis=1)
    precision, recall, f1, _ = precision_recall_fscore_support(
        truths, predicted, pos_label=positive, average="binary", labels=[0, 1], zero_division=0.0
    )
    found = evaluation.averages
    assert (found.precision, found.recall, found.f1) == pytest.approx((precision, recall, f1))
    assert evaluation.averaging.method == "binary"
    assert evaluation.averaging.labels == (LABELS[positive],)
    assert evaluation.accuracy == pytest.approx(accuracy_score(truths, predicted))
    assert evaluation.loss == pytest.approx(log_loss(truths, scores / scores.sum(axis=1)[:, None], labels=[0, 1]), 1e-5)


@given(st.lists(st.tuples(WORDS.map(" ".join), st.integers(0, 2)), min_size=1, max_size=40))
@settings(deadline=None, max_examples=40)
def test_more_labels_give_the_macro_averages_of_scikit_learn(rows: list[tuple[str, int]]) -> None:
    texts, truths = [text for text, _ in rows], [truth for _, truth in rows]
    evaluation = measure(TERNARY, texts, truths)
    predicted = TERNARY.scores(texts).argmax(axis=1)
    expected = precision_recall_fscore_support(truths, predicted, average="macro", zero_division=0.0)
    found = evaluation.averages
    assert (found.precision, found.recall, found.f1) == pytest.approx(expected[:3])
    names = TERNARY.subject.classifier.labels
    assert evaluation.averaging.method == "macro"
    assert evaluation.averaging.labels == tuple(names[index] for index in sorted({*truths, *predicted.tolist()}))


def test_without_a_word_the_last_of_two_labels_is_the_positive_one() -> None:
    assert measure(BINARY, ["fine"], ["pos"]).averaging.labels == ("pos",)


def test_many_windows_give_the_same_as_one() -> None:
    texts = [f"review {number} " + "and so on " * (number % 90) for number in range(3 * MIN_WINDOW_ROWS + 7)]
    truths = [number % 2 for number in range(len(texts))]
    fake = FakeSubject()
    evaluation = measure(fake, texts, truths)
    right = fake.scores(texts).argmax(axis=1) == np.array(truths)
    assert evaluation.accuracy == pytest.approx(right.mean())
    assert evaluation.measured.batches == len(fake.session.shapes)
    assert evaluation.measured.padding_waste < 0.05
    assert max(rows * length for rows, length in fake.session.shapes) <= evaluation.measured.max_batch_tokens


def test_a_second_measurement_counts_anew() -> None:
    fake = FakeSubject()
    first = measure(fake, ["fine"] * 9, [0] * 9)
    assert measure(fake, ["fine"] * 9, [0] * 9).measured.batches == first.measured.batches == 1


def test_longer_rows_and_the_others_are_told_apart() -> None:
    texts = ["fine", "long " * 600, "fair"]
    evaluation = measure(BINARY, texts, [0, 0, 1])
    right = BINARY.scores(texts).argmax(axis=1) == np.array([0, 0, 1])
    assert (evaluation.longer.count, evaluation.longer.accuracy) == (1, float(right[1]))
    assert (evaluation.others.count, evaluation.others.accuracy) == (2, (int(right[0]) + int(right[2])) / 2)


class CountedText(str):
    """A text that knows how many of its kind there are."""

    __slots__ = ("__weakref__",)


def test_rows_are_let_go_of_once_they_are_counted() -> None:
    alive, most, read = 0, 0, 0

    def gone() -> None:
        nonlocal alive
        alive -= 1

    def rows(count: int) -> Iterator[Row]:
        nonlocal alive, most, read
        for number in range(count):
            text = CountedText(f"review {number}")
            alive += 1
            weakref.finalize(text, gone)
            most, read = max(most, alive), read + 1
            yield Row(f"line {number + 1}", text, number % 2)

    count = 10 * MIN_WINDOW_ROWS
    fake = FakeSubject()
    evaluation = evaluate(fake.subject, source_of(rows(count)), LabelReader(LABELS))
    assert evaluation.rows.measured == read == count
    assert most <= 2 * MIN_WINDOW_ROWS + 2


def test_a_file_is_read_one_window_ahead_of_what_is_computed() -> None:
    fake = FakeSubject()
    read = 0
    ahead: list[int] = []

    def rows() -> Iterator[Row]:
        nonlocal read
        for number in range(5 * MIN_WINDOW_ROWS):
            read += 1
            yield Row(f"line {number + 1}", "fine", 1)

    evaluate(fake.subject, source_of(rows()), LabelReader(LABELS), progress=lambda _, done: ahead.append(read - done))
    assert ahead
    assert max(ahead) <= MIN_WINDOW_ROWS


def test_a_window_ends_early_with_long_texts() -> None:
    rows = ((Row("", "x" * size, 0), 0) for size in [400, 700, 100, 5_000, 1, 1, 1])
    assert [[len(row.text) for row, _ in window] for window in windows(rows, 3, 1_000)] == [
        [400, 700],
        [100, 5_000],
        [1, 1, 1],
    ]


def test_a_limit_reads_no_more_rows() -> None:
    source = source_of(labelled(["fine"] * 10, [0] * 10))
    evaluation = evaluate(BINARY.subject, source, LabelReader(LABELS), EvaluationOptions(limit=4))
    assert evaluation.rows.read == 4
    assert len(list(source.rows)) == 6


def test_blank_rows_are_counted_and_left_out_with_or_without_a_label() -> None:
    texts = ["fine", " \t\n", "", "\N{ZERO WIDTH SPACE}\N{NO-BREAK SPACE}", "fair"]
    evaluation = measure(BINARY, texts, ["pos", "pos", NoLabel("null"), "none", "neg"])
    assert (evaluation.rows.read, evaluation.rows.measured, evaluation.rows.blank) == (5, 2, 3)


def test_rows_without_a_known_label_are_counted_and_left_out_when_asked() -> None:
    labels = ["pos", NoLabel("'label' is null"), "mixed", "neg", NoLabel("'label' is null")]
    evaluation = measure(BINARY, ["fine"] * 5, labels, EvaluationOptions(skip_unlabelled=True))
    assert (evaluation.rows.measured, evaluation.rows.without_label, evaluation.rows.unknown_label) == (2, 2, 1)


@pytest.mark.parametrize(
    ("label", "fault"),
    [
        ("mixed", "the label is 'mixed', and the model knows neg, pos (--map SPELLING=LABEL translates)"),
        (NoLabel("'label' is null"), "'label' is null"),
    ],
)
def test_the_first_row_without_a_known_label_is_an_error_with_its_place(label: object, fault: str) -> None:
    with pytest.raises(UsageError) as raised:
        measure(BINARY, ["fine", "a secret"], ["pos", label])
    assert str(raised.value) == f"reviews.jsonl, line 2: {fault}; --skip-unlabelled leaves such rows out"


def test_a_file_with_nothing_to_measure_is_an_error_that_says_why() -> None:
    labels = [NoLabel("no"), "mixed", "pos"]
    with pytest.raises(UsageError) as raised:
        measure(BINARY, ["a", "b", " "], labels, EvaluationOptions(skip_unlabelled=True))
    assert str(raised.value) == (
        "reviews.jsonl: no row to measure; 3 read, 1 blank, 2 without a label of the model, the last: the label is"
        " 'mixed', and the model knows neg, pos (--map SPELLING=LABEL translates)"
    )


def test_a_file_without_rows_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"no row to measure; 0 read$"):
        measure(BINARY, [], [])


def test_a_positive_label_that_is_none_is_an_error() -> None:
    with pytest.raises(UsageError, match="--positive-label good: the model knows neg, pos"):
        measure(BINARY, ["fine"], [0], EvaluationOptions(positive_label="good"))


def test_a_positive_label_is_for_two_labels() -> None:
    with pytest.raises(UsageError, match="--positive-label is for models with two labels; this one has 3"):
        measure(TERNARY, ["fine"], [0], EvaluationOptions(positive_label="good"))


def test_a_model_that_fails_is_an_error_that_says_on_which_rows() -> None:
    fake = FakeSubject()
    texts = [f"review {number}" for number in range(MIN_WINDOW_ROWS + 3)]
    fake.session.poison(fake.tokeniser.encode_many(texts[-2:]))
    place = f"from line {MIN_WINDOW_ROWS + 1} to line {MIN_WINDOW_ROWS + 3}"
    with pytest.raises(SessionError, match=rf"^reviews\.jsonl, {place}: this fake session fails"):
        measure(fake, texts, [0] * len(texts))


def test_time_and_speed_are_those_of_the_clock() -> None:
    ticks = iter([100.0, 104.0])
    fake = FakeSubject()
    rows = source_of(labelled(["long " * 400, "fine", "fair"], [0, 1, 1]))
    evaluation = evaluate(fake.subject, rows, LabelReader(LABELS), clock=lambda: next(ticks))
    assert evaluation.runtime_s == 4
    assert evaluation.rows_per_second == 0.75
    assert evaluation.batches_per_second == len(fake.session.shapes) / 4


def test_a_clock_that_stands_still_gives_no_speed() -> None:
    evaluation = evaluate(BINARY.subject, source_of(labelled(["fine"], [0])), LabelReader(LABELS), clock=lambda: 1.0)
    assert (evaluation.rows_per_second, evaluation.batches_per_second) == (0, 0)


def test_progress_goes_up_batch_by_batch_to_the_share_that_was_read() -> None:
    count = 2 * MIN_WINDOW_ROWS
    read = 0

    def rows() -> Iterator[Row]:
        nonlocal read
        for read in range(1, count + 1):
            yield Row(f"line {read}", "long " * 100, 1)

    seen: list[tuple[float, int]] = []
    source = RowSource(source_of([]).path, rows(), lambda: read / count)
    evaluate(BINARY.subject, source, LabelReader(LABELS), progress=lambda share, done: seen.append((share, done)))
    assert seen == sorted(seen)
    assert seen[-1] == (1.0, count)
    assert all(share == pytest.approx(done / count) for share, done in seen)
    assert max(later[1] - earlier[1] for earlier, later in itertools.pairwise(seen)) < MIN_WINDOW_ROWS / 10


def test_with_a_limit_progress_is_the_share_of_it() -> None:
    seen: list[float] = []
    source = RowSource(source_of([]).path, iter(labelled(["fine"] * 100, [0] * 100)), lambda: 0.01)
    options = EvaluationOptions(limit=50)
    evaluate(BINARY.subject, source, LabelReader(LABELS), options, progress=lambda share, _: seen.append(share))
    assert seen[-1] == 1.0
