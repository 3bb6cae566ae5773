"""What a name alone does not show: how the libraries call what we put in their place, and what they answer."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import client
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer import consumer, fetcher
from aiokafka.protocol import admin, commit, fetch, group, metadata
from aiokafka.record.default_records import DefaultRecordBatchBuilder, _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

from tests.seams import our_uses
from tests.seams.library import library_classes
from worker.kafka.compat.bounded_fetcher import BoundedFetcher
from worker.kafka.compat.damaged_batches import Batches, PartitionRecords
from worker.kafka.compat.fetch_answers import without_names
from worker.kafka.security.bootstrap import Client, open_connection

Function = Callable[..., Any]


@functools.cache
def tree_of(place: Any) -> ast.Module:
    source = inspect.getsource(place)
    return ast.parse(source if inspect.ismodule(place) else inspect.cleandoc("\n" + source))


def calls_of(name: str, place: Any) -> list[ast.Call]:
    """The calls of a function, or of a method of anything, by its bare name; at least one."""
    found = [
        node
        for node in ast.walk(tree_of(place))
        if isinstance(node, ast.Call) and name in (getattr(node.func, "id", None), getattr(node.func, "attr", None))
    ]
    assert found, f"{place.__name__} does not call {name}"
    return found


def overrides() -> list[Any]:
    """Each function of ours that overrides one of the libraries', and that one."""
    found = []
    for own in our_uses.subclasses():
        for name, function in own.__dict__.items():
            theirs = next((base.__dict__[name] for base in library_classes(own) if name in base.__dict__), None)
            if inspect.isfunction(function) and inspect.isfunction(theirs) and not name.startswith("__"):
                found.append(pytest.param(function, theirs, id=f"{own.__name__}.{name}"))
    return found


CALLED_WITHOUT = {"AnyNamesBatch._read_msg": (_DefaultRecordBatchPy, "_read_msg")}
"""Overrides that do not take what is optional in the library's, and the class that calls it without."""


@pytest.mark.parametrize(("ours", "theirs"), overrides())
def test_an_override_takes_whatever_the_library_may_call_it_with(ours: Function, theirs: Function) -> None:
    if ours.__qualname__ in CALLED_WITHOUT:
        owner, name = CALLED_WITHOUT[ours.__qualname__]
        assert not any(call.args or call.keywords for call in calls_of(name, owner))
        return
    parameters = inspect.signature(theirs).parameters.values()
    by_place = [
        each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD and each.default is each.empty
    ]
    by_name = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY or each.default is not each.empty]
    inspect.signature(ours).bind(*by_place, **dict.fromkeys(by_name))


@pytest.mark.parametrize(("ours", "theirs"), overrides())
def test_an_override_is_awaited_where_the_librarys_is(ours: Function, theirs: Function) -> None:
    assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs)


def test_the_connections_of_a_client_are_opened_with_names_that_ours_take() -> None:
    known = {*inspect.signature(AIOKafkaConnection).parameters}
    for call in calls_of("create_conn", client):
        assert len(call.args) == 2
        names = {keyword.arg for keyword in call.keywords}
        assert names <= known
        assert names >= {"sasl_plain_username", "sasl_plain_password", "security_protocol"}
    assert [*inspect.signature(open_connection).parameters] == ["host", "port", "options"]


def test_a_client_leaves_it_to_the_request_whether_topics_are_created() -> None:
    for call in calls_of("MetadataRequest", client):
        assert len(call.args) == 1
        assert not call.keywords
    assert [*inspect.signature(metadata.MetadataRequest).parameters] == ["topics", "allow_auto_topic_creation"]


@pytest.mark.parametrize("caller", ["aiokafka.consumer.consumer", "faust.transport.drivers.aiokafka"])
def test_our_fetcher_takes_what_it_is_asked_with(caller: str) -> None:
    for call in calls_of("fetched_records", importlib.import_module(caller)):
        given = {str(keyword.arg): None for keyword in call.keywords}
        inspect.signature(BoundedFetcher.fetched_records).bind(None, *call.args, **given)


def test_the_fetcher_gets_the_client_first_and_asks_through_it() -> None:
    (call,) = calls_of("Fetcher", consumer)
    assert ast.unparse(call.args[0]) == "self._client"
    assert next(iter(inspect.signature(fetcher.Fetcher).parameters)) == "client"
    assert any(ast.unparse(send.func) == "self._client.send" for send in calls_of("send", fetcher))


def test_what_is_fetched_goes_through_our_batches_and_has_all_that_is_asked_of_them() -> None:
    (made,) = calls_of("MemoryRecords", fetcher)
    assert (len(made.args), made.keywords) == (1, [])
    asked = {
        node.attr
        for node in ast.walk(tree_of(fetcher))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("records", "self._records")
    }
    own = {name for name in vars(MemoryRecords) if not name.startswith("_")}
    assert own & asked, "the reader asks its batches for nothing that they have"
    assert own <= {*dir(Batches)}


def test_iterating_over_records_asks_our_reader() -> None:
    records = PartitionRecords.__new__(PartitionRecords)
    assert iter(records) is records


def test_what_a_fetch_leaves_is_kept_by_partition_as_we_expect_it() -> None:
    made = [ast.unparse(call) for call in calls_of("FetchResult", fetcher)]
    assert any("partition_records=partition_records" in each for each in made)
    assert [*inspect.signature(fetcher.Fetcher._set_error).parameters] == ["self", "tp", "error"]
    actions = [
        each for each in ast.walk(tree_of(fetcher.Fetcher._get_actions_per_node)) if isinstance(each, ast.Return)
    ]
    assert all(
        isinstance(each.value, ast.Tuple) and ast.unparse(each.value.elts[0]) == "fetch_requests" for each in actions
    )
    assert actions


def test_the_error_future_is_the_task_that_fetches() -> None:
    one = fetcher.Fetcher.__new__(fetcher.Fetcher)
    one._fetch_task = task = object()
    assert one.error_future is task
    (made,) = calls_of("create_task", fetcher.Fetcher.__init__)
    assert "_fetch_requests_routine" in ast.unparse(made)


def test_the_message_that_we_filter_is_still_the_one_that_is_logged() -> None:
    assert fetcher.log.name == fetcher.__name__
    messages = [ast.literal_eval(call.args[0]) for call in calls_of("warning", fetcher)]
    (text,) = [message for message in messages if message.startswith("Unexpected error while fetching")]
    made = fetcher.log.makeRecord(fetcher.log.name, 30, __file__, 1, text, ("CorruptRecordException",), None)
    assert not without_names(made)


ARGUMENTS = {
    group.JoinGroupRequest: (
        "group", "session_timeout", "rebalance_timeout", "member_id", "group_instance_id", "protocol_type",
        "group_protocols",
    ),
    group.LeaveGroupRequest: ("group", "member_id"),
    admin.DescribeGroupsRequest: ("groups",),
    admin.DescribeConfigsRequest: ("resources",),
    admin.SaslHandShakeRequest: ("mechanism",),
    commit.OffsetFetchRequest: ("consumer_group", "partitions"),
}  # fmt: skip
"""Of requests that we send ourselves, in the order in which we give them."""


@pytest.mark.parametrize(("request_class", "names"), ARGUMENTS.items(), ids=lambda each: getattr(each, "__name__", ""))
def test_a_request_takes_what_we_make_it_of(request_class: Any, names: tuple[str, ...]) -> None:
    assert tuple(inspect.signature(request_class).parameters)[: len(names)] == names


def fields_of(response: Any, *path: str) -> list[str]:
    """The names of the fields of a response, or of the elements of an array in it."""
    schema = response.SCHEMA
    for name in path:
        schema = schema.fields[schema.names.index(name)].array_of
    return list(schema.names)


@pytest.mark.parametrize("version", fetch.FetchRequest._CLASSES, ids=lambda each: f"v{each.API_VERSION}")
def test_the_answer_to_a_fetch_has_its_fields_where_we_read_them(version: Any) -> None:
    names = fields_of(version.RESPONSE_TYPE, "topics", "partitions")
    assert names[:3] == ["partition", "error_code", "highwater_offset"]
    assert names[-1] == "message_set"
    assert (names[3] == "last_stable_offset") == (version.API_VERSION >= 4)


@pytest.mark.parametrize("version", admin.DescribeGroupsRequest._CLASSES, ids=lambda each: f"v{each.API_VERSION}")
def test_the_description_of_a_group_has_its_fields_where_we_read_them(version: Any) -> None:
    response = version.RESPONSE_TYPE
    names = ["error_code", "group", "state", "protocol_type", "protocol", "members"]
    assert fields_of(response, "groups")[: len(names)] == names


def test_batches_can_be_made_as_a_replay_makes_them() -> None:
    builder = DefaultRecordBatchBuilder(
        2, 0, is_transactional=1, producer_id=-1, producer_epoch=-1, base_sequence=0, batch_size=0
    )
    assert builder.append(0, 1, b"key", b"value", [("name", b"value")]) is not None
    assert builder.build()


async def test_what_we_replace_is_in_place_once_clients_can_be_made() -> None:
    # Here, so that the other tests run where these cannot be imported with a newer library.
    from worker.kafka.consumers import kafka_consumer
    from worker.kafka.security import client_options
    from worker.settings import Settings

    made = kafka_consumer(**client_options(Settings()))
    assert type(made._client) is Client
    assert client.create_conn is open_connection
    assert client.MetadataRequest(None).build(metadata.MetadataRequest._CLASSES[-1]).allow_auto_topic_creation is False
    assert (consumer.Fetcher, fetcher.MemoryRecords) == (BoundedFetcher, Batches)
    assert fetcher.PartitionRecords is PartitionRecords
    for name in ("aiokafka.consumer.consumer", "aiokafka.producer.producer", "aiokafka.admin.client"):
        assert importlib.import_module(name).AIOKafkaClient is Client
