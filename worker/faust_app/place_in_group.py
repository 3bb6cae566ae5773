"""Whether a consumer still has its place in the group, and what becomes of it when it has not.

aiokafka 0.14 joins with the instance id (JoinGroup 5, SyncGroup 3) but sends heartbeats and commits without it, and
does not know the error that says that another member has the id (FENCED_INSTANCE_ID, 82). So two workers with one
``group_instance_id`` would take each other's place at every heartbeat, for ever; and where the broker refuses one of
them while it joins, its coordinator waits for somebody to ask for the error, which Faust never does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Callable
from typing import Any

from aiokafka.errors import KafkaError
from aiokafka.protocol.group import LeaveGroupRequest

from worker.errors import FatalError, UsageError
from worker.faust_app.group_description import describe_group
from worker.security import passes, refusal_of, refused_as
from worker.security.codes import FENCED_INSTANCE_ID

logger = logging.getLogger(__name__)

WATCH_INTERVAL_S = 0.5
RETRY_PAUSE_S = 0.5
LEAVE_TIMEOUT_S = 2.0
REMINDER_S = 60.0
_UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class PlaceInGroup:
    """The place of one consumer that is started. For the consumer's event loop; looks at aiokafka's coordinator."""

    def __init__(self, consumer: Any, lost: Callable[[FatalError], None]) -> None:
        self._client = consumer._client
        self._coordinator = consumer._coordinator
        self._lost = lost
        self._known_as = ""
        self._said_at = float("-inf")

    async def watch(self) -> None:
        """Wait until the coordinator has given up for good, and call `lost` with the reason."""
        while True:
            self._known_as = self._coordinator.member_id or self._known_as
            await asyncio.sleep(WATCH_INTERVAL_S)
            wrapped = self._given_up()
            if wrapped is None:
                continue
            error = refused_as(wrapped)
            if self._coordinator._coordination_task.done() or not passes(error):
                self._lost(await self._explained(error))
                return
            self._try_again(error)

    def _try_again(self, error: BaseException) -> None:
        """aiokafka waits for somebody to look at the error, and joins again then."""
        if time.monotonic() - self._said_at > REMINDER_S:
            self._said_at = time.monotonic()
            logger.warning("the group %s cannot be joined now (%s); trying again", self._coordinator.group_id, error)
        self._coordinator.request_rejoin()
        with contextlib.suppress(KafkaError):
            self._coordinator.check_errors()

    async def check(self) -> None:
        """Call before the group is joined again. When another worker has our place, calls `lost`, and then returns only
        when the consumer is closed, without having joined: the other one would lose the place in its turn.
        """
        coordinator = self._coordinator
        forgotten = coordinator._group_instance_id and self._known_as and not coordinator.member_id
        if forgotten and await self._other_holder():
            self._lost(self._taken())
            await asyncio.wait([coordinator._closing])
            coordinator.coordinator_dead()

    async def give_up(self) -> None:
        """Leave in the middle of a rebalance, which ends for this member with that.

        Otherwise it would be given partitions that nobody reads. Not on the connection that waits for the rebalance.
        """
        coordinator = self._coordinator
        if coordinator.coordinator_id is None or not coordinator.member_id or coordinator._group_instance_id:
            return
        with contextlib.suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                request = LeaveGroupRequest(coordinator.group_id, coordinator.member_id)
                await self._client.send(coordinator.coordinator_id, request)

    def _given_up(self) -> BaseException | None:
        task = self._coordinator._coordination_task
        if task.done() and not task.cancelled():
            ended: BaseException | None = task.exception()
            return ended
        pending: BaseException | None = self._coordinator._pending_exception
        return pending

    async def _explained(self, error: BaseException) -> FatalError:
        coordinator = self._coordinator
        if isinstance(error, FENCED_INSTANCE_ID) or (coordinator._group_instance_id and await self._other_holder()):
            return self._taken()
        node = coordinator._client.get_random_node()
        session_timeout_s = coordinator._session_timeout_ms / 1000
        return await refusal_of(error, coordinator._client, node, coordinator.group_id, session_timeout_s)

    def _taken(self) -> UsageError:
        return UsageError(
            f"another worker has the group_instance_id {self._coordinator._group_instance_id!r} and took this worker's"
            f" place in group {self._coordinator.group_id}; give each worker an id of its own, or none"
        )

    async def _other_holder(self) -> bool:
        """Whether a member that is not this one has our instance id; its member id is that and a random one."""
        coordinator = self._coordinator
        ours = re.compile(re.escape(coordinator._group_instance_id) + "-" + _UUID)
        while not coordinator._closing.done():
            try:
                group = await describe_group(coordinator)
            except KafkaError:
                await asyncio.sleep(RETRY_PAUSE_S)
                continue
            return any(ours.fullmatch(each) and each != coordinator.member_id for each in group.members)
        return False
