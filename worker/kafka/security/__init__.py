"""How the worker's Kafka clients get in: TLS, SASL, and why a broker does not let them.

`client_options` is the only maker of what a client needs for that; every client of the worker is made with it.
"""

from worker.kafka.security.attempts import recent_failure
from worker.kafka.security.failures import ConnectError
from worker.kafka.security.joining import asked_to_join, passes, refusal_of, refused_as
from worker.kafka.security.options import client_options, described
from worker.kafka.security.refusal import as_worker_error, why_not
from worker.kafka.security.rights import lacking

__all__ = [
    "ConnectError",
    "as_worker_error",
    "asked_to_join",
    "client_options",
    "described",
    "lacking",
    "passes",
    "recent_failure",
    "refusal_of",
    "refused_as",
    "why_not",
]
