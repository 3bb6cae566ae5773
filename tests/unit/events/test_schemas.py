"""The published schemas hold what the code really produces, and refuse what it does not."""

from __future__ import annotations

import copy
import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator, FormatChecker, ValidationError

from worker.delivery import dead_letters
from worker.delivery.dead_letters import dead_letter
from worker.errors import Reason, RecordError, Stage, UsageError
from worker.events.codec import EventCodec, ResultWriter, rfc3339_ms
from worker.events.schemas import SCHEMA_FILES, load_schema, schema_text
from worker.records import Prediction, Record, TopicPartition
from worker.replay.letters import HOPS_HEADER
from worker.settings import Settings

OFFICIAL = Path(__file__).parents[2] / "data" / "asyncapi" / "3.0.0.json.gz"
OFFICIAL_SHA256 = "d4571a420e6ffb7fcc7066c95a6db1202f299a3c51daa103d0706bf30f95e626"
JSON_SCHEMAS = [name for name, file in SCHEMA_FILES.items() if file.endswith(".json")]


def validate(name: str, instance: object) -> None:
    Draft202012Validator(load_schema(name), format_checker=FormatChecker()).validate(instance)


def classified(value: bytes, **changes: Any) -> dict[str, Any]:
    prediction = Prediction(scores=(0.002, 0.998), tokens=9, truncated=False)
    result = ResultWriter(["neg", "pos"], "example@1").result(prediction, rfc3339_ms(1_700_000_000.5))
    codec = EventCodec("text", "sentiment", 10_000)
    event: dict[str, Any] = json.loads(codec.encode(value, codec.decode(value).has_result, result))
    event["sentiment"].update(changes)
    return event


def header_view(error: RecordError) -> dict[str, str]:
    record = Record(TopicPartition("reviews.in", 3), 1207, 5, b"k", b"\xff", (), 1)
    letter = dead_letter(record, error, "reviews.dlq", 0)
    return {name: (value or b"").decode() for name, value in letter.headers}


@pytest.mark.parametrize("name", JSON_SCHEMAS)
def test_every_schema_is_a_valid_2020_12_schema_and_its_examples_fit(name: str) -> None:
    schema = load_schema(name)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)
    assert schema["examples"]
    for example in schema["examples"]:
        validate(name, example)


def test_every_file_in_the_schema_folder_has_a_name() -> None:
    folder = Path(__file__).parents[3] / "schemas"
    assert {path.name for path in folder.iterdir()} == set(SCHEMA_FILES.values())


def test_an_unknown_schema_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="choose from review"):
        schema_text("../pyproject.toml")
    with pytest.raises(UsageError, match="not a JSON Schema"):
        load_schema("asyncapi")


@pytest.mark.parametrize("review_id", ["a", 7, 10**40, None])
def test_the_review_schema_takes_what_the_contract_allows(review_id: object) -> None:
    validate("review", {"text": "good", "review_id": review_id, "other": [1]})


@pytest.mark.parametrize("event", [{}, {"text": 1}, {"text": " \n"}, {"text": ""}, [], {"text": "a", "review_id": 1.5}])
def test_the_review_schema_refuses_what_the_contract_forbids(event: object) -> None:
    with pytest.raises(ValidationError):
        validate("review", event)


@pytest.mark.parametrize(
    "value", [b'{"text":"good"}', b'{"review_id":7,"text":"good","x":{}}', b'{"sentiment":1,"text":"good"}']
)
def test_produced_events_fit_the_classified_schema(value: bytes) -> None:
    validate("classified-review", classified(value))
    validate("review", classified(value))


@pytest.mark.parametrize("windows", [1, 8])
def test_a_result_of_several_windows_fits_the_classified_schema(windows: int) -> None:
    writer = ResultWriter(["neg", "pos"], "example@1", in_windows=True)
    result = writer.result(Prediction((0.25, 0.75), 512 * windows, windows == 8, windows), rfc3339_ms(0.0))
    sentiment = json.loads(result)
    assert sentiment["windows"] == windows
    validate("classified-review", {"text": "good", "sentiment": sentiment})


def test_a_result_from_before_unknown_was_written_fits_the_classified_schema() -> None:
    event = classified(b'{"text":"good"}')
    del event["sentiment"]["unknown"]
    validate("classified-review", event)


@pytest.mark.parametrize("scores", [(1.0, 0.0), (1e-9, 1 - 1e-9), (-1e-7, 1.0000001), (0.5, 0.5), (0.2, 0.3, 0.5)])
def test_any_scores_of_any_model_fit_the_classified_schema(scores: tuple[float, ...]) -> None:
    writer = ResultWriter([f"{index} stars" for index in range(len(scores))], "stars@2.1")
    sentiment = json.loads(writer.result(Prediction(scores, 512, True), rfc3339_ms(0.0)))
    validate("classified-review", {"text": "good", "sentiment": sentiment})


@pytest.mark.parametrize(
    "changes",
    [
        {"score": 1.1},
        {"score": "high"},
        {"scores": {}},
        {"tokens": 0},
        {"windows": 0},
        {"windows": "2"},
        {"model": "x"},
        {"classified_at": "now"},
        {"a": 1},
    ],
)
def test_the_classified_schema_refuses_another_result(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        validate("classified-review", classified(b'{"text":"good"}', **changes))


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("stage", Stage)
def test_produced_dead_letters_fit_the_schema_for_every_reason_and_stage(reason: Reason, stage: Stage) -> None:
    validate("dead-letter", header_view(RecordError(reason, stage, "wrong")))


def test_the_dead_letter_schema_knows_every_name_and_no_other() -> None:
    schema = load_schema("dead-letter")
    names = {value for name, value in vars(dead_letters).items() if name.endswith("_HEADER")}
    assert set(schema["required"]) == names - {dead_letters.TIMESTAMP_HEADER}
    assert set(schema["properties"]) == names | {HOPS_HEADER}
    assert set(schema["properties"][dead_letters.REASON_HEADER]["enum"]) == {reason.value for reason in Reason}
    assert set(schema["properties"][dead_letters.STAGE_HEADER]["enum"]) == {stage.value for stage in Stage}
    view = header_view(RecordError(Reason.NOT_JSON, Stage.DECODE, "wrong"))
    validate("dead-letter", view | {dead_letters.TIMESTAMP_HEADER: "-1"})
    for name in view:
        with pytest.raises(ValidationError):
            validate("dead-letter", {key: value for key, value in view.items() if key != name})


@pytest.fixture(scope="module")
def official() -> Draft7Validator:
    content = gzip.decompress(OFFICIAL.read_bytes())
    assert hashlib.sha256(content).hexdigest() == OFFICIAL_SHA256
    return Draft7Validator(json.loads(content))


@pytest.fixture
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(schema_text("asyncapi"))
    return loaded


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def resolve(document: dict[str, Any], reference: str) -> Any:
    node: Any = document
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def test_the_asyncapi_document_is_valid(official: Draft7Validator, document: dict[str, Any]) -> None:
    official.validate(document)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("asyncapi",), "2.6.0"),
        (("info",), {"title": "no version"}),
        (("channels", "reviews", "address"), 7),
        (("channels", "reviews", "messages"), ["review"]),
        (("channels", "reviews", "subscribe"), {}),
        (("operations", "readReviews", "action"), "read"),
        (("operations", "readReviews", "channel"), "reviews"),
        (("operations", "readReviews", "bindings", "kafka", "group"), "x"),
        (("components", "messages", "review", "payload", "schemaFormat"), 1),
        (("components", "messages", "review", "body"), {}),
        (("components", "schemas", "sourceHeaders", "type"), "dictionary"),
    ],
)
def test_a_broken_asyncapi_document_is_refused(
    official: Draft7Validator, document: dict[str, Any], path: tuple[str, ...], value: object
) -> None:
    broken = copy.deepcopy(document)
    parent = resolve(broken, "/".join(path[:-1])) if path[:-1] else broken
    parent[path[-1]] = value
    with pytest.raises(ValidationError):
        official.validate(broken)


def test_every_reference_of_the_asyncapi_document_leads_somewhere(document: dict[str, Any]) -> None:
    files = set()
    for reference in references(document):
        if reference.startswith("#/"):
            assert resolve(document, reference)
        else:
            files.add(reference.removeprefix("./"))
    assert files == {SCHEMA_FILES[name] for name in JSON_SCHEMAS}


def test_operations_use_the_messages_of_their_own_channel(document: dict[str, Any]) -> None:
    for operation in document["operations"].values():
        channel = operation["channel"]["$ref"]
        assert all(message["$ref"].startswith(channel + "/messages/") for message in operation["messages"])


def test_the_channels_are_the_default_topics(document: dict[str, Any]) -> None:
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    topics = {defaults["input_topic"], defaults["output_topic"], defaults["dead_letter_topic"]}
    assert {channel["address"] for channel in document["channels"].values()} == topics
    assert document["operations"]["readReviews"]["bindings"]["kafka"]["groupId"]["default"] == defaults["group"]


def test_the_source_header_of_a_record_fits_the_document(document: dict[str, Any]) -> None:
    source = Record(TopicPartition("reviews.in", 3), 1207, 5, None, None, (), 1).source
    pattern = document["components"]["schemas"]["sourceHeaders"]["properties"]["source"]["pattern"]
    assert re.search(pattern, source)
