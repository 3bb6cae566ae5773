from __future__ import annotations

import io

import click
import orjson
import pytest
from rich.console import Console

from worker.cli.demo.events import BROKEN_EVENTS, built_in_reviews, reviews
from worker.cli.terminal import plain_line, print_table, printable, review_line


def test_a_review_cannot_steer_the_terminal():
    assert printable("red \x1b[31m\x07 alarm\r\nnext\u202e") == "red [31m alarm next"


def test_a_long_review_is_cut_to_the_width():
    assert printable("word " * 100, 20) == "word word word word…"
    assert len(click.unstyle(review_line("pos", 0.9876, "word " * 100))) <= 80


def test_a_plain_line_has_three_fields_whatever_the_text_holds():
    assert plain_line("neg", 0.25, "a\tb\nc") == "neg\t0.250\ta b c"


def test_the_built_in_reviews_are_about_forty_and_all_different():
    built_in = built_in_reviews()
    assert 35 <= len(built_in) <= 45
    assert len({identity for identity, _ in built_in}) == len(built_in)
    assert len({text for _, text in built_in}) == len(built_in)
    lengths = [len(text) for _, text in built_in]
    assert min(lengths) < 20
    assert max(lengths) > 400


def test_as_many_events_as_asked_for_are_made_each_with_its_own_key_and_text():
    events = list(reviews(205))
    assert len(events) == 205
    assert len({key for key, _ in events}) == 205
    assert len({orjson.loads(value)["text"] for _, value in events}) == 205
    assert all(orjson.loads(value)["review_id"].encode() == key for key, value in events)


def test_two_events_are_broken():
    assert len(BROKEN_EVENTS) == 2


@pytest.mark.parametrize("width", [20, 60, 200])
def test_a_table_is_whole_on_a_terminal_of_any_width(width: int):
    console = Console(file=io.StringIO(), width=width)
    rows = [["reviews.classified", "6", "7 days"], ["a-long-name-of-a.topic.of-our-own", "missing", ""]]
    print_table(console, ["topic", "partitions", "retention"], rows, caption="lag of the group g", alarming="missing")
    shown = console.file.getvalue()
    assert "…" not in shown
    for cell in ("topic", "partitions", "retention", "lag of the group g", *rows[0], rows[1][0], "missing"):
        assert cell in shown
    assert ("┃" in shown) is (width == 200)
