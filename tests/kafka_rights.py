"""The rights that the worker needs of Kafka: one list for docs/security.md and for the tests that take them away."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from conftest import TopicNames

from worker.errors import ExitCode

RESOURCES = {"topic": 2, "group": 3, "transactional id": 5}
OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10}
LITERAL, PREFIXED = 3, 4
ALLOW = 3


@dataclass(frozen=True)
class Right:
    """One operation on one resource, by the default names."""

    resource: str
    name: str
    operation: str
    prefixed: bool = False

    def codes(self, principal: str) -> tuple[int, str, int, str, str, int, int]:
        """As the protocol has it."""
        pattern = PREFIXED if self.prefixed else LITERAL
        return (RESOURCES[self.resource], self.name, pattern, principal, "*", OPERATIONS[self.operation], ALLOW)

    def named(self, names: TopicNames) -> Right:
        """With the names of a test."""
        actual = {
            "reviews.in": names.input,
            "reviews.classified": names.output,
            "reviews.dlq": names.dead_letters,
            "reviews.dlq.replayed": f"{names.dead_letters}.replayed",
            "reviews.": f"{names.group}.",
            "reviews-worker": names.group,
            "reviews-worker.": f"{names.group}.",
            "reviews-worker.replay.reviews.dlq": f"reviews-worker.replay.{names.dead_letters}",
        }
        return dataclasses.replace(self, name=actual[self.name])

    @property
    def cells(self) -> tuple[str, str]:
        """The first two cells of its row in the table of docs/security.md."""
        kind = f"{self.resource}s that begin with" if self.prefixed else self.resource
        return f"{kind} `{self.name}`", self.operation


READ_INPUT = Right("topic", "reviews.in", "Read")
WRITE_OUTPUT = Right("topic", "reviews.classified", "Write")
WRITE_DEAD_LETTERS = Right("topic", "reviews.dlq", "Write")
READ_GROUP = Right("group", "reviews-worker", "Read")
WRITE_TRANSACTIONS = Right("transactional id", "reviews-worker.", "Write", prefixed=True)
CREATE_TOPICS = Right("topic", "reviews.", "Create", prefixed=True)
OUTPUT_CONFIGS = Right("topic", "reviews.classified", "DescribeConfigs")
DEAD_LETTER_CONFIGS = Right("topic", "reviews.dlq", "DescribeConfigs")

READ_DEAD_LETTERS = Right("topic", "reviews.dlq", "Read")
WRITE_INPUT = Right("topic", "reviews.in", "Write")
READ_NOTES = Right("topic", "reviews.dlq.replayed", "Read")
WRITE_NOTES = Right("topic", "reviews.dlq.replayed", "Write")
CREATE_NOTES = Right("topic", "reviews.dlq.replayed", "Create")
WRITE_REPLAY = Right("transactional id", "reviews-worker.replay.reviews.dlq", "Write")
READ_OUTPUT = Right("topic", "reviews.classified", "Read")

AT_LEAST_ONCE = (READ_INPUT, WRITE_OUTPUT, WRITE_DEAD_LETTERS, READ_GROUP)
EXACTLY_ONCE = (*AT_LEAST_ONCE, WRITE_TRANSACTIONS)
OPTIONAL = (OUTPUT_CONFIGS, DEAD_LETTER_CONFIGS)
REPLAY = (READ_DEAD_LETTERS, WRITE_INPUT, READ_NOTES, WRITE_NOTES, CREATE_NOTES, WRITE_REPLAY)

OF_THE_WORKER = (*EXACTLY_ONCE, CREATE_TOPICS, *OPTIONAL)
"""The rows of the first table."""
OF_COMMANDS = (*REPLAY, READ_OUTPUT)
"""The rows of the second one."""

ENDS_WITH = {
    READ_INPUT: ExitCode.TOPIC,
    WRITE_OUTPUT: ExitCode.TOPIC,
    WRITE_DEAD_LETTERS: ExitCode.TOPIC,
    READ_GROUP: ExitCode.ACCESS,
    WRITE_TRANSACTIONS: ExitCode.DELIVERY,
    CREATE_TOPICS: ExitCode.TOPIC,
}
"""How a worker ends that lacks one of them."""


def needed(names: TopicNames, guarantee: str) -> list[Right]:
    """What a worker on existing topics needs."""
    rights = EXACTLY_ONCE if guarantee == "exactly_once" else AT_LEAST_ONCE
    return [right.named(names) for right in rights]


def all_but(lacking: Right | None, names: TopicNames, rights: tuple[Right, ...], *instead: Right) -> list[Right]:
    """`rights` without one of them, and with others in its place."""
    return [right.named(names) for right in (*(each for each in rights if each != lacking), *instead)]
