"""What the label of a row means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import UsageError
from worker.modelkit.evaluation.labels import LabelReader

STARS = ("1", "2", "3", "4", "5")


@pytest.mark.parametrize("value", ["pos", " pos ", "POS", "Pos", 1, "1", 1.0, "1.0", "1.00"])
def test_a_label_may_be_a_name_or_a_number(value: object) -> None:
    assert LabelReader(("neg", "pos")).index(value) == 1


@pytest.mark.parametrize("value", ["positive", "", "2", -1, 2, 0.5, "1.5", True, None, [1], {"label": 1}, float("nan")])
def test_what_is_no_label_of_the_model_means_none(value: object) -> None:
    assert LabelReader(("neg", "pos")).index(value) is None


@pytest.mark.parametrize("value", ["4", 4, 4.0, "4.0"])
def test_labels_that_are_numbers_are_names_and_never_counted(value: object) -> None:
    assert LabelReader(STARS).index(value) == 3


@pytest.mark.parametrize("value", [0, "0"])
def test_a_number_that_is_no_name_means_nothing_where_names_are_numbers(value: object) -> None:
    assert LabelReader(STARS).index(value) is None


def test_capitals_count_where_they_make_a_difference() -> None:
    reader = LabelReader(("A", "a", "other"))
    assert [reader.index(value) for value in ("A", "a", "OTHER")] == [0, 1, 2]
    assert LabelReader(("Ab", "aB")).index("ab") is None


def test_other_spellings_lead_to_labels() -> None:
    reader = LabelReader(STARS, {"bad": "1", "true": "5", "0": "1"})
    assert [reader.index(value) for value in ("bad", True, 0, "2")] == [0, 4, 0, 1]


def test_a_spelling_goes_before_the_models_own_numbers() -> None:
    assert LabelReader(("neg", "pos"), {"1": "neg", "2": "POS"}).index(1) == 0


def test_a_spelling_that_leads_nowhere_is_named_with_the_labels_there_are() -> None:
    with pytest.raises(
        UsageError, match=r"^--map good=positive: the model has no label 'positive'; it knows neg, pos$"
    ):
        LabelReader(("neg", "pos"), {"good": "positive"})


@pytest.mark.parametrize(
    ("value", "shown"),
    [("fine", "'fine'"), (7, "'7'"), ("x" * 5_000, "a text of 5000 characters"), ([1], "a list"), (True, "'true'")],
)
def test_a_fault_shows_the_label_and_those_of_the_model_but_no_long_text(value: object, shown: str) -> None:
    fault = LabelReader(("neg", "pos")).fault(value)
    assert fault == f"the label is {shown}, and the model knows neg, pos (--map SPELLING=LABEL translates)"


@given(st.lists(st.text().map(str.strip).filter(bool), min_size=2, max_size=6, unique=True))
def test_every_label_means_itself(labels: list[str]) -> None:
    reader = LabelReader(labels)
    assert [reader.index(label) for label in labels] == list(range(len(labels)))
