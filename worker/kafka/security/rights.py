"""What a broker's refusal for want of a right means: which right, on what, and what becomes of the process."""

from __future__ import annotations

from typing import Literal

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from worker.errors import AccessError, DeliveryError, FatalError, TopicError


def lacking(
    error: BaseException, to: Literal["read", "write"] = "write", *, topic: str | None = None
) -> FatalError | None:
    """The error for a right that is missing `to` read or write, naming it; None where `error` is another one.

    `topic` is the one that was used, where the error does not say.
    """
    name = _named(error)
    if isinstance(error, TopicAuthorizationFailedError):
        text = f"{topic or name}: this worker's user may not {to} the topic; grant {to.capitalize()} on it"
        return TopicError(text) if to == "read" else DeliveryError(text)
    if isinstance(error, GroupAuthorizationFailedError):
        return AccessError(f"this worker's user may not be a member of group {name}; grant Read on the group")
    if isinstance(error, TransactionalIdAuthorizationFailed):
        return DeliveryError(
            f"this worker's user may not publish as transactional id {name}; grant Write on the transactional ids that"
            " docs/security.md names"
        )
    if isinstance(error, ClusterAuthorizationFailedError):
        return DeliveryError(
            "this worker's user may write no topic at all; grant Write on those that it publishes to (with Kafka before"
            " 2.8 IdempotentWrite on the cluster too)"
        )
    return None


def _named(error: BaseException) -> str:
    name = error.args[0] if error.args else ""
    return ", ".join(sorted(map(str, name))) if isinstance(name, set | list | tuple | dict) else str(name)
