"""Every name below the public surface of aiokafka, Faust and mode that `worker/` rests on: the list.

`test_private_names.py` holds it against the installed libraries and against our source. docs/library-repairs.md says
what each of our files repairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

COMPAT, SOURCE = "worker/kafka/compat/", "worker/source/"


class How(Enum):
    """What our code does with a name, and so what the library has to do with it."""

    READ = "the library sets it, and uses it itself"
    WRITTEN = "the library reads what we set"
    OVERRIDDEN = "the library has it, and calls it"
    REPLACED = "a global of a module that a function of this module looks up when it runs"
    IMPORTED = "the library has it, and uses it itself"
    PROVIDED = "the library has it for its callers; tests/seams/test_behaviour.py says what it has to do"


@dataclass(frozen=True)
class PrivateName:
    """One name, where the library has it, and which files of ours use it."""

    name: str
    owner: str
    """``module:Class``, or a module."""
    how: How
    files: tuple[str, ...]
    used_in: str = ""
    """The module of the library that uses it, where that is not the class itself."""

    def __str__(self) -> str:
        return f"{self.owner}.{self.name}"


FETCHER = "aiokafka.consumer.fetcher"
COORDINATOR = "aiokafka.consumer.group_coordinator"
CONSUMER = "aiokafka.consumer.consumer"
DRIVER = "faust.transport.drivers.aiokafka"
_FETCHER, _RESULT, _RECORDS = f"{FETCHER}:Fetcher", f"{FETCHER}:FetchResult", f"{FETCHER}:PartitionRecords"
_COORDINATOR = f"{COORDINATOR}:GroupCoordinator"
_CONSUMER, _CLIENT = f"{CONSUMER}:AIOKafkaConsumer", "aiokafka.client:AIOKafkaClient"
_BATCH, _REQUEST = "aiokafka.record.default_records:_DefaultRecordBatchPy", "aiokafka.protocol.api:Request"
_THREAD = f"{DRIVER}:AIOKafkaConsumerThread"

_BOOTSTRAP, _BOUNDED = "worker/kafka/security/bootstrap.py", COMPAT + "bounded_fetcher.py"
_CONNECTIONS, _DAMAGED = "worker/kafka/security/connections.py", COMPAT + "damaged_batches.py"
_DESCRIPTION, _HEADERS = COMPAT + "group_description.py", COMPAT + "lenient_headers.py"
_STABLE, _STATIC = COMPAT + "stable_offset_fetch.py", COMPAT + "static_membership.py"
_ADDED, _TOPIC_ID = COMPAT + "added_partitions.py", COMPAT + "topic_id.py"
_QUESTIONS, _CONSUMERS = COMPAT + "consumer_questions.py", "worker/kafka/consumers.py"
_ADMIN, _SKIP = "worker/kafka/topics.py", "worker/cli/skip.py"
_TRANSACTIONS = "worker/delivery/kafka_transactions.py"
_OUR_THREAD, _STARTS = SOURCE + "consumer_thread.py", SOURCE + "start_offsets.py"
_SAME, _TRANSPORT, _APP = SOURCE + "same_topic.py", SOURCE + "transport.py", SOURCE + "app.py"

R, W, O, G = How.READ, How.WRITTEN, How.OVERRIDDEN, How.REPLACED  # noqa: E741
N = PrivateName

OF_CLIENT = (
    N("AIOKafkaClient", "aiokafka.consumer.consumer", G, (_BOOTSTRAP,)),
    N("AIOKafkaClient", "aiokafka.producer.producer", G, (_BOOTSTRAP,)),
    N("AIOKafkaClient", "aiokafka.admin.client", G, (_BOOTSTRAP,)),
    N("create_conn", "aiokafka.client", G, (_CONNECTIONS,)),
    N("MetadataRequest", "aiokafka.client", G, (_CONNECTIONS,)),
    N("_metadata_update", _CLIENT, O, (_BOOTSTRAP,)),
    N("_client_id", _CLIENT, R, (_BOOTSTRAP,)),
    N("_request_timeout_ms", _CLIENT, R, (_BOOTSTRAP,)),
    N("_ssl_context", _CLIENT, R, (_BOOTSTRAP,)),
    N("_security_protocol", _CLIENT, R, (_BOOTSTRAP,)),
    N("_connections_max_idle_ms", _CLIENT, R, (_BOOTSTRAP,)),
    N("_sasl_mechanism", _CLIENT, R, (_BOOTSTRAP,)),
    N("_sasl_plain_username", _CLIENT, R, (_BOOTSTRAP,)),
    N("_sasl_plain_password", _CLIENT, R, (_BOOTSTRAP,)),
    N("_sasl_kerberos_service_name", _CLIENT, R, (_BOOTSTRAP,)),
    N("_sasl_kerberos_domain_name", _CLIENT, R, (_BOOTSTRAP,)),
    N("_sasl_oauth_token_provider", _CLIENT, R, (_BOOTSTRAP,)),
    N("_conns", _CLIENT, R, (_BOOTSTRAP,)),
    N("hosts", _CLIENT, R, (_BOOTSTRAP,)),
    N("cluster", _CLIENT, R, (_BOOTSTRAP, _STARTS, SOURCE + "topic_ids.py", _ADMIN)),
    N("_sync_task", _CLIENT, R, (_OUR_THREAD,)),
    N("send", _CLIENT, O, (_QUESTIONS,)),
    N("send", _CLIENT, O, (_QUESTIONS, _BOUNDED), used_in=FETCHER),
    N("send", _CLIENT, O, ("worker/service/assembly.py",), used_in="aiokafka.producer.sender"),
    N("ready", _CLIENT, O, ("worker/service/assembly.py",), used_in="aiokafka.producer.sender"),
    N("_sasl_oauth_token_provider", "aiokafka.conn:AIOKafkaConnection", R, (_CONNECTIONS,)),
    N("authenticator_oauth", "aiokafka.conn:AIOKafkaConnection", O, (_CONNECTIONS,)),
    N("step", "aiokafka.conn:OAuthAuthenticator", O, (_CONNECTIONS,), used_in="aiokafka.conn"),
    N("_token_sent", "aiokafka.conn:OAuthAuthenticator", R, (_CONNECTIONS,)),
    N("_client", "aiokafka.admin.client:AIOKafkaAdminClient", R, (_ADMIN,)),
    N("_send_request", "aiokafka.admin.client:AIOKafkaAdminClient", R, (_ADMIN,)),
)
OF_FETCHING = (
    N("Fetcher", CONSUMER, G, (_CONSUMERS,)),
    N("MemoryRecords", FETCHER, G, (_CONSUMERS,)),
    N("PartitionRecords", FETCHER, G, (_CONSUMERS,)),
    N("fetched_records", _FETCHER, O, (_BOUNDED,), used_in=CONSUMER),
    N("fetched_records", _FETCHER, O, (_BOUNDED,), used_in=DRIVER),
    N("_get_actions_per_node", _FETCHER, O, (_BOUNDED,)),
    N("_records", _FETCHER, R, (_BOUNDED,)),
    N("_subscriptions", _FETCHER, R, (_BOUNDED,)),
    N("_isolation_level", _FETCHER, R, (_BOUNDED,)),
    N("_isolation_level", _FETCHER, W, (_STARTS,)),
    N("_create_fetch_waiter", _FETCHER, R, (_BOUNDED,)),
    N("_fetch_waiters", _FETCHER, R, (_BOUNDED,)),
    N("_notify", _FETCHER, R, (_BOUNDED,)),
    N("_wait_consume_future", _FETCHER, R, (_BOUNDED,)),
    N("_set_error", _FETCHER, R, (_BOUNDED,)),
    N("_closed", _FETCHER, R, (_BOUNDED,), used_in=DRIVER),
    N("error_future", _FETCHER, How.PROVIDED, (_OUR_THREAD,)),
    N("_topic_partition", _RESULT, R, (_BOUNDED,)),
    N("_assignment", _RESULT, R, (_BOUNDED,)),
    N("_update_position", _RESULT, R, (_BOUNDED,)),
    N("_partition_records", _RESULT, W, (_BOUNDED,)),
    N("check_assignment", _RESULT, R, (_BOUNDED,)),
    N("has_more", _RESULT, R, (_BOUNDED,)),
    N("check_raise", f"{FETCHER}:FetchError", R, (_BOUNDED,), used_in=FETCHER),
    N("_records", _RECORDS, W, (_DAMAGED, _BOUNDED)),
    N("_records_iterator", _RECORDS, W, (_DAMAGED,)),
    N("_tp", _RECORDS, R, (_DAMAGED,)),
    N("_unpack_records", _RECORDS, R, (_DAMAGED,)),
    N("next_fetch_offset", _RECORDS, R, (_DAMAGED,)),
    N("__next__", _RECORDS, How.PROVIDED, (_DAMAGED,)),
    N("_DefaultRecordBatchPy", "aiokafka.record.default_records", How.IMPORTED, (_HEADERS,)),
    N("_DefaultRecordPy", "aiokafka.record.default_records", How.IMPORTED, (_HEADERS,)),
    N("decode_varint_py", "aiokafka.record.util", How.IMPORTED, (_HEADERS,)),
    N("_read_msg", _BATCH, O, (_HEADERS,)),
    N("_buffer", _BATCH, R, (_HEADERS,)),
    N("_pos", _BATCH, W, (_HEADERS,)),
)
OF_GROUP = (
    N("_coordinator", _CONSUMER, R, (_SKIP, _ADDED, _STABLE, _STATIC, _OUR_THREAD, _SAME, _STARTS)),
    N("_fetcher", _CONSUMER, R, (_OUR_THREAD, _STARTS)),
    N("_subscription", _CONSUMER, R, (_STARTS,)),
    N(
        "_client",
        _CONSUMER,
        R,
        (
            _STATIC,
            _CONSUMERS,
            _OUR_THREAD,
            _STARTS,
            SOURCE + "partition_progress.py",
            SOURCE + "topic_ids.py",
        ),
    ),
    N("_client", _COORDINATOR, R, (_DESCRIPTION, _STATIC)),
    N("_cluster", _COORDINATOR, R, (_ADDED,)),
    N("_subscription", _COORDINATOR, R, (_ADDED,)),
    N("_send_req", _COORDINATOR, R, (_STABLE,)),
    N("_closing", _COORDINATOR, R, (_STATIC,)),
    N("_coordination_task", _COORDINATOR, R, (_STATIC,)),
    N("_group_instance_id", _COORDINATOR, R, (_STATIC, _OUR_THREAD)),
    N("_pending_exception", _COORDINATOR, R, (_STATIC,)),
    N("_session_timeout_ms", _COORDINATOR, R, (_STATIC,)),
    N("coordinator_id", _COORDINATOR, R, (_DESCRIPTION, _STATIC)),
    N("member_id", _COORDINATOR, R, (_STATIC,)),
    N("generation", _COORDINATOR, R, (_ADDED,)),
    N("group_id", _COORDINATOR, R, (_DESCRIPTION, _STABLE, _STATIC, _STARTS)),
    N("coordinator_dead", _COORDINATOR, R, (_STABLE, _STATIC)),
    N("ensure_coordinator_known", _COORDINATOR, R, (_DESCRIPTION, _STABLE)),
    N("request_rejoin", _COORDINATOR, R, (_ADDED, _STATIC, _OUR_THREAD, _SAME, _STARTS)),
    N("need_rejoin", _COORDINATOR, R, (_ADDED,)),
    N("check_errors", _COORDINATOR, R, (_STATIC,), used_in=CONSUMER),
    N("commit_offsets", _COORDINATOR, R, (_STARTS,), used_in=CONSUMER),
    N("API_KEY", _REQUEST, O, (_STABLE, _TOPIC_ID)),
    N("build", _REQUEST, O, (_STABLE, _TOPIC_ID)),
    N("API_KEY", "aiokafka.protocol.api:RequestStruct", O, (_STABLE, _TOPIC_ID), used_in="aiokafka.protocol.api"),
    N("API_VERSION", "aiokafka.protocol.api:RequestStruct", O, (_STABLE, _TOPIC_ID), used_in="aiokafka.protocol.api"),
    N("FLEXIBLE_VERSION", "aiokafka.protocol.api:RequestStruct", O, (_STABLE, _TOPIC_ID)),
    N("SCHEMA", "aiokafka.protocol.struct:Struct", O, (_STABLE, _TOPIC_ID)),
    N("encode", "aiokafka.protocol.abstract:AbstractType", O, (_TOPIC_ID,), used_in="aiokafka.protocol.types"),
    N("decode", "aiokafka.protocol.abstract:AbstractType", O, (_TOPIC_ID,), used_in="aiokafka.protocol.types"),
)
OF_OTHERS = (
    N("_txn_manager", "aiokafka.producer.producer:AIOKafkaProducer", R, (_TRANSACTIONS,)),
    N("_message_accumulator", "aiokafka.producer.producer:AIOKafkaProducer", R, (_TRANSACTIONS,)),
    N("_batches", "aiokafka.producer.message_accumulator:MessageAccumulator", R, (_TRANSACTIONS,)),
    N("_drain_waiter", "aiokafka.producer.message_accumulator:MessageBatch", R, (_TRANSACTIONS,)),
    N(
        "is_in_transaction",
        "aiokafka.producer.transaction_manager:TransactionManager",
        R,
        (_TRANSACTIONS,),
        used_in="aiokafka.producer.producer",
    ),
    N(
        "wait_for_transaction_end",
        "aiokafka.producer.transaction_manager:TransactionManager",
        R,
        (_TRANSACTIONS,),
        used_in="aiokafka.producer.producer",
    ),
    N("kafka_errors", "aiokafka.errors", G, ("worker/kafka/security/codes.py", COMPAT + "refusals.py")),
    N("token", "aiokafka.abc:AbstractTokenProvider", O, ("worker/kafka/security/tokens.py",), used_in="aiokafka.conn"),
)
OF_FAUST = (
    N("_new_transport", "faust.app.base:App", O, (_APP,)),
    N("_create_directories", "faust.app.base:App", O, (_APP,)),
    N("_loads", "faust.serializers.codecs:Codec", O, (_APP,), used_in="faust.serializers.codecs"),
    N("_dumps", "faust.serializers.codecs:Codec", O, (_APP,), used_in="faust.serializers.codecs"),
    N("_settings_auth", f"{DRIVER}:Producer", O, (SOURCE + "clients.py",)),
    N("__post_init__", _THREAD, O, (_OUR_THREAD,)),
    N("on_start", _THREAD, O, (_OUR_THREAD,)),
    N("on_thread_stop", _THREAD, O, (_OUR_THREAD,)),
    N("_create_worker_consumer", _THREAD, O, (_OUR_THREAD,)),
    N("_ensure_consumer", _THREAD, R, (_OUR_THREAD,)),
    N("_fetch_records", _THREAD, O, (_OUR_THREAD,)),
    N("on_partitions_revoked", _THREAD, O, (_OUR_THREAD,), used_in=DRIVER),
    N("on_partitions_assigned", _THREAD, O, (_OUR_THREAD,), used_in=DRIVER),
    N("verify_event_path", _THREAD, O, (_OUR_THREAD,), used_in=DRIVER),
    N("call_thread", _THREAD, R, (_OUR_THREAD,)),
    N("thread_loop", _THREAD, R, (_OUR_THREAD, _TRANSPORT)),
    N("_active_partitions", f"{DRIVER}:Consumer", R, (_OUR_THREAD,)),
    N("flow_active", f"{DRIVER}:Consumer", R, (_OUR_THREAD,), used_in=DRIVER),
    N("_new_consumer_thread", f"{DRIVER}:Consumer", O, (_TRANSPORT,)),
    N("_to_message", f"{DRIVER}:Consumer", O, (_TRANSPORT,)),
    N("_thread", f"{DRIVER}:Consumer", R, (_TRANSPORT,)),
    N("_read_offset", f"{DRIVER}:Consumer", R, (_TRANSPORT,)),
    N("perform_seek", f"{DRIVER}:Consumer", O, (_TRANSPORT,)),
    N("Consumer", f"{DRIVER}:Transport", O, (_TRANSPORT,)),
    N("Producer", f"{DRIVER}:Transport", O, (_TRANSPORT,)),
)
PRIVATE_NAMES: tuple[PrivateName, ...] = (*OF_CLIENT, *OF_FETCHING, *OF_GROUP, *OF_OTHERS, *OF_FAUST)

NOT_OF_THESE_LIBRARIES = {
    ("worker/cli/ending.py", "_exit"): "os",
    ("worker/service/ending.py", "_exit"): "os",
    ("worker/service/stacks.py", "_current_frames"): "sys",
    ("worker/cli/reference.py", "_labelnames"): "prometheus_client",
    ("worker/modelkit/convert/graph.py", "_attend"): "a class of ours, in the same file",
    ("worker/modelkit/convert/graph.py", "_attend_once"): "a class of ours, in the same file",
    ("worker/modelkit/train/loop.py", "_foreach_add_"): "torch",
    (COMPAT + "refusals.py", "description"): "text for people, which only `worker/kafka/topics.py` reads",
    (_BOOTSTRAP, "_told"): "a class of ours, in the same file",
    ("worker/delivery/outputs.py", "outcome"): "a class of ours",
    ("worker/source/app.py", "context"): "a class of ours, in the same file",
    (_OUR_THREAD, "on_damage"): "BoundedFetcher, which is ours",
    (_OUR_THREAD, "max_taken_bytes"): "BoundedFetcher, which is ours",
    (SOURCE + "damaged_partitions.py", "pause_s"): "a class of ours, in the same file",
    (SOURCE + "damaged_partitions.py", "retry"): "a class of ours, in the same file",
    (SOURCE + "damaged_partitions.py", "told_at"): "a class of ours, in the same file",
}
"""What looks like a private or a replaced name of the libraries, and is not; with its owner."""
OF_NAMED_TUPLES = ("_replace", "_asdict")
"""Public by Python's documentation, the underscore notwithstanding."""
