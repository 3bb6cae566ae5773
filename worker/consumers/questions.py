"""A consumer's questions go where no fetch keeps them waiting.

A broker answers one request of a connection after the other, and a fetch may wait for records for long. aiokafka 0.14
asks for offsets and for the coordinator through the connection that fetches. Each question would wait as long as the
fetch before it, and where the broker ends sessions of about that length it would never be answered.
"""

from __future__ import annotations

from typing import Any

from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.offset import OffsetRequest

from worker.topic_id import CONNECTION

QUESTIONS = (FindCoordinatorRequest, OffsetRequest)


def ask_apart(client: Any) -> None:
    """Let this client send questions through the connection on which it asks for the ids of topics."""
    send = client.send

    async def send_apart(node_id: int, request: Any, **options: Any) -> Any:
        if isinstance(request, QUESTIONS):
            options.setdefault("group", CONNECTION)
        return await send(node_id, request, **options)

    client.send = send_apart
