"""One real broker with a listener for each way in, and rights that somebody has to give.

The first listener, in plain text, is the tests' own: who connects there may do everything.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trustme
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code
from aiokafka.protocol.admin import CreateAclsRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactArray, CompactBytes, CompactString, Int8, Int16, Int32, Schema, TaggedFields
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, NoEncryption
from kafka_rights import Right

from worker.devkafka import kafka_cluster, ports
from worker.devkafka.properties import Node

HOST = "127.0.0.1"
OTHER_NAME = "kafka.example"
USER, PASSWORD = "worker", "open, sesame = 7"
"""The user of PLAIN; it has a comma and an equals sign in it, which SCRAM has to escape in names, not here."""
REAUTHENTICATION_MS = 1500
SCRAM = {"SCRAM-SHA-256": 1, "SCRAM-SHA-512": 2}
ITERATIONS = 4096
OAUTH = "org.apache.kafka.common.security.oauthbearer"
ALL_MECHANISMS = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER"

PROTOCOLS = {
    "SASL": "SASL_SSL",
    "SHORT": "SASL_SSL",  # sessions end soon
    "CLEAR": "SASL_PLAINTEXT",  # PLAIN only
    "TLS": "SSL",
    "MUTUAL": "SSL",  # asks for a certificate
    "STRANGER": "SSL",  # shows one for another name
}
"""The listeners besides the tests' own."""


class Authority:
    """A CA of the tests' own, and files with what it has issued."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.ca = trustme.CA(key_type=trustme.KeyType.RSA)
        self.ca_file = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(self.ca_file)

    def issue(self, *identities: str, name: str | None = None, password: str | None = None) -> tuple[Path, Path]:
        """Files with a certificate and its key, encrypted where a password is given."""
        issued = self.ca.issue_cert(*identities, common_name=name or identities[0], key_type=trustme.KeyType.RSA)
        stem = f"{name or identities[0]}-{len(list(self.folder.iterdir()))}"
        certificate, key = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        loaded = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
        encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        key.write_bytes(loaded.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
        return certificate, key

    def key_store(self, *identities: str) -> Path:
        """A file with key and certificate, as a broker takes it."""
        certificate, key = self.issue(*identities)
        store = certificate.with_suffix(".store.pem")
        store.write_bytes(key.read_bytes() + certificate.read_bytes())
        return store


@dataclass
class SecuredKafka:
    """The broker, and who may do what."""

    authority: Authority
    servers: str = ""
    """The tests' own listener."""
    ports: dict[str, int] = field(default_factory=dict)

    def at(self, listener: str) -> str:
        """Where a listener is."""
        return f"{HOST}:{self.ports[listener]}"

    async def set_password(self, user: str, password: str) -> None:
        """Let `user` in by SCRAM with `password` and no other."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        try:
            for mechanism, number in SCRAM.items():
                salt = os.urandom(16)
                salted = hashlib.pbkdf2_hmac(mechanism[6:].replace("-", ""), password.encode(), salt, ITERATIONS)
                # The broker takes a user only once in a request.
                answer = await admin._send_to_controller(_AlterScram((user, number, ITERATIONS, salt, salted, {})))
                for _, code, message, _ in answer.results:
                    assert code == 0, message
        finally:
            await admin.close()

    async def allow(self, user: str, rights: Iterable[Right]) -> None:
        """Give `user` rights."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        try:
            for right in rights:
                answer = await admin._send_to_controller(CreateAclsRequest(*right.codes(f"User:{user}")))
                for code, message in answer.creation_responses:
                    assert code == 0, f"{for_code(code).__name__}: {message}"
        finally:
            await admin.close()

    def properties(self, node: Node) -> dict[str, str]:
        """The broker's settings."""
        self.ports = dict(zip(PROTOCOLS, ports.pick(len(PROTOCOLS)), strict=True))
        own = [f"PLAINTEXT://{node.address}", f"CONTROLLER://{node.controller_address}"]
        listeners = ",".join([*own, *(f"{name}://{self.at(name)}" for name in self.ports)])
        protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", **PROTOCOLS}
        plain = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        oauth = f'{OAUTH}.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";'
        settings = {
            "listeners": listeners,
            "advertised.listeners": listeners,
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": ",".join(f"{name}:{each}" for name, each in protocols.items()),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": "User:ANONYMOUS",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.authority.key_store(HOST, "localhost")),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority.ca_file),
            "ssl.principal.mapping.rules": "RULE:^CN=([^,]+),.*$/$1/,DEFAULT",
            "listener.name.mutual.ssl.client.auth": "required",
            "listener.name.stranger.ssl.keystore.type": "PEM",
            "listener.name.stranger.ssl.keystore.location": str(self.authority.key_store(OTHER_NAME)),
            "listener.name.clear.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.clear.plain.sasl.jaas.config": plain,
            "connection.failed.authentication.delay.ms": "50",
        }
        for name in ("sasl", "short"):
            prefix = f"listener.name.{name}"
            settings |= {
                f"{prefix}.sasl.enabled.mechanisms": ALL_MECHANISMS,
                f"{prefix}.plain.sasl.jaas.config": plain,
                f"{prefix}.scram-sha-256.sasl.jaas.config": scram,
                f"{prefix}.scram-sha-512.sasl.jaas.config": scram,
                f"{prefix}.oauthbearer.sasl.jaas.config": oauth,
                f"{prefix}.oauthbearer.sasl.server.callback.handler.class": (
                    f"{OAUTH}.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler"
                ),
            }
        for mechanism in ALL_MECHANISMS.lower().split(","):
            settings[f"listener.name.short.{mechanism}.connections.max.reauth.ms"] = str(REAUTHENTICATION_MS)
        return settings


@contextmanager
def secured_kafka(folder: Path) -> Iterator[SecuredKafka]:
    """The broker, for the length of a ``with`` block."""
    secured = SecuredKafka(Authority(folder / "authority"))
    with kafka_cluster(kind="local", properties=secured.properties) as cluster:
        secured.servers = cluster.bootstrap_servers
        yield secured


class _AlterScramResponse(Response):
    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterScramV0(RequestStruct):
    API_KEY = 51
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _AlterScramResponse
    SCHEMA = Schema(
        (
            "deletions",
            CompactArray(("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields)),
        ),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterScram(Request[_AlterScramV0]):
    API_KEY = 51

    def __init__(self, upsertion: tuple[object, ...]) -> None:
        self._upsertion = upsertion

    def build(self, request_struct_class: type[_AlterScramV0]) -> _AlterScramV0:
        return request_struct_class([], [self._upsertion], {})
