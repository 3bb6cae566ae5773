"""What the libraries lack, and we repair: a test that fails here says that a repair can go, or grow smaller."""

from __future__ import annotations

import ast
import inspect
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import errors
from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.conn import OAuthAuthenticator
from aiokafka.consumer import fetcher
from aiokafka.errors import BrokerResponseError
from aiokafka.protocol import coordination, group
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from worker.kafka.security.codes import NAMES

CAN_GO = "can go, or grow smaller: see docs/library-repairs.md"


def newest(request: Any) -> int:
    """The newest version of a request that the library knows."""
    return max(each.API_VERSION for each in request._CLASSES)


@pytest.mark.parametrize(
    ("request_class", "needed", "file"),
    [
        (MetadataRequest, 10, "topic_id.py"),
        (OffsetFetchRequest, 7, "stable_offset_fetch.py"),
        (group.JoinGroupRequest, 9, "added_partitions.py"),
        (group.HeartbeatRequest, 3, "static_membership.py"),
    ],
    ids=lambda each: getattr(each, "__name__", str(each)),
)
def test_a_request_is_too_old_for_what_we_need(request_class: Any, needed: int, file: str) -> None:
    assert newest(request_class) < needed, f"worker/kafka/compat/{file} {CAN_GO}"


def test_error_codes_are_unknown() -> None:
    classes = [
        each for each in vars(errors).values() if inspect.isclass(each) and issubclass(each, BrokerResponseError)
    ]
    known = {getattr(each, "errno", None) for each in classes}
    assert not known & {*NAMES, 87}, f"worker/kafka/security/codes.py or worker/kafka/compat/refusals.py {CAN_GO}"


def test_the_name_of_a_header_has_to_be_utf_8() -> None:
    builder = DefaultRecordBatchBuilder(
        2, 0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1, batch_size=1_000
    )
    builder.append(0, 1, b"key", b"value", [("name", b"")])
    batch = bytes(builder.build()).replace(b"name", b"nam\xe9")
    with pytest.raises(UnicodeDecodeError):
        next(DefaultRecordBatch(bytearray(batch)))
        pytest.fail(f"worker/kafka/compat/lenient_headers.py {CAN_GO}")


def test_a_batch_that_is_not_whole_counts_as_none() -> None:
    records = MemoryRecords(b"\0" * 8 + (100).to_bytes(4, "big") + b"\0" * 20)
    assert not records.has_next(), f"Batches in worker/kafka/compat/damaged_batches.py {CAN_GO}"


def test_a_damaged_batch_has_no_place() -> None:
    (raised,) = [
        node for node in ast.walk(ast.parse(inspect.getsource(fetcher)))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("CorruptRecordException")
    ]  # fmt: skip
    assert len(raised.args) == 1, f"worker/kafka/compat/damaged_batches.py {CAN_GO}"


def test_nothing_bounds_in_bytes_what_is_fetched_ahead() -> None:
    options = inspect.signature(fetcher.Fetcher).parameters
    bounds = {name for name in options if "bytes" in name or "memory" in name}
    assert bounds == {"fetch_min_bytes", "fetch_max_bytes", "max_partition_fetch_bytes"}, f"bounded_fetcher.py {CAN_GO}"


async def test_a_token_that_the_broker_refuses_is_no_error() -> None:
    class Tokens:
        async def token(self) -> str:
            return "token"

        def extensions(self) -> dict[str, str]:
            return {}

    authenticator = OAuthAuthenticator(sasl_oauth_token_provider=Tokens())
    await authenticator.step(None)
    assert await authenticator.step(b'{"status":"invalid_token"}') is None, f"_CheckedOAuth {CAN_GO}"


async def test_a_client_that_no_broker_answers_does_not_ask_the_bootstrap_servers_again() -> None:
    client = AIOKafkaClient(bootstrap_servers="127.0.0.1:1")
    asked = []

    async def nobody(node: object, **options: object) -> None:
        asked.append(node)

    client.cluster = SimpleNamespace(brokers=lambda: [SimpleNamespace(nodeId=7)])
    client._get_conn = nobody
    assert not await client._metadata_update(ClusterMetadata(), [])
    assert asked == [7], f"worker/kafka/security/bootstrap.py {CAN_GO}"


async def test_questions_go_through_the_connection_that_fetches() -> None:
    client = AIOKafkaClient(bootstrap_servers="127.0.0.1:1")
    groups = []

    async def send(node: object, request: object, **options: object) -> Any:
        assert isinstance(request, coordination.FindCoordinatorRequest)
        groups.append(options.get("group"))
        return SimpleNamespace(error_code=0, coordinator_id=7)

    client.get_random_node, client.send = lambda: 1, send
    await client.coordinator_lookup(0, "group")
    assert groups == [None], f"worker/kafka/compat/consumer_questions.py {CAN_GO}"


def test_a_client_lets_the_broker_create_topics() -> None:
    (version,) = [each for each in MetadataRequest._CLASSES if each.API_VERSION == 4]
    assert MetadataRequest(["topic"]).build(version).allow_auto_topic_creation is True, f"connections.py {CAN_GO}"


def test_faust_makes_a_folder_for_tables_at_its_start() -> None:
    from faust.app.base import App  # here, so that the other tests run where Faust cannot be imported

    assert "mkdir" in inspect.getsource(App._create_directories), f"FaustApp._create_directories {CAN_GO}"
