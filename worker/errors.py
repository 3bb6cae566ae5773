"""What can go wrong, and what then happens.

::

    WorkerError                  has one clear line for a person
    ├── RecordError              this one event cannot be classified: dead letter, everything else goes on
    ├── RetriableError           a fault that may pass (broker away, session busy): try again with back-off
    │   ├── InferenceError       the session failed on a batch
    │   │   ├── OutOfMemoryError the device ran out of memory: halve the token budget and try again
    │   │   └── NotFiniteError   the model put out what is no number
    │   ├── BrokerError          the broker is away, or answered that it cannot now
    │   └── TransactionError     a transaction could not be committed, or nobody knows whether it was
    ├── FencedError              another member has taken over what this one published as
    ├── RecordRefusedError       the broker does not take a record, or a batch with it
    │   ├── RecordTooLargeError  for its size
    │   └── RecordTimeError      for its timestamp
    └── FatalError               stop the process; `exit_code` says why
        ├── UsageError           wrong option or setting
        ├── ArtifactError        the model artifact is missing, altered or does not fit
        ├── TopicError           a topic is missing or may not be used
        │   └── DamagedBatchError a part of a partition cannot be read; the running worker only sets the partition aside
        ├── UnreachableError     the broker could not be reached in the time allowed
        ├── SessionError         the session stays broken
        ├── FuseError            too many dead letters
        ├── DeliveryError        outputs cannot be published
        ├── AccessError          Kafka does not let this worker in
        ├── PortTakenError       the port for health and metrics is in use
        ├── ExhaustedError       files, threads or room on the disk are used up on this machine
        ├── GraceExceededError   told to stop, but not everything was finished in time
        └── UnansweredError      a review that was sent through has no classification

Messages name the place and the remedy and never quote a review.
"""

from __future__ import annotations

import enum
from typing import Self


class ExitCode(enum.IntEnum):
    """Exit codes of ``reviews-worker``; ``docs/operations.md`` lists them for operators."""

    OK = 0
    BUG = 1
    USAGE = 2
    ARTIFACT = 3
    TOPIC = 4
    UNREACHABLE = 5
    SESSION = 6
    FUSE = 7
    DELIVERY = 8
    ACCESS = 9
    PORT_TAKEN = 10
    CHECK_FAILED = 11
    GRACE_EXCEEDED = 12
    EXHAUSTED = 13
    KILLED = 130


class Reason(enum.StrEnum):
    """Why an event became a dead letter: the machine-readable header."""

    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_OBJECT = "not_object"
    TEXT_MISSING = "text_missing"
    TEXT_NOT_STRING = "text_not_string"
    TEXT_BLANK = "text_blank"
    EVENT_TOO_LARGE = "event_too_large"
    OUTPUT_TOO_LARGE = "output_too_large"
    OUTPUT_REFUSED = "output_refused"
    TIMESTAMP_REFUSED = "timestamp_refused"
    INFERENCE_FAILED = "inference_failed"


class Stage(enum.StrEnum):
    """Where in the pipeline it happened."""

    DECODE = "decode"
    TOKENISE = "tokenise"
    INFER = "infer"
    PUBLISH = "publish"


class WorkerError(Exception):
    """Base of all errors that this package raises on purpose."""


class RecordError(WorkerError):
    """This one event cannot be classified; it becomes a dead letter and the rest goes on."""

    def __init__(self, reason: Reason, stage: Stage, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.stage = stage

    def without_traceback(self) -> Self:
        """The same, to be kept with its event: without the frames that it came through and without its cause.

        A frame holds the event, and all others of its chunk, and the event holds the error: such a cycle stays in
        memory until the garbage collector runs, which it seldom does in a worker.
        """
        self.__cause__ = self.__context__ = None
        return self.with_traceback(None)


class RetriableError(WorkerError):
    """A fault that may pass; retried with back-off, fatal when it stays."""


class InferenceError(RetriableError):
    """The session failed on a batch."""


class OutOfMemoryError(InferenceError):
    """The device has no memory left for this batch; a smaller one may fit."""


class NotFiniteError(InferenceError):
    """The model put out a score that is infinite or no number."""


class BrokerError(RetriableError):
    """The broker is away, or answered that it cannot now."""


class TransactionError(RetriableError):
    """A transaction could not be committed, or nobody knows whether it was."""


class FencedError(WorkerError):
    """Another member has taken over what this one published as: nothing more may be published."""


class RecordRefusedError(WorkerError):
    """The broker does not take a record, or a batch with it, however often it is asked."""

    reason = Reason.OUTPUT_REFUSED


class RecordTooLargeError(RecordRefusedError):
    """The broker does not take a record, or a batch of them, of this size."""

    reason = Reason.OUTPUT_TOO_LARGE


class RecordTimeError(RecordRefusedError):
    """The broker does not take a record, or a batch with it, for its timestamp: too long ago, or too far ahead."""

    reason = Reason.TIMESTAMP_REFUSED


class FatalError(WorkerError):
    """The process must stop; `exit_code` says why."""

    exit_code = ExitCode.BUG


class UsageError(FatalError):
    """A wrong option or setting."""

    exit_code = ExitCode.USAGE


class ArtifactError(FatalError):
    """The model artifact is missing, altered or does not fit."""

    exit_code = ExitCode.ARTIFACT


class TopicError(FatalError):
    """A topic is missing or may not be used."""

    exit_code = ExitCode.TOPIC


class DamagedBatchError(TopicError):
    """From `offset` of a partition on nothing can be read, until behind its batch: it is damaged.

    `end` is the next offset that may be readable, None where the batch does not say it.
    """

    def __init__(self, topic: str, partition: int, offset: int, end: int | None, reason: str) -> None:
        until = "" if end is None else f", up to {end - 1}"
        super().__init__(f"{topic}/{partition} cannot be read at offset {offset}{until}: {reason}")
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.end = end
        self.reason = reason


class UnreachableError(FatalError):
    """The broker could not be reached in the time allowed."""

    exit_code = ExitCode.UNREACHABLE


class SessionError(FatalError):
    """The session fails on everything, again and again."""

    exit_code = ExitCode.SESSION


class FuseError(FatalError):
    """More dead letters than the limit allows."""

    exit_code = ExitCode.FUSE


class DeliveryError(FatalError):
    """Outputs cannot be published, and trying again will not help."""

    exit_code = ExitCode.DELIVERY


class AccessError(FatalError):
    """Kafka does not let this worker in: TLS or credentials fail, or it may not be a member of the group."""

    exit_code = ExitCode.ACCESS


class PortTakenError(FatalError):
    """The port for health and metrics is in use."""

    exit_code = ExitCode.PORT_TAKEN


class ExhaustedError(FatalError):
    """Files, threads or room on the disk are used up on this machine."""

    exit_code = ExitCode.EXHAUSTED


class GraceExceededError(FatalError):
    """Told to stop, but not everything was finished in time."""

    exit_code = ExitCode.GRACE_EXCEEDED


class UnansweredError(FatalError):
    """A review that was sent through, and whose classification was waited for, has none."""

    exit_code = ExitCode.CHECK_FAILED
