"""GSSAPI against a real KDC. The only tests that need programs of the system: skipped where there is no KDC."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import kafka_tools
import pytest
from absent import Absent
from conftest import TopicNames
from kafka_access import Settings, review, start
from kerberos_realm import Realm, java, missing, new_realm
from ledger import Ledger
from worker_process import Workers

from worker import settings as worker_settings
from worker.devkafka import artefacts, ports
from worker.devkafka.local import local_cluster
from worker.devkafka.properties import Node
from worker.errors import AccessError, ExitCode, UnreachableError
from worker.kafka.topics import ensure_topics

pytestmark = Absent.KDC.unless(missing() is None, missing() or "")


@dataclass
class KerberosKafka:
    """A broker that takes tickets, in plain text."""

    realm: Realm
    servers: str
    """The tests' own listener."""
    address: str

    @property
    def settings(self) -> Settings:
        return {
            "bootstrap_servers": self.address,
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "GSSAPI",
        }


@pytest.fixture(scope="module")
def kerberos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KerberosKafka]:
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        realm = new_realm(tmp_path_factory.mktemp("realm"))
        stack.enter_context(realm.running())
        keytab = realm.keytab("kafka/localhost")
        patch.setenv("JDK_JAVA_OPTIONS", f"-Djava.security.krb5.conf={realm.config}")
        (port,) = ports.pick(1)

        def properties(node: Node) -> dict[str, str]:
            listeners = f"PLAINTEXT://{node.address},CONTROLLER://{node.controller_address},KERBEROS://localhost:{port}"
            return {
                "listeners": listeners,
                "advertised.listeners": listeners,
                "inter.broker.listener.name": "PLAINTEXT",
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,KERBEROS:SASL_PLAINTEXT",
                "listener.name.kerberos.sasl.enabled.mechanisms": "GSSAPI",
                "sasl.kerberos.service.name": "kafka",
                "listener.name.kerberos.gssapi.sasl.jaas.config": (
                    "com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true"
                    f' keyTab="{keytab}" principal="kafka/localhost";'
                ),
            }

        system_java = java()
        assert system_java is not None
        fetched = artefacts.fetch(artefacts.cache_folder(os.environ, Path.home()), print)
        cluster = stack.enter_context(local_cluster(replace(fetched, java=system_java), 1, properties))
        yield KerberosKafka(realm, cluster.bootstrap_servers, f"localhost:{port}")


async def test_a_worker_classifies_with_a_keytab(
    kerberos: KerberosKafka, workers: Workers, ledger: Ledger, topic_names: TopicNames
) -> None:
    await kafka_tools.create_topics(
        kerberos.servers, topic_names.input, topic_names.output, topic_names.dead_letters, partitions=2
    )
    variables = kerberos.realm.client(kerberos.realm.keytab("worker"))
    worker = await start(workers, kerberos.settings, variables=variables, processing_guarantee="exactly_once").ready()
    assert worker.said("SASL_PLAINTEXT, GSSAPI to service kafka")
    await ledger.produce(kerberos.servers, map(review, range(40)))
    (await ledger.settled(kerberos.servers)).check()
    assert await worker.stopped() == ExitCode.OK


async def refusal(settings: Settings, start_timeout_s: float = 60.0) -> Exception:
    with pytest.raises((AccessError, UnreachableError)) as raised:
        await ensure_topics(worker_settings.Settings(start_timeout_s=start_timeout_s, **settings))
    assert "\n" not in str(raised.value)
    return raised.value


def given(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


async def test_a_keytab_that_is_not_there(
    kerberos: KerberosKafka, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given(monkeypatch, kerberos.realm.client(tmp_path / "none.keytab"))
    error = await refusal(kerberos.settings)
    assert isinstance(error, AccessError)
    assert "GSSAPI failed" in str(error)
    assert "check keytab, KRB5_CONFIG and the KDC" in str(error)


async def test_a_service_that_the_realm_does_not_know(kerberos: KerberosKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, kerberos.realm.client(kerberos.realm.keytab("stranger")))
    error = await refusal({**kerberos.settings, "kerberos_service_name": "nobody"})
    assert isinstance(error, AccessError)
    assert "GSSAPI failed" in str(error)


async def test_a_kdc_that_is_away_is_tried_again(
    kerberos: KerberosKafka, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    away = new_realm(tmp_path / "away")
    given(monkeypatch, away.client(away.keytab("worker")))
    error = await refusal(kerberos.settings, start_timeout_s=3)
    assert isinstance(error, UnreachableError)
    assert "GSSAPI failed" in str(error)
