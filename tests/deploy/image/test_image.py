"""The target ``cpu`` as it would run: what is in it and what is not, its commands, a review through a real Kafka."""

from __future__ import annotations

import json
import re
import signal
import tomllib
from pathlib import Path

import kafka_tools
from conftest import TopicNames
from worker_process import REPOSITORY, eventually

from deploy.docker import buildah
from tests.deploy.image.container import Image
from worker.devkafka import Cluster
from worker.devkafka.ports import pick

REVIEW = "A wonderful film, moving and funny, with excellent acting. I loved every minute of it."
UNWANTED = ("pip", "pip3", "gcc", "cc", "make", "curl", "wget", "git")
UNWANTED_MODULES = ("pip", "setuptools", "wheel", "hatchling", "ensurepip", "torch", "onnx", "pytest")
MOST_MIB = 250
PYTHON = "/opt/venv/bin/python"


def version() -> str:
    return str(tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def test_it_says_what_it_is(image: Image) -> None:
    labels = image.configuration["Labels"]
    assert labels["org.opencontainers.image.version"] == version()
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.title"] == "reviews-worker"
    assert labels["org.opencontainers.image.base.name"] == buildah.python_image()
    assert len(labels["org.opencontainers.image.revision"]) == 40
    assert image.configuration["User"] == "10001:10001"
    assert image.configuration["ExposedPorts"] == {"6066/tcp": {}}


def test_it_holds_nothing_that_builds_or_installs(image: Image) -> None:
    for name in UNWANTED:
        asked = image.run("-c", f"command -v {name}", entrypoint=["/bin/sh"])
        assert (asked.returncode, asked.stdout) == (127, ""), name
    found = image.run(
        "-c",
        f"import importlib.util as u; print([n for n in {UNWANTED_MODULES} if u.find_spec(n)])",
        entrypoint=[PYTHON],
    )
    assert found.stdout.strip() == "[]", found.stderr
    left = [*image.root.glob("wheels/*"), *image.root.glob("src/*"), *image.root.glob("root/.cache/*")]
    assert left == []


def test_it_holds_what_the_lock_says(image: Image) -> None:
    told = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"
    installed = {canonical(word) for word in image.run("-c", told, entrypoint=[PYTHON]).stdout.split()}
    locked = {
        canonical(line.split()[0])
        for name in ("cpu", "kerberos")
        for line in (REPOSITORY / "deploy" / "docker" / f"requirements-{name}.txt").read_text("utf-8").splitlines()
        if "==" in line
    }
    assert installed == locked | {f"reviews-worker=={version()}"}


def canonical(requirement: str) -> str:
    name, _, number = requirement.partition("==")
    return f"{re.sub(r'[-_.]+', '-', name).lower()}=={number}"


def test_it_can_speak_kerberos(image: Image) -> None:
    answer = image.run("-c", "import gssapi; print(gssapi.Name('kafka@localhost'))", entrypoint=[PYTHON])
    assert (answer.returncode, answer.stdout.strip()) == (0, "kafka@localhost"), answer.stderr


def test_its_user_can_write_to_temporary_files_only(image: Image) -> None:
    tried = image.run("-c", "id -u; id -G; touch /tmp/mine && ! touch /opt/venv/mine", entrypoint=["/bin/sh"])
    assert (tried.returncode, tried.stdout.split()) == (0, ["10001", "10001"])
    assert "Read-only file system" in tried.stderr
    # Nor could it where the root file system is left writable.
    places = r"( -user 10001 -o -perm -o+w ) ! -type l ! -path /tmp ! -path /var/tmp ! -path /run/lock"
    owned = image.run("/", "-xdev", *places.split(), entrypoint=["/usr/bin/find"])
    assert owned.stdout == ""


def test_what_it_adds_to_its_base_is_bounded(image: Image) -> None:
    files = [path for path in (image.root / "opt").rglob("*") if path.is_file() and not path.is_symlink()]
    added = sum(path.stat().st_size for path in files) / 2**20
    print(f"{image.name}: {buildah.size_of(image.name)} with the stand-in base, of which {added:.0f} MiB are its own")
    assert 50 < added < MOST_MIB


def test_its_version_is_that_of_the_code(image: Image) -> None:
    answer = image.run("--version")
    assert (answer.returncode, answer.stdout.split()[-1]) == (0, version())


def test_it_predicts(image: Image) -> None:
    answer = image.run("predict", REVIEW)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split()[0] == "pos"


def settings_for(kafka: Cluster, names: TopicNames) -> dict[str, str]:
    (port,) = pick(1)
    return {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "REVIEWS_WORKER_GROUP": names.group,
        "REVIEWS_WORKER_INPUT_TOPIC": names.input,
        "REVIEWS_WORKER_OUTPUT_TOPIC": names.output,
        "REVIEWS_WORKER_DEAD_LETTER_TOPIC": names.dead_letters,
        "REVIEWS_WORKER_PORT": str(port),
    }


def test_check_finds_nothing_wrong(image: Image, kafka: Cluster, topic_names: TopicNames) -> None:
    answer = image.run("check", **settings_for(kafka, topic_names))
    assert answer.returncode == 0, answer.stdout + answer.stderr


async def test_it_classifies_a_review_and_stops_in_order(
    image: Image, kafka: Cluster, topic_names: TopicNames, tmp_path: Path
) -> None:
    settings = settings_for(kafka, topic_names)
    assert not image.healthy(**settings)
    with image.started(log=tmp_path / "log", **settings) as container:
        await eventually(lambda: image.healthy(**settings), "its health check succeeds")
        sent = image.run("produce", "--text", REVIEW, **settings)
        assert sent.returncode == 0, sent.stderr
        (record,) = await kafka_tools.consume_all(kafka.bootstrap_servers, topic_names.output, count=1)
        assert json.loads(record.value)["sentiment"]["label"] == "pos"
        container.signal(signal.SIGTERM)
        await eventually(container.ended, "it ends")
        assert container.process.returncode == 0, container.log.read_text()


async def test_a_signal_before_it_has_started_is_not_lost(image: Image, tmp_path: Path) -> None:
    settings = {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{pick(1)[0]}", "REVIEWS_WORKER_PORT": "0"}
    with image.started(log=tmp_path / "log", **settings) as container:
        await eventually(container.has_begun, "the worker's process is there")
        container.signal(signal.SIGTERM)
        await eventually(container.ended, "it ends", 20)
        # By the signal itself, as everywhere; or in order, where it was quicker than this test.
        assert container.process.returncode in (0, 128 + signal.SIGTERM), container.log.read_text()
