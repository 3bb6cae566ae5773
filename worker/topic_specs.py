"""The three topics: how they are, how they should be, and what is said of those that are missing."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from worker.called import command_line
from worker.settings import Settings

_SETTINGS = ("input_topic", "output_topic", "dead_letter_topic")
_SIMILAR, _MOST_SIMILAR = 0.75, 3
"""How alike two names of topics must be to be mistaken for each other, and how many are told."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it should be created."""

    name: str
    partitions: int
    replication: int
    """-1 takes the broker's default."""
    retention_s: float
    """-1 keeps everything."""

    @property
    def configs(self) -> dict[str, str]:
        """The topic's own settings, in Kafka's names."""
        return {"retention.ms": str(-1 if self.retention_s < 0 else round(self.retention_s * 1000))}

    @property
    def command(self) -> str:
        """How a person creates it with Kafka's own tool."""
        replication = "" if self.replication < 0 else f" --replication-factor {self.replication}"
        configs = "".join(f" --config {name}={value}" for name, value in self.configs.items())
        return f"kafka-topics.sh --create --topic {self.name} --partitions {self.partitions}{replication}{configs}"


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """A topic as it is."""

    name: str
    partitions: int
    replication: int
    configs: dict[str, str] = field(default_factory=dict)
    """Empty when they may not be read."""
    id: str = ""
    """Where it was asked for (`TopicAdmin.topic_id`): another one than that of a topic of the name that is gone."""

    def integer(self, name: str) -> int | None:
        """The topic's setting `name` as a number; None when it cannot be read."""
        value = self.configs.get(name, "")
        return int(value) if value.lstrip("-").isdigit() else None

    @property
    def compacted(self) -> bool:
        """Whether the topic is known to be compacted, alone or besides being deleted from."""
        return "compact" in self.configs.get("cleanup.policy", "")


@dataclass(frozen=True, slots=True)
class TopicLayout:
    """What the worker needs to know of its topics."""

    input_partitions: int
    output_partitions: int
    dead_letter_partitions: int
    output_max_bytes: int | None
    """Largest record batch that the output topic takes; None when it cannot be read."""
    dead_letter_max_bytes: int | None
    brokers: int = 1
    output_compacted: bool = False
    """Whether the output topic is known to be compacted, and so to take no record without a key."""


def topic_specs(settings: Settings, existing: Collection[TopicDescription] = ()) -> list[TopicSpec]:
    """How the three topics should look: those to write get as many partitions as the input topic has."""
    known = {topic.name: topic for topic in existing}
    source = known.get(settings.input_topic)
    partitions = source.partitions if source else settings.topic_partitions
    return [
        TopicSpec(name, partitions, settings.topic_replication, settings.topic_retention_s)
        for name in (settings.input_topic, settings.output_topic, settings.dead_letter_topic)
    ]


def missing_topics_message(
    settings: Settings,
    missing: Collection[str],
    existing: Collection[TopicDescription] = (),
    names: Iterable[str] = (),
) -> str:
    """One line that names the missing topics, those of `names` that are called alike, and how to create the missing."""
    noun, them = ("topic", "it") if len(missing) == 1 else ("topics", "them")
    creating = command_line(settings, "topics --create", "bootstrap_servers", *_SETTINGS)
    commands = " && ".join(spec.command for spec in topic_specs(settings, existing) if spec.name in missing)
    return (
        f"{noun} {', '.join(missing)} not found at {settings.bootstrap_servers}"
        f"{similar_topics_remark(settings, missing, names)}; create {them} with `{creating}`, or"
        f" let the worker do it (create_topics), or: {commands}"
    )


def similar_topics_remark(settings: Settings, missing: Collection[str], names: Iterable[str]) -> str:
    """`` (did you mean ...?)`` with those of `names` that are called much like one of `missing`; empty without any."""
    own = {settings.input_topic, settings.output_topic, settings.dead_letter_topic}
    taken = own if own.issuperset(missing) else set()
    by_letters: dict[str, list[str]] = {}
    for name in names:
        if name not in taken:
            by_letters.setdefault(_letters(name), []).append(name)
    found: dict[str, None] = {}
    for name in missing:
        for letters in difflib.get_close_matches(_letters(name), by_letters, _MOST_SIMILAR, _SIMILAR):
            found.update(dict.fromkeys(sorted(by_letters[letters])))
    return f" (did you mean {' or '.join(found)}?)" if found else ""


def _letters(name: str) -> str:
    return re.sub("[._-]+", ".", name.lower())
