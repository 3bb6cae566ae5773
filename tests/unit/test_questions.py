"""What a consumer asks for does not wait behind its fetches."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest

from worker.consumers.questions import ask_apart
from worker.topic_id import CONNECTION


async def test_questions_go_through_a_connection_on_which_no_fetch_waits() -> None:
    sent: list[tuple[type, Any]] = []

    async def send(node_id: int, request: Any, *, group: int = 0) -> None:
        sent.append((type(request), group))

    client = SimpleNamespace(send=send)
    ask_apart(client)
    await client.send(1, OffsetRequest(-1, 1, []))
    await client.send(1, FindCoordinatorRequest("reviews-worker", 0))
    await client.send(1, FetchRequest(1500, 1, 1024, 1, []))
    await client.send(1, OffsetRequest(-1, 1, []), group=1)
    assert sent == [
        (OffsetRequest, CONNECTION),
        (FindCoordinatorRequest, CONNECTION),
        (FetchRequest, 0),
        (OffsetRequest, 1),
    ]
