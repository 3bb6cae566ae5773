from __future__ import annotations

from worker.settings import Settings
from worker.topics import TopicDescription, TopicSpec, missing_topics_message, topic_specs


def test_new_topics_follow_the_settings():
    specs = topic_specs(Settings(topic_partitions=3, topic_replication=2, topic_retention_s=60))
    assert [spec.name for spec in specs] == ["reviews.in", "reviews.classified", "reviews.dlq"]
    assert {(spec.partitions, spec.replication, spec.configs["retention.ms"]) for spec in specs} == {(3, 2, "60000")}


def test_topics_to_write_get_as_many_partitions_as_the_input_topic_has():
    specs = topic_specs(Settings(topic_partitions=3), [TopicDescription("reviews.in", 12, 1)])
    assert {spec.partitions for spec in specs} == {12}


def test_a_retention_of_minus_one_keeps_everything():
    assert TopicSpec("a", 1, -1, -1).configs == {"retention.ms": "-1"}


def test_the_command_creates_the_topic_as_specified():
    assert TopicSpec("a", 6, 3, 60).command == (
        "kafka-topics.sh --create --topic a --partitions 6 --replication-factor 3 --config retention.ms=60000"
    )
    assert "--replication-factor" not in TopicSpec("a", 6, -1, 60).command


def test_the_message_names_the_missing_topics_and_how_to_create_them():
    message = missing_topics_message(Settings(), ["reviews.dlq"])
    assert "\n" not in message
    assert message.startswith("topic reviews.dlq not found at localhost:9092; create with")
    assert "reviews-worker topics --create" in message
    assert "--topic reviews.dlq" in message
    assert "--topic reviews.in" not in message


def test_a_number_among_the_settings_of_a_topic_is_read_when_it_is_there():
    topic = TopicDescription("a", 1, 1, {"retention.ms": "-1", "cleanup.policy": "delete"})
    assert topic.integer("retention.ms") == -1
    assert topic.integer("cleanup.policy") is None
    assert topic.integer("max.message.bytes") is None
