"""A control plane for these tests: real but for the kubelet, so that everything is admitted and nothing runs."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_tools import Cluster, Namespace, up


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One control plane for all tests, with the CRDs of the operators."""
    with up(tmp_path_factory.mktemp("cluster") / "state") as cluster:
        # What NVIDIA's operator would have done.
        runtime = (
            '{"apiVersion":"node.k8s.io/v1","kind":"RuntimeClass","metadata":{"name":"nvidia"},"handler":"nvidia"}'
        )
        for arguments, stdin in (
            (("apply", "--filename", "-"), runtime),
            (("label", "node", "--all", "nvidia.com/gpu.present=true"), None),
        ):
            answer = cluster.run("kubectl", *arguments, stdin=stdin)
            assert answer.code == 0, answer.text
        yield cluster


@pytest.fixture
def namespace(cluster: Cluster, tmp_path: Path) -> Iterator[Namespace]:
    """A namespace that enforces Pod Security ``restricted``; it is gone when the test ends."""
    namespace = Namespace(cluster, f"test-{uuid.uuid4().hex[:8]}")
    namespace.create()
    yield namespace
    namespace.delete()
