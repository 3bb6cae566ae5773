from __future__ import annotations

from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaConnectionError, RequestTimedOutError

from worker.called import how_called
from worker.errors import BrokerError, TopicError
from worker.settings import Settings
from worker.topic_specs import TopicDescription, TopicSpec, missing_topics_message, topic_specs
from worker.topics import TopicAdmin


class FakeAdminClient:
    """Answers as a broker would, with what a test gives it."""

    def __init__(self, topics=(), created=(), configs_code=0, error=None):
        self._topics = list(topics)
        self._created = list(created)
        self._configs_code = configs_code
        self._error = error

    async def _send_request(self, request):
        if self._error:
            raise self._error
        return SimpleNamespace(to_object=lambda: {"topics": self._topics})

    async def create_topics(self, new, timeout_ms):
        if self._error:
            raise self._error
        return SimpleNamespace(topic_errors=self._created)

    async def describe_configs(self, resources):
        entries = [("max.message.bytes", "5000")]
        return [SimpleNamespace(resources=[(self._configs_code, "", 2, item.name, entries) for item in resources])]


def topic(name: str, code: int = 0, leaders: tuple[int, ...] = (1, 1)) -> dict[str, object]:
    partitions = [{"partition": number, "leader": leader, "replicas": [1, 2]} for number, leader in enumerate(leaders)]
    return {"topic": name, "error_code": code, "partitions": partitions}


async def test_topics_are_described_and_missing_ones_left_out():
    admin = TopicAdmin(FakeAdminClient([topic("a"), topic("b", code=3, leaders=())]), Settings())
    assert await admin.describe(["a", "b"]) == {"a": TopicDescription("a", 2, 2, {"max.message.bytes": "5000"})}


async def test_settings_of_a_topic_that_may_not_be_read_are_unknown():
    admin = TopicAdmin(FakeAdminClient([topic("a")], configs_code=29), Settings())
    assert (await admin.describe(["a"]))["a"].integer("max.message.bytes") is None


@pytest.mark.parametrize("lost", [topic("a", leaders=(1, -1)), topic("a", code=5, leaders=())])
async def test_a_topic_without_a_leader_is_not_missing_but_not_ready(lost):
    with pytest.raises(BrokerError, match=r"^a: no leader for partition"):
        await TopicAdmin(FakeAdminClient([lost]), Settings()).describe(["a"])


async def test_a_topic_that_may_not_be_described_is_an_error_with_the_right_to_ask_for():
    with pytest.raises(TopicError, match="grant Read or Write on it, or Describe"):
        await TopicAdmin(FakeAdminClient([topic("a", code=29, leaders=())]), Settings()).describe(["a"])


async def test_creating_tells_what_was_created_and_takes_what_somebody_else_created():
    specs = [TopicSpec("a", 1, -1, 60), TopicSpec("b", 1, -1, 60)]
    admin = TopicAdmin(FakeAdminClient(created=[("a", 36, "exists"), ("b", 0, None)]), Settings())
    assert await admin.create(specs) == [specs[1]]


@pytest.mark.parametrize(
    ("code", "why"), [(29, "grant Create"), (31, "grant Create"), (44, "PolicyViolationError: no")]
)
async def test_a_topic_that_may_not_be_created_is_an_error_that_says_why(code: int, why: str):
    with pytest.raises(TopicError, match=why):
        await TopicAdmin(FakeAdminClient(created=[("a", code, "no")]), Settings()).create([TopicSpec("a", 1, -1, 60)])


@pytest.mark.parametrize("code", [7, 41])
async def test_a_broker_that_cannot_create_now_may_be_asked_again(code: int):
    with pytest.raises(BrokerError):
        await TopicAdmin(FakeAdminClient(created=[("a", code, "later")]), Settings()).create(
            [TopicSpec("a", 1, -1, 60)]
        )


@pytest.mark.parametrize(
    "error", [KafkaConnectionError("dump"), RequestTimedOutError(), OSError("reset"), TimeoutError(), AttributeError()]
)
async def test_whatever_may_pass_is_a_broker_error_with_a_reason(error: Exception):
    with pytest.raises(BrokerError, match=r"\w+"):
        await TopicAdmin(FakeAdminClient(error=error), Settings()).describe(["a"])


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
    assert message.startswith("topic reviews.dlq not found at localhost:9092; create it with")
    assert "reviews-worker topics --create" in message
    assert "--topic reviews.dlq" in message
    assert "--topic reviews.in" not in message


def test_the_command_that_creates_has_the_names_and_the_address_that_were_set():
    settings = Settings(bootstrap_servers="kafka-1:9092,kafka-2:9092", output_topic="reviews.done")
    creating = "topics --create --bootstrap-servers kafka-1:9092,kafka-2:9092 --output-topic reviews.done`"
    assert f"`{how_called()} {creating}" in missing_topics_message(settings, ["reviews.done"])


def test_a_number_among_the_settings_of_a_topic_is_read_when_it_is_there():
    topic = TopicDescription("a", 1, 1, {"retention.ms": "-1", "cleanup.policy": "delete"})
    assert topic.integer("retention.ms") == -1
    assert topic.integer("cleanup.policy") is None
    assert topic.integer("max.message.bytes") is None


@pytest.mark.parametrize(
    ("missing", "remark"),
    [
        ("reviews.clasified", " (did you mean reviews.classified?)"),
        ("Reviews_Classified", " (did you mean reviews.classified?)"),
        ("orders", ""),
    ],
)
def test_topics_that_are_called_alike_are_named_with_a_missing_one(missing: str, remark: str):
    settings = Settings(output_topic=missing)
    names = ["reviews.classified", "reviews.in", "reviews.dlq", "payments"]
    assert f"{missing} not found at localhost:9092{remark}; " in missing_topics_message(settings, [missing], (), names)
