"""Values that are wrong, or do not fit together, are refused with a line that says what to do."""

from __future__ import annotations

from typing import Any

import pytest
from deploy_tools import tool
from helm_chart import CHART, case, problems, rendered


def nested(path: str, value: Any) -> dict[str, Any]:
    """``nested("a.b", 1)`` is ``{"a": {"b": 1}}``."""
    for part in reversed(path.split(".")):
        value = {part: value}
    return value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("settings.max_bach_tokens", 1, "'max_bach_tokens' not allowed"),
        ("settings.max_batch_tokens", "many", "got string, want integer"),
        ("settings.provider", "gpu", "'auto', 'cpu', 'cuda'"),
        ("settings.fuse_share", 2, "maximum"),
        ("settings.grace_period_s", 0, "exclusiveMinimum"),
        ("kafka.bootstrapServers", 9092, "got number, want string"),
        ("kafka.bootstrapServer", "kafka:9092", "'bootstrapServer' not allowed"),
        ("kafka.securityProtocol", "TLS", "'SASL_SSL'"),
        ("kafka.sasl.mechanism", "SCRAM", "'SCRAM-SHA-512'"),
        ("kafka.sasl.password", "swordfish", "'password' not allowed"),
        ("kafka.sasl.oauth.tokenUrl", "http://auth.example.com/token", "does not match pattern '^(https://"),
        ("kafka.inputPartitions", 0, "minimum"),
        ("kafka.inputTopic", "my topic", "does not match pattern"),
        ("scaling.kind", "both", "'fixed', 'keda', 'hpa'"),
        ("scaling.kind", ["keda", "hpa"], "'fixed', 'keda', 'hpa'"),
        ("scaling.keda.enabled", True, "'enabled' not allowed"),
        ("workload.kind", "DaemonSet", "'Deployment', 'StatefulSet'"),
        ("model.source", "s3", "'imageVolume'"),
        ("model.path", "/models", "does not match pattern"),
        ("topics.mode", "create", "'strimzi'"),
        ("topics.replication", 0, "/topics/replication"),
        ("metrics.port", 80, "minimum"),
        ("gpu.resource", "amd.com/gpu", "does not match pattern"),
        ("fullnameOverride", "My_Worker", "does not match pattern"),
        ("image.digest", "latest", "does not match pattern"),
        ("replicas", 3, "'replicas' not allowed"),
    ],
)  # fmt: skip
def test_the_schema_refuses_a_wrong_value_and_names_it(path: str, value: Any, message: str) -> None:
    text = problems(**nested(path, value))
    assert message in text
    assert path.rpartition(".")[0].replace(".", "/") in text


FITTING_TLS = {"securityProtocol": "SSL"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kafka": {"tls": {"ca": {"secret": "ca"}}}}, "kafka.securityProtocol=PLAINTEXT has no TLS"),
        (
            {"kafka": {**FITTING_TLS, "tls": {"ca": {"secret": "ca", "configMap": "ca"}}}},
            "kafka.tls.ca: give configMap or secret, not both",
        ),
        ({"kafka": {"bootstrapServers": "kafka"}}, 'kafka.bootstrapServers: "kafka" is no host:port'),
        ({"kafka": {"bootstrapServers": "kafka:9092, b:9092"}}, '" b:9092" is no host:port'),
        ({"kafka": {"bootstrapServers": "SSL://kafka:9092"}}, '"SSL://kafka:9092" is no host:port, such as'),
        ({"kafka": {"bootstrapServers": "fd00::1:9092"}}, '"fd00::1:9092" is no host:port, such as'),
        ({"kafka": {"securityProtocol": "SASL_SSL"}}, "SASL_SSL needs kafka.sasl.mechanism"),
        ({"kafka": {"sasl": {"mechanism": "PLAIN", "secret": "s"}}}, "mechanism=PLAIN needs kafka.securityProtocol"),
        (
            {"kafka": {"securityProtocol": "SASL_SSL", "sasl": {"mechanism": "SCRAM-SHA-256"}}},
            "mechanism=SCRAM-SHA-256 needs kafka.sasl.secret",
        ),
        (
            {"kafka": {"securityProtocol": "SASL_SSL", "sasl": {"mechanism": "OAUTHBEARER"}}},
            "needs exactly one of serviceAccountToken.enabled, tokenUrl and tokenKey",
        ),
        (
            {
                "kafka": {
                    "securityProtocol": "SASL_SSL",
                    "sasl": {"mechanism": "OAUTHBEARER", "oauth": {"tokenUrl": "https://auth/token"}},
                }
            },
            "tokenUrl needs kafka.sasl.oauth.clientId and kafka.sasl.oauth.secret",
        ),
        (
            {"kafka": {"securityProtocol": "SASL_SSL", "sasl": {"mechanism": "GSSAPI"}}},
            "mechanism=GSSAPI needs kafka.sasl.kerberos.secret",
        ),
        ({"settings": {"group": "mine"}}, "settings.group belongs to the chart: set kafka.group instead"),
        ({"settings": {"model": "/models"}}, "set model.source instead"),
        ({"settings": {"create_topics": True}}, "set topics.mode instead"),
        ({"settings": {"port": 80}}, "set metrics.port instead"),
        ({"model": {"source": "pvc"}}, "model.source=pvc needs model.pvc.claim"),
        ({"model": {"source": "hub"}}, "model.source=hub needs model.hub.repository"),
        ({"model": {"source": "imageVolume"}}, "needs model.imageVolume.reference"),
        (
            {"resources": {"limits": {"nvidia.com/gpu": 2}}},
            'limits."nvidia.com/gpu" is 2: a worker uses exactly one GPU',
        ),
        ({"topics": {"mode": "strimzi"}}, "topics.mode=strimzi needs topics.strimzi.cluster"),
        (
            {"externalSecrets": {"kafka": {"store": {"name": "vault"}, "data": {"password": {"key": "kafka"}}}}},
            "topics.mode=job runs before the Secrets of externalSecrets exist",
        ),
        ({"scaling": {"kind": "keda", "max": 7}}, "scaling.max=7 is more than kafka.inputPartitions=6"),
        ({"scaling": {"kind": "hpa", "max": 7}}, "scaling.max=7 is more than kafka.inputPartitions=6"),
        ({"scaling": {"kind": "hpa", "min": 4, "max": 3}}, "scaling.min=4 is more than scaling.max=3"),
        ({"scaling": {"kind": "hpa", "min": 0}}, "scaling.kind=hpa needs scaling.min of 1 or more"),
        ({"scaling": {"kind": "hpa"}, "gpu": {"enabled": True}}, "with a GPU needs scaling.hpa.metrics"),
        ({"podLabels": {"app.kubernetes.io/name": "x"}}, "podLabels: app.kubernetes.io/name belongs to the chart"),
        ({"commonLabels": {"app.kubernetes.io/instance": "x"}}, "commonLabels: app.kubernetes.io/instance belongs"),
        (
            {"fullnameOverride": "2024", "workload": {"kind": "StatefulSet"}},
            "the Service would be called 2024, and a Service's name has to begin with a letter: set fullnameOverride",
        ),
        ({"fullnameOverride": "2024", "metrics": {"monitor": "service"}}, "the Service would be called 2024"),
        ({"workload": {"maxSurge": 0}}, "workload.maxSurge and workload.maxUnavailable are both 0"),
        ({"workload": {"maxUnavailable": "0%"}, "gpu": {"enabled": True}}, "are both 0"),
        ({"tracing": {"enabled": True}}, "tracing.enabled needs tracing.endpoint"),
        ({"tracing": {"endpoint": "http://collector:99999"}}, "tracing.endpoint=http://collector:99999 is no address"),
        ({"kafka": {"bootstrapServers": "kafka:99999"}}, 'the port of "kafka:99999" is not one of 1 to 65535'),
        ({"kafka": {"inputTopic": "."}}, 'kafka.inputTopic: Kafka takes no topic that is called "."'),
        ({"kafka": {"outputTopic": "reviews.in"}}, "must differ (now reviews.in, reviews.in, reviews.dlq)"),
        ({"settings": {"result_field": "text"}}, "would replace the member that holds the text"),
        ({"settings": {"batch_window_reviews": 5000}}, "is more than settings.max_in_flight_reviews=4096"),
        (
            {"scaling": {"kind": "hpa"}, "resources": {"requests": {"cpu": "1900m"}, "limits": {"cpu": "2"}}},
            "with resources.requests.cpu=1900m and resources.limits.cpu=2 take 95 or less",
        ),
        ({"scaling": {"kind": "hpa"}, "resources": {"requests": {"cpu": "0m"}}}, "needs resources.requests.cpu"),
        ({"scaling": {"kind": "hpa"}, "resources": {"requests": {"cpu": None}}}, "needs resources.requests.cpu"),
        ({"scaling": {"kind": "keda", "keda": {"by": "drainTime"}}}, "drainTime needs scaling.keda.prometheusServer"),
        (
            {"scaling": {"kind": "keda", "min": 0, "keda": {"by": "drainTime", "prometheusServer": "http://p:9090"}}},
            "drainTime needs scaling.min of 1 or more",
        ),
        (
            {"scaling": {"kind": "keda"}, "workload": {"kind": "StatefulSet"}},
            "workload.kind=StatefulSet needs scaling.kind=fixed",
        ),
        (
            {
                "scaling": {"kind": "keda"},
                "kafka": {
                    "securityProtocol": "SASL_SSL",
                    "sasl": {"mechanism": "GSSAPI", "kerberos": {"secret": "keytab"}},
                },
            },
            "name a TriggerAuthentication of your own",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_values_that_do_not_fit_together_are_refused_with_what_to_do(values: dict[str, Any], message: str) -> None:
    assert message in problems(**values)


@pytest.mark.parametrize(
    "values",
    [
        {
            "tracing": {"enabled": True},
            "extraEnv": [{"name": "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "value": "http://collector:4318/v1/traces"}],
        },
        {
            "scaling": {"kind": "hpa", "hpa": {"cpuUtilization": 70}},
            "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}},
        },
        {"workload": {"maxSurge": 0, "maxUnavailable": "50%"}},
        {"workload": {"kind": "StatefulSet", "maxSurge": 0}},
    ],
    ids=str,
)
def test_values_that_do_fit_are_taken(values: dict[str, Any]) -> None:
    answer = rendered(case("default"), more=values)
    assert answer.code == 0, answer.errors


@pytest.mark.parametrize(
    ("least", "most", "wanted", "fits"),
    [
        ("2000m", "2", 120, False),
        ("1900m", "2", 120, False),
        ("1800m", "2", 120, False),
        ("1500m", "2", 120, True),
        (1.5, 2, 120, True),
        (2, "2", 120, False),
        ("2", 2, 90, True),
        ("2", 2, 91, False),
        (0.5, "500m", 120, False),
        (0.5, "1", 120, True),
        (".5", "1.1", 200, False),
        (".5", "1.101", 200, True),
        ("1", "2G", 120, True),
        ("15e-1", "2e0", 122, False),
        ("1", None, 500, True),
    ],
)
def test_the_hpa_can_always_scale_up(least: Any, most: Any, wanted: int, fits: bool) -> None:
    values = {
        "scaling": {"kind": "hpa", "hpa": {"cpuUtilization": wanted}},
        "resources": {"requests": {"cpu": least}, "limits": {"cpu": most}},
    }
    if fits:
        answer = rendered(case("default"), more=values)
        assert answer.code == 0, answer.errors
    else:
        text = problems(**values)
        assert f"scaling.hpa.cpuUtilization={wanted} is never exceeded" in text
        values["scaling"]["hpa"]["cpuUtilization"] = int(text.partition(" take ")[2].split()[0])
        taken = rendered(case("default"), more=values)
        assert taken.code == 0, taken.errors


def test_all_that_is_wrong_is_told_at_once() -> None:
    text = problems(topics={"mode": "strimzi"}, model={"source": "pvc"}, scaling={"kind": "keda", "max": 99})
    for place in ("topics.strimzi.cluster", "model.pvc.claim", "scaling.max=99"):
        assert place in text


def test_without_brokers_it_says_how_to_name_them() -> None:
    answer = tool("helm")("template", "reviews", CHART)
    assert answer.code != 0
    assert "kafka.bootstrapServers is needed: --set kafka.bootstrapServers=kafka-1:9092" in answer.errors


@pytest.mark.parametrize(
    ("version", "fits"), [("1.30.0", False), ("1.32.9", False), ("1.33.0-gke.1", True), ("1.33.0", True)]
)
def test_an_image_volume_needs_a_cluster_that_has_them(version: str, fits: bool) -> None:
    values = {
        "kafka": {"bootstrapServers": "kafka:9092"},
        "model": {"source": "imageVolume", "imageVolume": {"reference": "registry.example/model:1"}},
    }
    answer = rendered(more=values, version=version)
    assert (answer.code == 0) is fits
    assert fits or f"needs Kubernetes 1.33 or newer, and this is v{version}" in answer.errors


def test_a_cluster_that_is_too_old_is_refused() -> None:
    assert "kubeVersion" in rendered(more={"kafka": {"bootstrapServers": "kafka:9092"}}, version="1.28.0").errors
