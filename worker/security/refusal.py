"""What becomes of a client that no broker lets in."""

from __future__ import annotations

from aiokafka.conn import collect_hosts

from worker.errors import AccessError, BrokerError, WorkerError
from worker.security.attempts import failure_since
from worker.security.failures import ConnectError
from worker.security.options import client_options
from worker.security.probe import offered_mechanisms
from worker.security_rules import uses_sasl
from worker.settings import Settings


async def why_not(settings: Settings, since: float) -> ConnectError | None:
    """Why a client could not connect since that moment (monotonic seconds); None where nothing is known of it.

    Asks the brokers for what aiokafka does not tell: what it is that they want.
    """
    failure = failure_since(since)
    sasl = uses_sasl(settings.security_protocol)
    if failure is not None and not (sasl and failure.hopeless):
        return failure
    options = client_options(settings)
    for host, port, _ in collect_hosts(settings.bootstrap_servers):
        mechanisms = await offered_mechanisms(host, port, options)
        if mechanisms and not sasl:
            # It has let the client connect, to authenticate, and closes the connection at anything else.
            protocol = "SASL_PLAINTEXT" if settings.security_protocol == "PLAINTEXT" else "SASL_SSL"
            text = f"the broker asks for SASL there ({', '.join(mechanisms)}); set security_protocol to {protocol}"
            return ConnectError(f"{host}:{port}: {text}", hopeless=True)
        if failure is not None and mechanisms and settings.sasl_mechanism not in mechanisms:
            return ConnectError(f"{failure} (but {', '.join(mechanisms)})", hopeless=True)
    return failure


def as_worker_error(failure: ConnectError) -> WorkerError:
    """AccessError for what is hopeless, BrokerError for what may pass, ExhaustedError where it is this machine."""
    if failure.used_up is not None:
        return failure.used_up
    return AccessError(str(failure)) if failure.hopeless else BrokerError(str(failure))
