"""What the broker refuses for good: a record, or everything.

All codes that answer a produce request are one of these:

- a record is refused: 10, 18 (its size), 32 (its timestamp), 44 (a policy), 87 (no valid record, or without a key where
  the topic is compacted);
- hopeless, whatever the records are: 17, 29, 31 (topic and rights), 21, 35, 42, 43, 76 (the form of the request);
- may pass, which all others may: 2 (damaged on the way), 3, 5, 6, 7, 19, 20, 56 (leader, replicas, disk), -1 (a fault
  of the broker's own); 45, 47, 48, 49, 51, 59, 90, 120 pass with a new producer.

A policy is Kafka's word for what its operators forbid, and may speak of one record or of all. Taken for one record's,
the others go on, and where it is all of them, the fuse blows.
"""

from __future__ import annotations

from aiokafka.errors import (
    BrokerResponseError,
    ClusterAuthorizationFailedError,
    InvalidRequestError,
    InvalidRequiredAcksError,
    InvalidTimestampError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnsupportedForMessageFormatError,
    UnsupportedVersionError,
    kafka_errors,
)

from worker.errors import RecordRefusedError, RecordTimeError, RecordTooLargeError
from worker.kafka.security.codes import UNSUPPORTED_COMPRESSION


class _InvalidRecordError(BrokerResponseError):  # type: ignore[misc]  # aiokafka's types are Any
    errno = 87
    message = "INVALID_RECORD"
    description = "The broker does not take the record: it has no key and the topic is compacted, above all"


# aiokafka 0.14 does not know the code: it would be UnknownError, as what a broker says of a fault of its own is, and
# that may pass.
INVALID_RECORD: type[KafkaError] = kafka_errors.setdefault(_InvalidRecordError.errno, _InvalidRecordError)

TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
REFUSED: tuple[type[KafkaError], ...] = (*TOO_LARGE, InvalidTimestampError, PolicyViolationError, INVALID_RECORD)
"""Of a batch: it, or a record of it, is not taken, and others are."""
HOPELESS: tuple[type[KafkaError], ...] = (
    TopicAuthorizationFailedError,
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    InvalidRequiredAcksError,
    InvalidRequestError,
    UnsupportedForMessageFormatError,
    UnsupportedVersionError,
    UNSUPPORTED_COMPRESSION,
)
"""Trying again will not help, with other records neither."""


def refusal(error: BaseException) -> RecordRefusedError:
    """One of `REFUSED` as ours."""
    if isinstance(error, TOO_LARGE):
        return RecordTooLargeError(str(error))
    return (RecordTimeError if isinstance(error, InvalidTimestampError) else RecordRefusedError)(str(error))
