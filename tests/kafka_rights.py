"""The rights that the worker needs of Kafka: what docs/security.md says, what the tests take away, one list."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from conftest import TopicNames

RESOURCES = {"topic": 2, "group": 3, "cluster": 4, "transactional id": 5}
OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10, "IdempotentWrite": 12}
LITERAL, PREFIXED = 3, 4
ALLOW = 3


@dataclass(frozen=True)
class Right:
    """One operation on one resource."""

    resource: str
    name: str
    operation: str
    prefixed: bool = False

    def codes(self, principal: str) -> tuple[int, str, int, str, str, int, int]:
        """As the protocol has it."""
        pattern = PREFIXED if self.prefixed else LITERAL
        return (RESOURCES[self.resource], self.name, pattern, principal, "*", OPERATIONS[self.operation], ALLOW)

    def named(self, names: TopicNames) -> Right:
        """With the names of a test in place of the defaults."""
        actual = {"reviews.in": names.input, "reviews.classified": names.output, "reviews.dlq": names.dead_letters}
        name = self.name
        for default, other in {**actual, "reviews-worker.": f"{names.group}."}.items():
            name = name.replace(default, other)
        return dataclasses.replace(self, name=names.group if name == "reviews-worker" else name)


READ_INPUT = Right("topic", "reviews.in", "Read")
WRITE_OUTPUT = Right("topic", "reviews.classified", "Write")
WRITE_DEAD_LETTERS = Right("topic", "reviews.dlq", "Write")
READ_GROUP = Right("group", "reviews-worker", "Read")
WRITE_TRANSACTIONS = Right("transactional id", "reviews-worker.", "Write", prefixed=True)
AT_LEAST_ONCE = (READ_INPUT, WRITE_OUTPUT, WRITE_DEAD_LETTERS, READ_GROUP)
EXACTLY_ONCE = (*AT_LEAST_ONCE, WRITE_TRANSACTIONS)


def needed(names: TopicNames, guarantee: str) -> list[Right]:
    """What a worker on existing topics needs."""
    rights = EXACTLY_ONCE if guarantee == "exactly_once" else AT_LEAST_ONCE
    return [right.named(names) for right in rights]
