"""What may be wrong with the inference session."""

from __future__ import annotations

from kafka_tools import Message
from marked_reviews import marked_review
from special_worker import POISON
from worker_process import Gate, eventually

from tests.chaos.scenario import scenario
from tests.chaos.stage import IN_FLIGHT, Stage
from worker.errors import ExitCode

REVIEWS = 600
QUICK_RETRIES = {"retry_backoff_s": 0.05}


@scenario(short=1.0)
async def one_poison_review(stage: Stage) -> None:
    """One review of 600 makes every batch fail that it is in: it alone becomes a dead letter."""
    await stage.create_topics()
    poison = marked_review(0, key=b"poison", partition=1)
    assert poison.value is not None
    poison = Message(poison.value.replace(b"was", POISON.encode() + b" was"), b"poison", partition=1)
    await stage.ledger.produce(stage.servers, [*map(stage.review, range(1, 300)), poison])
    (source,) = (source for source, message in stage.ledger.produced.items() if message.key == b"poison")
    await stage.ledger.produce(stage.servers, map(stage.review, range(300, REVIEWS)))
    (worker,) = await stage.start_workers("worker", special="poisoned-marked")
    await worker.reaches("dead_letters_total{reason=inference_failed}", 1)
    verdict = await stage.settled()
    stage.promise(verdict.dead_letters == 1, f"one event is dead (there are {verdict.dead_letters} dead letters)")
    _, (letter,) = await stage.ledger.outputs(stage.servers)
    stage.promise(letter.key == b"poison", f"{source} is the one that is dead")


@scenario()
async def session_fails_once(stage: Stage) -> None:
    """The first batch fails, and no other: nobody notices."""
    await stage.create_topics()
    await produce(stage)
    await stage.start_workers("worker", special="fails-once", **QUICK_RETRIES)
    verdict = await stage.settled()
    stage.promise(verdict.dead_letters == 0, "a session's fault makes no dead letter")


@scenario(short=1.0)
async def session_fails_for_a_while(stage: Stage) -> None:
    """The session fails on everything, and recovers: the worker tries again, and loses nothing."""
    await stage.create_topics()
    await produce(stage)
    gate = Gate(stage.folder / "gate")
    options = {"variables": gate.variables, "retry_attempts": 1000, **QUICK_RETRIES}
    (worker,) = await stage.start_workers("worker", special="fails-for-a-while", **options)
    await worker.reaches("retries_total{stage=infer}", 5)
    stage.promise(await worker.metric("in_flight_reviews") <= IN_FLIGHT, "what is in flight stays bounded")
    stage.promise(await worker.metric("events_out_total") == 0, "nothing is published meanwhile")
    gate.open()
    stage.note("session", "heals")
    verdict = await stage.settled()
    stage.promise(verdict.dead_letters == 0, "a session's fault makes no dead letter")


@scenario(short=0.2)
async def session_fails_for_ever(stage: Stage) -> None:
    """The session fails and stays broken, five times: each time the worker ends with 6, and the next one goes on."""
    await stage.create_topics()
    async with stage.load(per_s=50):
        for turn in range(stage.times(5)):
            broken = stage.start_worker(f"broken {turn + 1}", special="broken", retry_attempts=2, **QUICK_RETRIES)
            stage.ends_on_purpose(broken)
            code = await broken.ended(60)
            stage.note(stage.subject(broken), f"ended with {code}")
            stage.promise(code == ExitCode.SESSION, f"a broken session ends with {ExitCode.SESSION} (it was {code})")
            stage.promise("Traceback" not in broken.output, "the end of a broken session is one line, no traceback")
            (worker,) = await stage.start_workers(f"worker {turn + 1}")
            await stage.flows(50)
            await stage.stop(worker)
    await stage.start_workers("worker")


@scenario(short=1.0)
async def session_hangs(stage: Stage) -> None:
    """A batch never ends: liveness fails, the worker is killed, as a supervisor would, and the next one goes on."""
    await stage.create_topics()
    await produce(stage)
    (hanging,) = await stage.start_workers("hanging", special="hanging", stall_timeout_s=2)

    async def not_alive() -> bool:
        return (await hanging.get("/healthz"))[0] == 503

    await eventually(not_alive, "liveness fails")
    stage.note("hanging", "is no longer alive")
    await hanging.says("no progress")
    stage.kill(hanging)
    await stage.start_workers("worker")


@scenario(short=1.0)
async def memory_is_short(stage: Stage) -> None:
    """The device has memory for two reviews at a time: batches become smaller, and none of the reviews is to blame."""
    await stage.create_topics()
    await produce(stage)
    (worker,) = await stage.start_workers("worker", special="small-memory", **QUICK_RETRIES)
    verdict = await stage.settled()
    stage.promise(verdict.dead_letters == 0, "short memory makes no dead letter")
    stage.promise(bool(worker.said("out of memory")), "the log says that memory is short")


@scenario()
async def memory_is_gone_for_a_while(stage: Stage) -> None:
    """The device has no memory even for one review, and later it has: the worker waits, and loses nothing."""
    await stage.create_topics()
    await produce(stage)
    gate = Gate(stage.folder / "gate")
    options = {"variables": gate.variables, "retry_attempts": 1000, **QUICK_RETRIES}
    (worker,) = await stage.start_workers("worker", special="no-memory-for-a-while", **options)
    await worker.reaches("retries_total{stage=infer}", 3)
    gate.open()
    stage.note("session", "heals")
    verdict = await stage.settled()
    stage.promise(verdict.dead_letters == 0, "short memory makes no dead letter")


async def produce(stage: Stage) -> None:
    """Reviews for all partitions."""
    await stage.ledger.produce(stage.servers, map(stage.review, range(REVIEWS)))
