"""Quicker starts: Java records once what a broker loads and links, and later starts take it from that recording.

It halves the time to start, for every broker of every test run. It is never needed: without it, or with one that
does not fit, Java starts as usual.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import replace
from pathlib import Path

from worker.devkafka.artefacts import Artefacts, alone_in
from worker.devkafka.cluster import DevKafkaError, Say
from worker.devkafka.local import local_cluster

FIRST_JAVA = 25
"""The first Java that can record in one step."""


def with_recording(artefacts: Artefacts, cache: Path, say: Say) -> Artefacts:
    """The same artefacts with their recording, which is made when there is none in `cache` yet."""
    if artefacts.java_version < FIRST_JAVA:
        return artefacts
    recording = cache / f"start-{fingerprint(artefacts)}.aot"
    with alone_in(cache):
        if not recording.exists():
            say("recording a first start, so that later ones are quicker (once)")
            for old in cache.glob("start-*.aot"):
                old.unlink()
            # An empty file says that recording failed, and is not tried again.
            _record(artefacts, recording)
            recording.touch()
    return replace(artefacts, recording=recording) if recording.stat().st_size else artefacts


def fingerprint(artefacts: Artefacts) -> str:
    """Changes when Java would refuse the recording: another Java, or other jars, or the same ones elsewhere."""
    parts = [str(artefacts.java_version), str(artefacts.java.stat().st_size)]
    for jar in artefacts.jars:
        status = jar.stat()
        parts.append(f"{jar} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _record(artefacts: Artefacts, recording: Path) -> None:
    unfinished = recording.with_suffix(f".{os.getpid()}.part")
    recorded = replace(artefacts, broker_options=(f"-XX:AOTCacheOutput={unfinished}",))
    try:
        with contextlib.suppress(DevKafkaError), local_cluster(recorded, 1, {}) as cluster:
            # Java writes the recording on its way out.
            cluster.stop_broker(1)
            if unfinished.exists():
                unfinished.replace(recording)
    finally:
        unfinished.unlink(missing_ok=True)
