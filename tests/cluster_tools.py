"""Helm and kubectl against the control plane of ``deploy/tools/cluster.sh``, for tests."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy_tools import REPOSITORY, TOOLS, Answer, Tool, tool

SCRIPT = REPOSITORY / "deploy" / "tools" / "cluster.sh"
PATIENCE_S = 180
RELEASE = "reviews"
NAME = "reviews-reviews-worker"
OWN_KINDS = (
    "deployments,statefulsets,replicasets,pods,services,configmaps,serviceaccounts,networkpolicies,poddisruptionbudgets,"
    "horizontalpodautoscalers,jobs,secrets,scaledobjects,triggerauthentications,podmonitors,servicemonitors,prometheusrules,"
    "kafkatopics,externalsecrets"
)  # fmt: skip


@dataclass(frozen=True)
class Cluster:
    """A control plane that is up."""

    kubeconfig: Path

    def run(self, program: str, *arguments: str | Path, stdin: str | None = None) -> Answer:
        """Run a program against it."""
        return tool(program)(*arguments, stdin=stdin, variables={"KUBECONFIG": str(self.kubeconfig)})


@contextmanager
def up(state: Path) -> Iterator[Cluster]:
    """A control plane while the block lasts."""
    tool("kube-apiserver")  # tells how to get it
    script = Tool(SCRIPT)
    script.succeeds("up", TOOLS / "bin", state)
    try:
        yield Cluster(state / "kubeconfig")
    finally:
        subprocess.run([str(SCRIPT), "down", str(TOOLS / "bin"), str(state)], check=True, timeout=PATIENCE_S)


@dataclass(frozen=True)
class Namespace:
    """A namespace that a release is installed in."""

    cluster: Cluster
    name: str

    def create(self) -> None:
        """Make it, with Pod Security ``restricted`` enforced."""
        self.kubectl("create", "namespace", self.name)
        label = "pod-security.kubernetes.io"
        self.kubectl("label", "namespace", self.name, f"{label}/enforce=restricted", f"{label}/warn=restricted")

    def delete(self) -> None:
        """Remove it and all that is in it, without waiting."""
        self.kubectl("delete", "namespace", self.name, "--wait=false")

    def kubectl(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """Run kubectl in it; raises AssertionError when it fails."""
        answer = self.cluster.run("kubectl", "--namespace", self.name, *arguments, stdin=stdin)
        assert answer.code == 0, answer.text
        return answer.out

    def get(self, what: str) -> dict[str, Any]:
        """An object, ``kind/name``."""
        found: dict[str, Any] = json.loads(self.kubectl("get", what, "--output", "json"))
        return found

    def names(self) -> set[str]:
        """Everything that a release can have made, as ``kind/name``."""
        lines = self.kubectl("get", OWN_KINDS, "--output", "name").split()
        given = {"configmap/kube-root-ca.crt", "serviceaccount/default"}
        return {line for line in lines if line not in given}

    def helm(self, command: str, *arguments: str | Path) -> Answer:
        """``helm COMMAND reviews ...`` in it."""
        return self.cluster.run("helm", command, RELEASE, *arguments, "--namespace", self.name)

    def install(self, chart: Path, *arguments: str | Path, timeout_s: int = 60) -> Answer:
        """Install, and wait until the workers are ready."""
        return self.helm("install", chart, *arguments, *QUICKLY, "--wait", "--timeout", f"{timeout_s}s")

    def upgrade(self, chart: Path, *arguments: str | Path, timeout_s: int = 60) -> Answer:
        """Upgrade, wait, and go back where that fails."""
        wait = ("--rollback-on-failure", "--wait", "--timeout", f"{timeout_s}s")
        return self.helm("upgrade", chart, *arguments, *QUICKLY, *wait)


QUICKLY = ("--set", "workload.minReadySeconds=0")
