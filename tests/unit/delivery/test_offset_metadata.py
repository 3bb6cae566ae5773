"""What stands beside a committed offset, in the form of now, in those before, and in anybody's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.delivery.offset_metadata import OffsetMetadata

IDS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", max_size=22)


@given(IDS, st.booleans())
def test_it_is_read_as_it_was_written(topic_id: str, exactly_once: bool) -> None:
    written = OffsetMetadata(topic_id, exactly_once)
    assert OffsetMetadata.parse(str(written)) == written


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (None, OffsetMetadata()),
        ("", OffsetMetadata()),
        ("exactly_once", OffsetMetadata(exactly_once=True)),
        ("topic_id=A-_9 exactly_once", OffsetMetadata("A-_9", exactly_once=True)),
        ("of_a_newer_worker=3 topic_id=A", OffsetMetadata("A")),
        ("reset by hand", OffsetMetadata()),
    ],
)
def test_older_newer_and_foreign_forms_are_read(text: str | None, read: OffsetMetadata) -> None:
    assert OffsetMetadata.parse(text) == read


@given(st.text())
def test_no_text_is_an_error(text: str) -> None:
    OffsetMetadata.parse(text)


def test_an_offset_counts_in_its_own_topic_and_where_ids_are_not_known() -> None:
    offset = OffsetMetadata("A")
    assert offset.is_of("A")
    assert offset.is_of("")
    assert OffsetMetadata().is_of("B")
    assert not offset.is_of("B")
