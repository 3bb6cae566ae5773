"""Requests to a broker that aiokafka does not know: quotas of a client, and the transactional ids that there are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Array,
    Boolean,
    CompactArray,
    CompactString,
    Float64,
    Int16,
    Int32,
    Int64,
    Schema,
    String,
    TaggedFields,
)

_TEXT, _COMPACT = String("utf-8"), CompactString("utf-8")
_ENTITY = Array(("entity_type", _TEXT), ("entity_name", _TEXT))


class _QuotasResponse(Response):
    API_KEY = 49
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("entries", Array(("error_code", Int16), ("error_message", _TEXT), ("entity", _ENTITY))),
    )


class _QuotasRequest(RequestStruct):
    API_KEY = 49
    API_VERSION = 0
    RESPONSE_TYPE = _QuotasResponse
    SCHEMA = Schema(
        (
            "entries",
            Array(("entity", _ENTITY), ("ops", Array(("key", _TEXT), ("value", Float64), ("remove", Boolean)))),
        ),
        ("validate_only", Boolean),
    )


class _AlterQuotas(Request[_QuotasRequest]):
    API_KEY = 49

    def __init__(self, client_id: str, bytes_per_s: float, *, remove: bool) -> None:
        self._entity = [("client-id", client_id)]
        self._ops = [(rate, bytes_per_s, remove) for rate in ("producer_byte_rate", "consumer_byte_rate")]

    def build(self, request_struct_class: type[_QuotasRequest]) -> _QuotasRequest:
        return request_struct_class([(self._entity, self._ops)], False)


class _TransactionsResponse(Response):
    API_KEY = 66
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("unknown_state_filters", CompactArray(_COMPACT)),
        (
            "transaction_states",
            CompactArray(
                ("transactional_id", _COMPACT), ("producer_id", Int64), ("state", _COMPACT), ("tags", TaggedFields)
            ),
        ),
        ("tags", TaggedFields),
    )


class _TransactionsRequest(RequestStruct):
    API_KEY = 66
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _TransactionsResponse
    SCHEMA = Schema(
        ("state_filters", CompactArray(_COMPACT)),
        ("producer_id_filters", CompactArray(Int64)),
        ("tags", TaggedFields),
    )


class _ListTransactions(Request[_TransactionsRequest]):
    API_KEY = 66

    def build(self, request_struct_class: type[_TransactionsRequest]) -> _TransactionsRequest:
        return request_struct_class([], [], {})


@asynccontextmanager
async def slowed_down(bootstrap_servers: str, client_id: str, bytes_per_s: float) -> AsyncIterator[None]:
    """Quotas on what this client reads and writes, until the block ends."""
    async with _admin(bootstrap_servers) as admin:
        await _alter(admin, _AlterQuotas(client_id, bytes_per_s, remove=False))
        try:
            yield
        finally:
            await _alter(admin, _AlterQuotas(client_id, bytes_per_s, remove=True))


async def transactional_ids(bootstrap_servers: str) -> set[str]:
    """The transactional ids that the one broker of a cluster knows."""
    async with _admin(bootstrap_servers) as admin:
        response = await admin._send_request(_ListTransactions())
        if response.error_code:
            raise for_code(response.error_code)()
        return {identity for identity, *_ in response.transaction_states}


async def _alter(admin: AIOKafkaAdminClient, request: _AlterQuotas) -> None:
    response = await admin._send_request(request)
    for code, message, _ in response.entries:
        if code:
            raise for_code(code)(message)


@asynccontextmanager
async def _admin(bootstrap_servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()
