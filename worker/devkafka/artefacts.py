"""Apache Kafka from its published Maven artefacts, and a Java to run it, neither of them installed on the machine."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from worker.devkafka import external
from worker.devkafka.cluster import DevKafkaError, Say
from worker.extras import install_command

KAFKA_VERSION = "4.4.0"
ENDPOINT = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36@kafka.Kafka"
REQUIRED_JARS = ("kafka_2.13", "kafka-clients", "slf4j-simple", "lz4-java", "snappy-java", "zstd-jni")
"""What a broker needs to start, and to read the compressed batches of every codec; gzip is part of Java."""
CACHE_VARIABLE = "DEVKAFKA_CACHE"
BROKER_CLASS = "kafka.Kafka"
FORMAT_CLASS = "kafka.tools.StorageTool"

JVM_OPTIONS = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "--enable-native-access=ALL-UNNAMED",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)


@dataclass(frozen=True)
class Artefacts:
    """A Java program and the class path of Kafka."""

    java: Path
    java_version: int
    jars: tuple[Path, ...]
    recording: Path | None = None
    """What Java recorded of an earlier start of a broker."""
    broker_options: tuple[str, ...] = ()
    """More options of Java, for brokers only."""

    def command(self, main_class: str, *arguments: str, temporary: Path) -> list[str]:
        """The command line for one of Kafka's programs; what it unpacks goes to `temporary`."""
        options = [*JVM_OPTIONS, f"-Djava.io.tmpdir={temporary}"]
        if self.recording is not None:
            # What does not fit is left out by Java, which need not be said in the broker's log.
            options.extend((f"-XX:AOTCache={self.recording}", "-Xlog:aot*=error"))
        if main_class == BROKER_CLASS:
            options.extend(self.broker_options)
        return [str(self.java), *options, "-cp", os.pathsep.join(map(str, self.jars)), main_class, *arguments]


def cache_folder(environ: Mapping[str, str], home: Path, platform: str = sys.platform) -> Path:
    """Where downloads are kept between runs: ``DEVKAFKA_CACHE``, or the platform's own folder for caches."""
    if override := environ.get(CACHE_VARIABLE):
        return Path(override).expanduser()
    if platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "reviews-worker" / "devkafka"


def fetch(cache: Path, say: Say) -> Artefacts:
    """Kafka and Java, from `cache` or downloaded; raises DevKafkaError when an extra or the network is missing."""
    try:
        java, java_version = external.java()
        jars = _jars(cache, say)
    except ImportError as error:
        raise DevKafkaError(
            f"a local Kafka needs the package {error.name} (or set KAFKA_BOOTSTRAP_SERVERS to a Kafka of yours):"
            f" {install_command('demo')}"
        ) from error
    return Artefacts(java, java_version, tuple(jars))


def _jars(cache: Path, say: Say) -> list[Path]:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with alone_in(cache):
            if not (cache / "envs").is_dir():
                say(f"downloading Apache Kafka {KAFKA_VERSION} to {cache} (47 MB, once)")
            jars = external.download_jars(ENDPOINT, cache, renew=False)
            if missing_jars(jars):
                jars = external.download_jars(ENDPOINT, cache, renew=True)
    except ImportError:
        raise
    except Exception as error:  # the resolver raises errors of many kinds for a network that does not work
        raise DevKafkaError(
            f"Apache Kafka {KAFKA_VERSION} could not be downloaded from Maven Central to {cache}: "
            f"{type(error).__name__}: {error}. Check the network, or set KAFKA_BOOTSTRAP_SERVERS to a Kafka of yours"
        ) from error
    if missing := missing_jars(jars):
        raise DevKafkaError(f"the downloaded Kafka lacks {', '.join(missing)}: delete {cache} and try again")
    return jars


def missing_jars(jars: list[Path]) -> list[str]:
    """Which of the required jars are not there, or are empty files."""
    present = [jar.name for jar in jars if jar.is_file() and jar.stat().st_size > 0]
    return [name for name in REQUIRED_JARS if not any(jar.startswith(f"{name}-") for jar in present)]


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """One process at a time; two that start together download once."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
