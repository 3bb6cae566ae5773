"""compose.yaml as the loader of the Compose specification reads it, and what it refers to.

No container is started here: the broker's settings are given to a Kafka of ours, Prometheus' to `promtool`.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy_tools import AFTER_DRAIN_S, REPOSITORY, tool

from worker.cli.described import described_settings
from worker.devkafka import kafka_cluster
from worker.devkafka.artefacts import KAFKA_VERSION
from worker.devkafka.ports import HOST, pick
from worker.devkafka.properties import Node
from worker.settings import DEFAULT_PORT, Settings

FOLDER = REPOSITORY / "deploy" / "compose"
WRITES_TO_ITSELF = {"kafka"}
"""Services whose image cannot run with a read-only root file system; compose.yaml says why."""


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """Each service, complete, with absolute paths; the loader refuses what the specification does not know."""
    text = tool("compose-spec").succeeds("--format", "json", "compose.yaml")
    loaded: dict[str, Any] = json.loads(text)["services"]
    return loaded


def mounts(service: dict[str, Any]) -> dict[str, Path]:
    """Files of this repository by their path in the container."""
    return {v["target"]: Path(v["source"]) for v in service["volumes"] if v["type"] == "bind"}


def test_there_is_a_kafka_a_worker_a_prometheus_and_a_grafana(services: dict[str, Any]) -> None:
    assert set(services) == {"kafka", "worker", "prometheus", "grafana"}


def test_images_are_exact_versions_of_what_the_tests_run(services: dict[str, Any]) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module = (REPOSITORY / "deploy" / "tools" / "modules" / "prometheus" / "go.mod").read_text(encoding="utf-8")
    found = re.search(r"github.com/prometheus/prometheus v0\.(\d)(\d\d)\.(\d+)", module)
    assert found
    prometheus = f"v{found[1]}.{int(found[2])}.{found[3]}"  # v3.16.0 is the module's v0.316.0
    images = {name: service["image"] for name, service in services.items()}
    grafana = images.pop("grafana")
    assert re.fullmatch(r"grafana/grafana:\d+\.\d+\.\d+", grafana)
    assert images == {
        "kafka": f"apache/kafka:{KAFKA_VERSION}",
        "worker": f"reviews-worker:{project['version']}-cpu",
        "prometheus": f"prom/prometheus:{prometheus}",
    }


def test_the_worker_is_built_from_the_dockerfile(services: dict[str, Any]) -> None:
    build = services["worker"]["build"]
    dockerfile = Path(build["context"]) / build["dockerfile"]
    assert dockerfile == REPOSITORY / "deploy" / "docker" / "Dockerfile"
    assert f" AS {build['target']}\n" in dockerfile.read_text(encoding="utf-8")


def test_services_are_confined(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name
        assert "cap_add" not in service, name
        assert service.get("read_only", False) == (name not in WRITES_TO_ITSELF), name
        for port in service.get("ports", ()):
            assert port.get("host_ip") == "127.0.0.1", name


def test_there_is_no_secret(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for variable in service.get("environment") or {}:
            assert not re.search("PASSWORD|SECRET|TOKEN|_KEY", variable), f"{name} has {variable}"
        assert "env_file" not in service


def test_each_service_waits_until_what_it_needs_is_healthy(services: dict[str, Any]) -> None:
    needed = {name: set(service.get("depends_on") or ()) for name, service in services.items()}
    assert needed == {"kafka": set(), "worker": {"kafka"}, "prometheus": set(), "grafana": {"prometheus"}}
    for service in services.values():
        for dependency in (service.get("depends_on") or {}).values():
            assert dependency["condition"] == "service_healthy"
    assert [name for name in ("kafka", "prometheus", "grafana") if not services[name]["healthcheck"]["test"]] == []
    # The worker's is in its image.
    assert "healthcheck" not in services["worker"]


def test_files_that_are_mounted_exist_and_cannot_be_written(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for volume in service.get("volumes") or ():
            if volume["type"] == "bind":
                assert Path(volume["source"]).is_file(), f"{name} mounts {volume['source']}"
                assert volume["read_only"], f"{name} mounts {volume['source']}"


def test_the_workers_variables_are_settings(services: dict[str, Any]) -> None:
    known = {variable for setting in described_settings() for variable in setting.variables}
    assert set(services["worker"]["environment"]) <= known
    servers = services["worker"]["environment"]["KAFKA_BOOTSTRAP_SERVERS"]
    assert f"//{servers}," in services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]


def test_a_worker_is_given_the_time_that_it_takes_to_stop(services: dict[str, Any]) -> None:
    seconds = re.fullmatch(r"(\d+)s", services["worker"]["stop_grace_period"])
    assert seconds
    assert int(seconds[1]) >= Settings.model_fields["grace_period_s"].default + AFTER_DRAIN_S


def broker_properties(environment: dict[str, str]) -> dict[str, str]:
    """As the image's own script makes them of variables: ``KAFKA_A_B`` is ``a.b``."""
    return {
        name.removeprefix("KAFKA_").replace("_", ".").lower(): value
        for name, value in environment.items()
        if name.startswith("KAFKA_")
    }


def test_a_real_kafka_starts_with_the_brokers_settings(services: dict[str, Any]) -> None:
    properties = broker_properties(services["kafka"]["environment"])
    assert properties.pop("controller.quorum.voters") == "1@kafka:29093"
    assert properties.pop("log.dirs") == "/var/lib/kafka/data"
    (inside,) = pick(1)

    def here(node: Node) -> dict[str, str]:
        # The same listeners, at addresses that this machine has.
        at = {
            "CONTROLLER://:29093": f"CONTROLLER://{node.controller_address}",
            "INSIDE://:19092": f"INSIDE://{HOST}:{inside}",
            "HOST://:9092": f"HOST://{node.address}",
            "INSIDE://kafka:19092": f"INSIDE://{HOST}:{inside}",
            "HOST://localhost:9092": f"HOST://{node.address}",
        }
        listeners = {
            name: ",".join(at[listener] for listener in properties[name].split(","))
            for name in ("listeners", "advertised.listeners")
        }
        return {**properties, **listeners}

    with kafka_cluster(kind="local", properties=here) as cluster:
        assert cluster.brokers == 1  # the block is entered when it answers


def test_prometheus_takes_its_configuration_and_the_rules(services: dict[str, Any], tmp_path: Path) -> None:
    files = mounts(services["prometheus"])
    text = files["/etc/prometheus/prometheus.yml"].read_text(encoding="utf-8")
    for inside, outside in files.items():
        text = text.replace(inside, str(outside))
    configuration = tmp_path / "prometheus.yml"
    configuration.write_text(text, encoding="utf-8")
    told = tool("promtool").succeeds("check", "config", configuration)
    assert re.search(r"SUCCESS: \d+ rules? found", told)
    assert "--config.file=/etc/prometheus/prometheus.yml" in services["prometheus"]["command"]


def test_prometheus_scrapes_every_worker(services: dict[str, Any]) -> None:
    (job,) = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    (discovery,) = job["dns_sd_configs"]
    assert (discovery["names"], discovery["type"], discovery["port"]) == (["worker"], "A", DEFAULT_PORT)
    assert services["worker"]["expose"] == [str(DEFAULT_PORT)]
    # A fixed port of this machine could be had by one worker only.
    assert "ports" not in services["worker"]
    assert "container_name" not in services["worker"]


def test_grafana_shows_the_dashboard_with_the_data_of_prometheus(services: dict[str, Any]) -> None:
    grafana = services["grafana"]
    files = mounts(grafana)
    provisioning = "/etc/grafana/provisioning"
    (source,) = yaml.safe_load(files[f"{provisioning}/datasources/prometheus.yaml"].read_text("utf-8"))["datasources"]
    assert (source["type"], source["url"], source["isDefault"]) == ("prometheus", "http://prometheus:9090", True)
    (provider,) = yaml.safe_load(files[f"{provisioning}/dashboards/files.yaml"].read_text("utf-8"))["providers"]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert Path(home).parent == Path(provider["options"]["path"])
    dashboard = json.loads(files[home].read_text(encoding="utf-8"))
    assert dashboard["panels"]
