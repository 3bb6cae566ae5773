"""Every setting of the worker: its default, its bounds and its meaning, once.

The command line, the reference page and the rooms of the worker are fed from here. A setting is read from
``REVIEWS_WORKER_<SETTING>``; the broker also from ``KAFKA_BOOTSTRAP_SERVERS``. The parts are classes of their own,
whose docstrings are the headings of ``--help`` and of the reference page.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from worker.overflow import DEFAULT_OVERFLOW, MOST_WINDOWS, Overflow, OverflowPolicy
from worker.security_rules import Mechanism, Protocol, problem
from worker.servers import check_servers

ENVIRONMENT_PREFIX = "REVIEWS_WORKER_"
DEFAULT_PORT = 6066
COMMIT_INTERVAL_S = 1.0
TRANSACTION_INTERVAL_S = 0.1


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a setting takes, in words, where its type and bounds do not say it."""

    text: str


def _without_kubernetes_link(value: object) -> object:
    # In the namespace of a Kubernetes service called reviews-worker every container is given this variable as a URL.
    return DEFAULT_PORT if isinstance(value, str) and re.match(r"(tcp|udp)://", value) else value


BUNDLED = "bundled"
"""The word for the model in the package, where a folder is expected; a folder of that name is ``./bundled``."""

_NAME = r"[^.\[\]\x00-\x20\x7f]([^.\[\]\x00-\x1f\x7f]*[^.\[\]\x00-\x20\x7f])?"
"""Name of a member of an event, as docs/contract.md has it; RE2 (Helm) reads it too."""
_PATH = rf"{_NAME}(\.{_NAME})*"


def _check_name(value: str) -> str:
    if not re.fullmatch(_NAME, value):
        raise ValueError(_why_no_path(value) or "it is a member of the event itself, so it has no dots")
    return value


def _check_path(value: str) -> str:
    if not re.fullmatch(_PATH, value):
        raise ValueError(_why_no_path(value))
    return value


def _why_no_path(value: str) -> str:
    if "[" in value or "]" in value:
        return "no path leads into an array, and brackets are no part of a name"
    names = value.split(".")
    if "" in names:
        return "there is no name before, behind or between dots"
    return (
        "" if all(re.fullmatch(_NAME, name) for name in names) else "a name has spaces around it or control characters"
    )


def _bundled_to_none(value: object) -> object:
    return None if value == BUNDLED else value


Provider = Literal["auto", "cpu", "cuda"]
Codec = Literal["none", "gzip", "snappy", "lz4", "zstd"]
LogFormat = Literal["auto", "human", "json"]
Guarantee = Literal["at_least_once", "exactly_once"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveSeconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1)]
Servers = Annotated[str, AfterValidator(check_servers), Allowed("host:port, separated by commas")]
TopicName = Annotated[
    str,
    Field(pattern=r"^(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}$"),
    Allowed("1 to 249 letters, digits, dots, dashes and underscores"),
]
MemberName = Annotated[
    str,
    AfterValidator(_check_name),
    WithJsonSchema({"type": "string", "pattern": f"^{_NAME}$"}),
    Allowed("the name of a member"),
]
MemberPath = Annotated[
    str,
    AfterValidator(_check_path),
    WithJsonSchema({"type": "string", "pattern": f"^{_PATH}$"}),
    Allowed("names of members joined by dots"),
]
InstanceId = Annotated[
    str | None,
    Field(pattern=r"^(?!\.{1,2}$)(?!reviews-worker$)[A-Za-z0-9._-]{1,249}$"),
    Allowed("1 to 249 letters, digits, dots, dashes and underscores, but not reviews-worker"),
]
Port = Annotated[int, BeforeValidator(_without_kubernetes_link), Field(ge=0, le=65535)]


class _Part(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        use_attribute_docstrings=True,
        env_ignore_empty=True,
        protected_namespaces=(),
        # The prefix of the topic name's rule needs a look-ahead.
        regex_engine="python-re",
    )


class KafkaSettings(_Part):
    """Kafka."""

    bootstrap_servers: Servers = Field(
        default="localhost:9092",
        validation_alias=AliasChoices(ENVIRONMENT_PREFIX + "BOOTSTRAP_SERVERS", "KAFKA_BOOTSTRAP_SERVERS"),
    )
    """Brokers to start from, ``host:port``, separated by commas."""
    group: Name = "reviews-worker"
    """Consumer group; workers of one group share the partitions."""
    group_instance_id: InstanceId = None
    """Makes this worker a static member, which keeps its partitions over a restart; its own for each worker."""
    input_topic: TopicName = "reviews.in"
    """Topic that the reviews are read from."""
    output_topic: TopicName = "reviews.classified"
    """Topic that the classified reviews go to."""
    dead_letter_topic: TopicName = "reviews.dlq"
    """Topic for events that cannot be classified."""
    create_topics: bool = True
    """Create missing topics at start; otherwise a missing topic is an error."""
    topic_partitions: Annotated[int, Field(ge=1)] = 6
    """Partitions of a topic that the worker creates."""
    topic_replication: Annotated[int, Field(ge=-1, le=32767)] = -1
    """Replication factor of a topic that the worker creates; -1 takes the broker's default."""
    topic_retention_s: Annotated[float, Field(ge=-1)] = 7 * 24 * 3600.0
    """Retention of a topic that the worker creates, in seconds; -1 keeps everything."""
    from_beginning: bool = True
    """Where a group without committed offsets starts: the oldest record, or only what comes from now on."""
    read_committed: bool = True
    """Read only committed transactions of the producers upstream."""
    session_timeout_s: PositiveSeconds = 30.0
    """A worker that the broker has not heard of for so long loses its partitions, in seconds."""
    heartbeat_interval_s: PositiveSeconds = 1.0
    """How often a worker reports to the group, and hears of a rebalance, in seconds; a third of the session at most."""
    rebalance_timeout_s: PositiveSeconds = 30.0
    """How long the group waits for its members when partitions are shared out again, in seconds."""
    start_timeout_s: PositiveSeconds = 600.0
    """How long to try to reach the broker at start before giving up, in seconds."""
    compression: Codec = "zstd"
    """Compression of what the worker publishes."""


class SecuritySettings(_Part):
    """Kafka security."""

    security_protocol: Protocol = "PLAINTEXT"
    """How the broker's listener is spoken to: with ``SSL`` in its name by TLS, with ``SASL`` with credentials."""
    ssl_ca_file: Path | None = None
    """Certificates (PEM) that the brokers' are signed by; without it those that this machine trusts."""
    ssl_certificate_file: Path | None = None
    """The client's own certificate (PEM), with those in between, for brokers that ask for one (mTLS)."""
    ssl_key_file: Path | None = None
    """The key (PEM) of ``ssl_certificate_file``; it may be the same file."""
    ssl_key_password_file: Path | None = None
    """File with the password of ``ssl_key_file``, where it has one."""
    ssl_check_hostname: bool = True
    """Whether a broker's certificate must be for the name that the broker is reached by."""
    sasl_mechanism: Mechanism | None = None
    """How the worker proves who it is, with ``SASL_SSL`` or ``SASL_PLAINTEXT``."""
    sasl_username: Name | None = None
    """User of ``PLAIN`` and ``SCRAM``."""
    sasl_username_file: Path | None = None
    """File with the user, instead of ``sasl_username``."""
    sasl_password_file: Path | None = None
    """File with the password of ``PLAIN`` and ``SCRAM``; a password is never in a variable or on a command line."""
    oauth_token_file: Path | None = None
    """File with the token of ``OAUTHBEARER``, which somebody else renews."""
    oauth_token_url: Annotated[str | None, Allowed("an https:// address")] = None
    """Where the worker gets its token by itself (client credentials grant), instead of ``oauth_token_file``."""
    oauth_client_id: Name | None = None
    """The client's name at ``oauth_token_url``."""
    oauth_client_secret_file: Path | None = None
    """File with the client's secret for ``oauth_token_url``."""
    oauth_scope: Name | None = None
    """Scope that is asked for at ``oauth_token_url``, where one has to be."""
    oauth_ca_file: Path | None = None
    """Certificates (PEM) that the one of ``oauth_token_url`` is signed by; without it those of this machine."""
    kerberos_service_name: Name = "kafka"
    """First part of the brokers' principals (``GSSAPI``); keytab and realm are krb5's own settings."""


class ContractSettings(_Part):
    """The contract."""

    text_field: MemberPath = "text"
    """Member of the event that holds the text; dots go into nested objects (``review.body``)."""
    result_field: MemberName = "sentiment"
    """Member that the worker adds."""
    max_event_bytes: Annotated[int, Field(ge=1)] = 1_000_000
    """Largest event that is classified, in bytes; larger ones become dead letters."""
    max_output_bytes: Annotated[int, Field(ge=1_000)] = 1_048_576
    """Largest record to publish, in bytes; the output topic's own limit counts too, when it can be read."""


class ModelSettings(_Part):
    """The model."""

    model: Annotated[Path | None, BeforeValidator(_bundled_to_none)] = None
    """Folder of the model artifact; without it, or with the word ``bundled``, the bundled model is used."""
    provider: Provider = "auto"
    """Where the model runs: ``auto`` takes the GPU where there is one."""
    device_id: Annotated[int, Field(ge=0)] = 0
    """Number of the GPU."""
    concurrent_batches: Annotated[int, Field(ge=0, le=1024)] = 0
    """Batches that a CPU computes side by side; 0 takes as many as have cores, counting ``inference_threads`` each."""
    inference_threads: Annotated[int, Field(ge=0)] = 0
    """Threads of one inference on a CPU; 0 takes one, or what ``concurrent_batches`` leave for each."""
    tokeniser_threads: Annotated[int, Field(ge=1, le=64)] = 2
    """Threads that decode and tokenise."""
    overflow: OverflowPolicy = DEFAULT_OVERFLOW.policy
    """What is read of a review longer than the model: its beginning, beginning and end, or all of it in windows."""
    window_overlap_tokens: Annotated[int | None, Field(ge=0)] = DEFAULT_OVERFLOW.window_overlap_tokens
    """Tokens that a window of a long review shares with the next one; without it an eighth of the model's length."""
    max_windows: Annotated[int, Field(ge=1, le=MOST_WINDOWS)] = DEFAULT_OVERFLOW.max_windows
    """Windows of one review, which bound its cost; what they do not reach is not read."""

    @property
    def reading(self) -> Overflow:
        """How reviews longer than the model are read."""
        return Overflow(self.overflow, self.window_overlap_tokens, self.max_windows)


class BatchingSettings(_Part):
    """Batching."""

    max_batch_tokens: Annotated[int, Field(ge=0)] = 0
    """Padded tokens of one batch (longest times count); 0 takes the measured default of the provider."""
    max_batch_reviews: Annotated[int, Field(ge=0)] = 0
    """Reviews of one batch, each window of a long one counted; 0 takes the measured default of the provider."""
    batch_window_reviews: Annotated[int, Field(ge=0)] = 0
    """Waiting reviews among which those of like length are found; 0 takes the measured default of the provider."""
    linger_s: Seconds = 0.0
    """How long a review may wait for company while the session is idle, in seconds."""
    max_wait_s: PositiveSeconds = 5.0
    """A review that has waited for so long in the worker goes into the next batch, in seconds."""


class FlowSettings(_Part):
    """Flow and delivery."""

    max_in_flight_reviews: Annotated[int, Field(ge=1)] = 4096
    """Reviews that may be between intake and acknowledged output; beyond it the worker stops pulling."""
    max_in_flight_bytes: Annotated[int, Field(ge=1_000_000)] = 64 * 1024 * 1024
    """The same in bytes of memory: key, headers, the value twice (it is in the output too), and 1 KiB for each."""
    processing_guarantee: Guarantee = "at_least_once"
    """What a crash may do: repeat some outputs, or nothing, since outputs and offsets share a transaction."""
    commit_interval_s: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None
    """Time between two commits of offsets, in seconds; without it 1, and 0.1 with ``exactly_once``."""
    transaction_timeout_s: PositiveSeconds = 60.0
    """The broker aborts a transaction that is open for so long, in seconds (``exactly_once``)."""
    grace_period_s: PositiveSeconds = 25.0
    """How long a stop waits for what is in flight, in seconds; keep it below the supervisor's own limit."""
    stall_timeout_s: PositiveSeconds = 120.0
    """Without progress for so long, while there is lag, the worker is no longer alive, in seconds."""
    retry_attempts: Annotated[int, Field(ge=0)] = 8
    """How often a failing session is tried again before the process exits."""
    retry_backoff_s: PositiveSeconds = 0.5
    """First pause between two tries, in seconds; it doubles each time, up to 30 s."""

    @property
    def exactly_once(self) -> bool:
        """Whether outputs and offsets are committed in one transaction."""
        return self.processing_guarantee == "exactly_once"

    @property
    def commit_every_s(self) -> float:
        """Time between two commits in seconds."""
        if self.commit_interval_s is not None:
            return self.commit_interval_s
        return TRANSACTION_INTERVAL_S if self.exactly_once else COMMIT_INTERVAL_S


class DeadLetterSettings(_Part):
    """Dead letters."""

    fuse_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of dead letters in the window that stops the worker."""
    fuse_window_reviews: Annotated[int, Field(ge=1)] = 1000
    """Reviews that the share is counted over."""
    fuse_run_length: Annotated[int, Field(ge=1)] = 200
    """Dead letters in a row that stop the worker."""


class SurfaceSettings(_Part):
    """Surfaces."""

    host: Name = "127.0.0.1"
    """Address of the health and metrics port; ``0.0.0.0`` opens it to other machines."""
    port: Port = DEFAULT_PORT
    """Port of ``/healthz``, ``/readyz`` and ``/metrics``; 0 takes a free one."""
    log_level: LogLevel = "INFO"
    """Least severe message that is logged."""
    log_format: LogFormat = "auto"
    """``human`` or ``json``; ``auto`` is human on a terminal, JSON otherwise."""
    totals_interval_s: Seconds = 60.0
    """Time between two log lines with totals while there is work, in seconds; 0 leaves only the one at the end."""
    tracing: bool = False
    """Send a trace of each review to an OpenTelemetry collector (extra ``otel``); ``OTEL_`` variables say where."""


class Settings(
    # The last base comes first among the fields.
    SurfaceSettings,
    DeadLetterSettings,
    FlowSettings,
    BatchingSettings,
    ModelSettings,
    ContractSettings,
    SecuritySettings,
    KafkaSettings,
):
    """All settings. Frozen; built once at start and handed out room by room."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if faulty := problem(self):
            raise ValueError(faulty)
        topics = (self.input_topic, self.output_topic, self.dead_letter_topic)
        if len(set(topics)) < len(topics):
            raise ValueError(f"input_topic, output_topic and dead_letter_topic must differ (now {', '.join(topics)})")
        if 0 < self.batch_window_reviews > self.max_in_flight_reviews:
            raise ValueError("batch_window_reviews must not exceed max_in_flight_reviews")
        if self.result_field == self.text_field.split(".", 1)[0]:
            raise ValueError("result_field must not replace the member that holds the text")
        return self
