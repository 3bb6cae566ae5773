"""How much is on its way to the broker at once."""

from __future__ import annotations

import asyncio

import pytest
from worker_process import eventually

from worker.delivery.room import PublishingRoom

NEVER_S = 3600.0


class Groups:
    """Groups of records that are let through, and acknowledged when the test says so."""

    def __init__(self, room: PublishingRoom) -> None:
        self._room = room
        self._acknowledged: dict[str, asyncio.Event] = {}
        self.under_way: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def send(self, name: str, size_bytes: int) -> None:
        self._acknowledged[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._send(name, size_bytes))

    async def acknowledge(self, name: str) -> None:
        self._acknowledged[name].set()
        await self.tasks[name]
        await settled()

    async def _send(self, name: str, size_bytes: int) -> None:
        async with self._room.taken(size_bytes):
            self.under_way.append(name)
            await self._acknowledged[name].wait()
            self.under_way.remove(name)


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_groups_pass_as_long_as_they_fit_in_the_order_in_which_they_ask() -> None:
    groups = Groups(PublishingRoom(10, NEVER_S))
    for name, size_bytes in (("a", 6), ("b", 3), ("c", 5), ("d", 1)):
        groups.send(name, size_bytes)
    await settled()
    assert groups.under_way == ["a", "b"]  # "d" would fit, and does not overtake
    await groups.acknowledge("a")
    assert groups.under_way == ["b", "c", "d"]
    for name in ("b", "c", "d"):
        await groups.acknowledge(name)


async def test_a_group_larger_than_the_room_passes_alone() -> None:
    groups = Groups(PublishingRoom(10, NEVER_S))
    groups.send("small", 1)
    groups.send("huge", 1000)
    groups.send("next", 1)
    await settled()
    assert groups.under_way == ["small"]
    await groups.acknowledge("small")
    assert groups.under_way == ["huge"]
    await groups.acknowledge("huge")
    assert groups.under_way == ["next"]
    await groups.acknowledge("next")


async def test_one_that_no_broker_acknowledges_keeps_no_other_waiting_and_gives_back_once() -> None:
    groups = Groups(PublishingRoom(10, late_s=0.0))
    groups.send("stuck", 10)
    groups.send("well", 10)
    await eventually(lambda: groups.under_way == ["stuck", "well"], "both are under way")
    await groups.acknowledge("stuck")
    await groups.acknowledge("well")
    room = PublishingRoom(10, NEVER_S)
    with pytest.raises(asyncio.CancelledError):
        async with room.taken(10):
            raise asyncio.CancelledError
    async with asyncio.timeout(30), room.taken(10):
        pass
