"""What spans say of a review: OpenTelemetry's semantic conventions for messaging with Kafka, and words of our own.

Nothing of an event's text, key or headers is among them.
"""

from __future__ import annotations

from opentelemetry.util.types import AttributeValue

from worker.errors import RecordError
from worker.records import Prediction, Record, Tombstone

Attributes = dict[str, AttributeValue]


def of_record(record: Record, group: str) -> Attributes:
    """What is known of it before it is looked into."""
    attributes: Attributes = {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": record.partition.topic,
        "messaging.destination.partition.id": str(record.partition.partition),
        "messaging.kafka.offset": record.offset,
        "messaging.consumer.group.name": group,
        "messaging.message.body.size": len(record.value or b""),
    }
    if record.value is None:
        attributes["messaging.kafka.message.tombstone"] = True
    return attributes


def of_output(topic: str, partition: int) -> Attributes:
    """Where it was published."""
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": topic,
        "messaging.destination.partition.id": str(partition),
    }


def of_outcome(outcome: Prediction | RecordError | Tombstone | None) -> Attributes:
    """What became of it; the label is not said, since it says something of the text."""
    if isinstance(outcome, RecordError):
        return {
            "reviews_worker.outcome": "dead_letter",
            "reviews_worker.stage": outcome.stage.value,
            "error.type": outcome.reason.value,
        }
    if isinstance(outcome, Prediction):
        return {
            "reviews_worker.outcome": "classified",
            "reviews_worker.tokens": outcome.tokens,
            "reviews_worker.truncated": outcome.truncated,
            "reviews_worker.windows": outcome.windows,
            "reviews_worker.unknown": outcome.unknown,
        }
    return {"reviews_worker.outcome": "tombstone"}
