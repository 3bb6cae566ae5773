"""What the broker refuses for good: a record, or everything."""

from __future__ import annotations

from aiokafka.errors import (
    BrokerResponseError,
    ClusterAuthorizationFailedError,
    InvalidTimestampError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnsupportedForMessageFormatError,
    kafka_errors,
)

from worker.errors import RecordRefusedError, RecordTooLargeError


class _InvalidRecordError(BrokerResponseError):  # type: ignore[misc]  # aiokafka's types are Any
    errno = 87
    message = "INVALID_RECORD"
    description = "The broker does not take the record: it has no key and the topic is compacted, above all"


# aiokafka 0.14 does not know the code: it would be UnknownError, as what a broker says of a fault of its own is, and
# that may pass.
INVALID_RECORD: type[KafkaError] = kafka_errors.setdefault(_InvalidRecordError.errno, _InvalidRecordError)

TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
REFUSED = (*TOO_LARGE, INVALID_RECORD)
"""Of a batch: it, or a record of it, is not taken, and others are."""
HOPELESS = (
    TopicAuthorizationFailedError,
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    InvalidTimestampError,
    PolicyViolationError,
    UnsupportedForMessageFormatError,
)
"""Trying again will not help, with other records neither."""


def refusal(error: BaseException) -> RecordRefusedError:
    """One of `REFUSED` as ours."""
    return (RecordTooLargeError if isinstance(error, TOO_LARGE) else RecordRefusedError)(str(error))
