"""The Dockerfile without building it: its linter, its pins, its lock; `make image-test` builds and runs it."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from deploy_tools import REPOSITORY, Answer, Tool, tool

from deploy.docker.lock import stale, wanted
from worker.devkafka.ports import pick

FOLDER = REPOSITORY / "deploy" / "docker"
DOCKERFILE = FOLDER / "Dockerfile"
TEXT = DOCKERFILE.read_text(encoding="utf-8")


def test_hadolint_has_nothing_to_say() -> None:
    for path in (DOCKERFILE, *sorted((FOLDER / "stand-in").glob("Containerfile.python"))):
        relaxed = ("--ignore", "DL3008") if path.parent.name == "stand-in" else ()
        assert tool("hadolint").succeeds(*relaxed, path) == ""


def test_the_base_is_an_exact_tag_and_the_only_one() -> None:
    (base,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", TEXT, flags=re.MULTILINE)
    assert re.fullmatch(r"docker\.io/library/python:3\.11\.\d+-slim-bookworm(@sha256:[0-9a-f]{64})?", base)
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", TEXT, flags=re.MULTILINE)
    assert len(stages) == TEXT.count("\nFROM ")
    known = {"${PYTHON_IMAGE}"}
    for source, name in stages:
        assert source in known, f"stage {name} is made from {source}"
        known.add(name)
    assert known >= {"cpu", "cuda", "convert"}


def test_the_lock_fits_the_project() -> None:
    assert stale() == [], "pyproject.toml asks for other packages: make lock"


@pytest.mark.parametrize(
    ("before", "after", "outdated"),
    [
        ('"orjson>=3.10,<4"', '"orjson>=3.11,<4"', {"cpu", "cuda", "convert"}),
        ('"onnx>=1.17,<2"', '"onnx>=1.18,<2"', {"convert"}),
        ('"hatchling>=1.27"', '"hatchling>=1.28"', {"build"}),
        ('"pytest>=8.3,<10"', '"pytest>=8.4,<10"', set()),
    ],
)
def test_a_lock_made_for_other_requirements_is_told(
    before: str, after: str, outdated: set[str], tmp_path: Path
) -> None:
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    assert before in text
    changed = tmp_path / "pyproject.toml"
    changed.write_text(text.replace(before, after), encoding="utf-8")
    assert set(stale(changed)) == {f"requirements-{target}.txt" for target in outdated}


def test_only_the_image_for_gpus_has_cuda_and_all_have_the_same_runtime() -> None:
    versions = {}
    for target in wanted(tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))):
        lock = (FOLDER / f"requirements-{target}.txt").read_text(encoding="utf-8")
        versions[target] = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, flags=re.MULTILINE))
        assert lock.count("--hash=sha256:") >= len(versions[target]) > 0
    assert versions["cpu"]["onnxruntime"] == versions["convert"]["onnxruntime"] == versions["cuda"]["onnxruntime-gpu"]
    assert {name.startswith("nvidia-") for name in versions["cpu"]} == {False}
    assert {"nvidia-cudnn-cu13", "nvidia-cuda-runtime"} <= set(versions["cuda"])


class Answering(BaseHTTPRequestHandler):
    """Says on ``/healthz`` what a worker without progress says."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/healthz" else 404)
        self.end_headers()
        self.wfile.write(b"offsets have not advanced\n")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A worker's end point; its port."""
    handler = type("Handler", (Answering,), {"status": status})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def health_check(port: int) -> Answer:
    variables = {"REVIEWS_WORKER_PORT": str(port), "http_proxy": "http://127.0.0.1:1"}
    return Tool(Path(sys.executable))("-IS", FOLDER / "healthcheck.py", variables=variables)


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_says_what_the_end_point_says(status: int, code: int) -> None:
    with answering(status) as port:
        answer = health_check(port)
    assert (answer.code, answer.out.strip()) == (code, "offsets have not advanced")


def test_the_health_check_fails_where_nobody_answers() -> None:
    answer = health_check(pick(1)[0])
    assert (answer.code, answer.errors) == (1, "")
    assert "refused" in answer.out
