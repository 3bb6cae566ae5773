"""A Prometheus as a process of its own, for tests: it scrapes a worker every second, evaluates rules, and is asked."""

from __future__ import annotations

import asyncio
import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from worker_process import eventually

from worker.devkafka.ports import HOST, pick

JOB = {"job": "reviews-worker", "namespace": "test", "pod": "reviews-worker-0"}
"""Labels that the scrape adds, as the Prometheus operator's does."""
ANSWER_S = 30.0


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        """The member ``data`` of an answer; raises AssertionError with what Prometheus says of a bad question."""
        question = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(question, timeout=ANSWER_S) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode(errors='replace')}") from error

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The series of an instant vector, or a scalar as one without labels; each has its ``value``, time first."""
        data = self.ask("query", query=expr)
        return data["result"] if data["resultType"] == "vector" else [{"metric": {}, "value": data["result"]}]

    def series(self, selector: str) -> list[dict[str, str]]:
        """The labels of each series that a selector finds."""
        return self.ask("series", **{"match[]": selector})

    def syntax(self, expr: str) -> dict[str, Any]:
        """The tree that Prometheus' own parser makes of an expression."""
        return self.ask("parse_query", query=expr)

    async def finds(self, expr: str) -> None:
        """Wait until an expression has an answer."""
        await eventually(lambda: self.query(expr), f"Prometheus finds {expr}")

    def is_ready(self) -> bool:
        """Whether it has started."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=ANSWER_S) as answer:
                return answer.status == 200
        except OSError:
            return False


@contextmanager
def prometheus_server(program: Path, folder: Path, target: str, rules: Path) -> Iterator[Prometheus]:
    """Start `program`, which scrapes `target` (``host:port``) and evaluates `rules`; kill it at the end."""
    scraped = {"job_name": "scraped", "static_configs": [{"targets": [target], "labels": JOB}]}
    every_second = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    configuration = {"global": every_second, "rule_files": [str(rules)], "scrape_configs": [scraped]}
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(configuration))
    (port,) = pick(1)
    command = [
        str(program),
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={HOST}:{port}",
    ]
    log_file = folder / "prometheus.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    server = Prometheus(f"http://{HOST}:{port}")

    def started() -> bool:
        assert process.poll() is None, f"Prometheus ended:\n{log_file.read_text(errors='replace')}"
        return server.is_ready()

    try:
        asyncio.run(eventually(started, "Prometheus is ready"))
        yield server
    finally:
        process.kill()
        process.wait()


# --- what an expression names -----------------------------------------------------------------------------------------


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every node of a syntax tree, the outer one first."""
    if isinstance(tree, list):
        for child in tree:
            yield from nodes(child)
    elif isinstance(tree, dict):
        if "type" in tree:
            yield tree
        for child in tree.values():
            yield from nodes(child)


def selectors(tree: dict[str, Any]) -> list[str]:
    """The selectors in a syntax tree, without their ranges."""
    return [_selector(node) for node in nodes(tree) if node["type"] in ("vectorSelector", "matrixSelector")]


def _selector(node: dict[str, Any]) -> str:
    matchers = (matcher["name"] + matcher["type"] + json.dumps(matcher["value"]) for matcher in node["matchers"])
    return "{" + ",".join(matchers) + "}"


def unknown(server: Prometheus, expr: str) -> list[str]:
    """What an expression names that nothing scraped has: selectors without a series, labels that no series has.

    Raises AssertionError where it is no expression at all.
    """
    tree = server.syntax(expr)
    series = {selector: server.series(selector) for selector in selectors(tree)}
    problems = [f"no series: {selector}" for selector, found in series.items() if not found]
    for node in nodes(tree):
        labels = {label for selector in selectors(node) for found in series[selector] for label in found}
        if labels:
            problems += [f"no label: {label}" for label in _labels_named(node) if label not in labels]
    return problems


def _labels_named(node: dict[str, Any]) -> list[str]:
    if node["type"] == "aggregation":
        return list(node["grouping"] or ())
    matching = node.get("matching") or {}
    return [*(matching.get("labels") or ()), *(matching.get("include") or ())]
