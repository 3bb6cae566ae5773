"""``python failing_worker.py MODEL``: the worker of `special_worker.py`, one background routine of which raises.

``TEST_FAILING`` names the routine (`ROUTINES`).
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any, NamedTuple

import special_worker
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import Fetcher

from worker.delivery.lane import Lane
from worker.delivery.transaction_lane import TransactionLane
from worker.delivery.transactional_collector import TransactionalCollector
from worker.faust_app.added_partitions import AddedPartitions
from worker.faust_app.consumer_thread import ConsumerThread
from worker.faust_app.place_in_group import PlaceInGroup
from worker.faust_app.service import WorkerService
from worker.faust_app.watch import Watch
from worker.pipeline.pipeline import Pipeline
from worker.preparation import RecordPreparer
from worker.tracing.spans import ReviewSpans

FAILING_VARIABLE = "TEST_FAILING"


class Routine(NamedTuple):
    """What raises, and the settings that it takes to come to it."""

    owner: type
    method: str
    error: BaseException
    settings: dict[str, str]


def _routine(owner: type, method: str, error: BaseException | None = None, **settings: str) -> Routine:
    return Routine(owner, method, error or AttributeError("broken on purpose"), settings)


ROUTINES = {
    "loading": _routine(WorkerService, "_start"),
    "an assignment that begins": _routine(ConsumerThread, "_begin"),
    "an assignment that comes": _routine(ConsumerThread, "_assign"),
    "an assignment that goes": _routine(ConsumerThread, "_revoke"),
    "the handing over of records": _routine(ConsumerThread, "_fetch_records"),
    "the place in the group": _routine(PlaceInGroup, "watch"),
    "added partitions": _routine(AddedPartitions, "watch", group_instance_id="one"),
    "aiokafka's fetching": _routine(Fetcher, "_fetch_requests_routine"),
    "aiokafka's metadata": _routine(AIOKafkaClient, "_md_synchronizer"),
    "intake": _routine(Pipeline, "_intake"),
    "preparing": _routine(RecordPreparer, "prepare"),
    "collecting what is prepared": _routine(Pipeline, "_collect_prepared"),
    "cutting batches": _routine(Pipeline, "_next_batch"),
    "inference": _routine(Pipeline, "_infer"),
    "committing": _routine(Pipeline, "_commit_routine"),
    "committing, cancelled by nobody": _routine(Pipeline, "_commit_routine", asyncio.CancelledError()),
    "publishing": _routine(Lane, "_gather"),
    "transactions": _routine(TransactionLane, "_gather", processing_guarantee="exactly_once"),
    "taking over": _routine(TransactionalCollector, "take_over", processing_guarantee="exactly_once"),
    "the making of spans": _routine(ReviewSpans, "_end", tracing="true"),
    "the watchdog": _routine(Watch, "look"),
}


def fail(routine: Routine) -> None:
    """Let the routine raise from now on."""

    def raise_at_once(*args: Any, **kwargs: Any) -> Any:
        raise routine.error

    async def raise_when_run(*args: Any, **kwargs: Any) -> Any:
        raise routine.error

    is_coroutine = asyncio.iscoroutinefunction(getattr(routine.owner, routine.method))
    setattr(routine.owner, routine.method, raise_when_run if is_coroutine else raise_at_once)


if __name__ == "__main__":
    fail(ROUTINES[os.environ[FAILING_VARIABLE]])
    special_worker.main(sys.argv[1])
