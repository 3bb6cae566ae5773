from __future__ import annotations

import queue
from collections.abc import Iterator

import pytest

from worker.cli.lines import in_groups, in_groups_async


def failing(count: int) -> Iterator[int]:
    yield from range(count)
    raise OSError("the disk is gone")


def test_all_items_come_in_order_and_in_groups_that_are_not_too_large():
    groups = list(in_groups(range(1000), 7))
    assert [item for group in groups for item in group] == list(range(1000))
    assert max(map(len, groups)) <= 7
    assert min(map(len, groups)) >= 1


def test_no_items_are_no_groups():
    assert list(in_groups([], 5)) == []


def test_an_item_is_handed_over_without_waiting_for_the_next():
    source: queue.Queue[str] = queue.Queue()
    groups = in_groups(iter(source.get, "end"), 5)
    for item in ("one", "two"):
        source.put(item)
        assert next(groups) == [item]
    source.put("end")
    assert list(groups) == []


def test_an_error_is_raised_after_what_came_before_it():
    seen: list[int] = []
    with pytest.raises(OSError, match="the disk is gone"):
        for group in in_groups(failing(10), 3):
            seen.extend(group)
    assert seen == list(range(10))


async def test_an_event_loop_gets_the_same_items():
    assert [item async for group in in_groups_async(range(1000), 7) for item in group] == list(range(1000))


async def test_an_event_loop_gets_the_error_after_what_came_before_it():
    seen: list[int] = []
    with pytest.raises(OSError, match="the disk is gone"):
        async for group in in_groups_async(failing(10), 3):
            seen.extend(group)
    assert seen == list(range(10))
