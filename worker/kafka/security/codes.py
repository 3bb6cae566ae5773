"""Kafka's error codes that aiokafka 0.14 does not know, by their names.

To aiokafka each of them is an `UnknownError`, as what a broker says of a fault of its own is (-1): nobody learns which,
and what passes by itself counts as final. Whoever imports this module teaches aiokafka a class of each.

What becomes of those that a client of ours may get:

- 74, 75, 78, 89, 100, 103, 106: pass by themselves; aiokafka, or who has called it, tries again.
- 76, 87: of what is published; see `worker.kafka.compat.refusals`, which has a class of its own for 87.
- 81, 82: of a join; see `worker.kafka.security.joining` and `worker.kafka.compat.static_membership`.
- 88: of committed offsets; see `worker.kafka.compat.stable_offset_fetch`.
- 90: of a transactional producer that another one has fenced. To aiokafka the same as 47, which it knows.
- 120: of a transaction, which is given up and tried again; see `worker.delivery.transaction_lane`.

The others answer requests that no client of ours sends, and have a name all the same.
"""

from __future__ import annotations

from aiokafka.errors import BrokerResponseError, InvalidProducerEpoch, KafkaError, kafka_errors

RETRIABLE = (74, 75, 78, 80, 83, 89, 100, 103, 106)
PRODUCER_FENCED = 90
NAMES = {
    73: "TOPIC_DELETION_DISABLED",
    74: "FENCED_LEADER_EPOCH",
    75: "UNKNOWN_LEADER_EPOCH",
    76: "UNSUPPORTED_COMPRESSION_TYPE",
    77: "STALE_BROKER_EPOCH",
    78: "OFFSET_NOT_AVAILABLE",
    80: "PREFERRED_LEADER_NOT_AVAILABLE",
    81: "GROUP_MAX_SIZE_REACHED",
    82: "FENCED_INSTANCE_ID",
    83: "ELIGIBLE_LEADERS_NOT_AVAILABLE",
    84: "ELECTION_NOT_NEEDED",
    85: "NO_REASSIGNMENT_IN_PROGRESS",
    86: "GROUP_SUBSCRIBED_TO_TOPIC",
    88: "UNSTABLE_OFFSET_COMMIT",
    89: "THROTTLING_QUOTA_EXCEEDED",
    91: "RESOURCE_NOT_FOUND",
    92: "DUPLICATE_RESOURCE",
    93: "UNACCEPTABLE_CREDENTIAL",
    94: "INCONSISTENT_VOTER_SET",
    95: "INVALID_UPDATE_VERSION",
    96: "FEATURE_UPDATE_FAILED",
    97: "PRINCIPAL_DESERIALIZATION_FAILURE",
    98: "SNAPSHOT_NOT_FOUND",
    99: "POSITION_OUT_OF_RANGE",
    100: "UNKNOWN_TOPIC_ID",
    101: "DUPLICATE_BROKER_REGISTRATION",
    102: "BROKER_ID_NOT_REGISTERED",
    103: "INCONSISTENT_TOPIC_ID",
    104: "INCONSISTENT_CLUSTER_ID",
    105: "TRANSACTIONAL_ID_NOT_FOUND",
    106: "FETCH_SESSION_TOPIC_ID_ERROR",
    107: "INELIGIBLE_REPLICA",
    108: "NEW_LEADER_ELECTED",
    109: "OFFSET_MOVED_TO_TIERED_STORAGE",
    110: "FENCED_MEMBER_EPOCH",
    111: "UNRELEASED_INSTANCE_ID",
    112: "UNSUPPORTED_ASSIGNOR",
    113: "STALE_MEMBER_EPOCH",
    114: "MISMATCHED_ENDPOINT_TYPE",
    115: "UNSUPPORTED_ENDPOINT_TYPE",
    116: "UNKNOWN_CONTROLLER_ID",
    117: "UNKNOWN_SUBSCRIPTION_ID",
    118: "TELEMETRY_TOO_LARGE",
    119: "INVALID_REGISTRATION",
    120: "TRANSACTION_ABORTABLE",
    121: "INVALID_RECORD_STATE",
    122: "SHARE_SESSION_NOT_FOUND",
    123: "INVALID_SHARE_SESSION_EPOCH",
    124: "FENCED_STATE_EPOCH",
    125: "INVALID_VOTER_KEY",
    126: "DUPLICATE_VOTER",
    127: "VOTER_NOT_FOUND",
    128: "INVALID_REGULAR_EXPRESSION",
    129: "REBOOTSTRAP_REQUIRED",
    130: "STREAMS_INVALID_TOPOLOGY",
    131: "STREAMS_INVALID_TOPOLOGY_EPOCH",
    132: "STREAMS_TOPOLOGY_FENCED",
    133: "SHARE_SESSION_LIMIT_REACHED",
    134: "GROUP_DELETION_FAILED",
    135: "STREAMS_TOPOLOGY_DESCRIPTION_UPDATE_FAILED",
    136: "CONTROLLER_ID_NOT_REGISTERED",
}


def _class_of(code: int, name: str) -> type[KafkaError]:
    members = {"errno": code, "message": name, "retriable": code in RETRIABLE, "description": name}
    return type(name, (BrokerResponseError,), members)


kafka_errors.setdefault(PRODUCER_FENCED, InvalidProducerEpoch)
for _code, _name in NAMES.items():
    kafka_errors.setdefault(_code, _class_of(_code, _name))

UNSUPPORTED_COMPRESSION: type[KafkaError] = kafka_errors[76]
GROUP_MAX_SIZE_REACHED: type[KafkaError] = kafka_errors[81]
FENCED_INSTANCE_ID: type[KafkaError] = kafka_errors[82]
