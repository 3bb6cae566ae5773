"""Every values file of the chart is really installed: admitted, ready, and removed again."""

from __future__ import annotations

from pathlib import Path

import pytest
from cluster_tools import Namespace
from helm_chart import CASES, CHART, case_name

CLAIM = """
apiVersion: v1
kind: PersistentVolume
metadata: {{name: {namespace}}}
spec:
  capacity: {{storage: 1Gi}}
  accessModes: [ReadOnlyMany]
  storageClassName: ""
  hostPath: {{path: /models}}
  claimRef: {{namespace: {namespace}, name: models}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: models}}
spec:
  accessModes: [ReadOnlyMany]
  storageClassName: ""
  volumeName: {namespace}
  resources: {{requests: {{storage: 1Gi}}}}
"""
"""The claim that the values name, and a volume for it."""


@pytest.mark.parametrize("values", CASES, ids=case_name)
def test_a_release_comes_up_and_leaves_nothing_behind(namespace: Namespace, values: Path) -> None:
    if case_name(values) == "model-pvc":
        namespace.kubectl("apply", "--filename", "-", stdin=CLAIM.format(namespace=namespace.name))
    installed = namespace.install(CHART, "--values", values)
    assert installed.code == 0, installed.text
    assert "would violate PodSecurity" not in installed.text
    (workload,) = (name for name in namespace.names() if name.startswith(("deployment.apps/", "statefulset.apps/")))
    found = namespace.get(workload)
    assert found["status"]["readyReplicas"] == found["spec"]["replicas"] > 0
    removed = namespace.helm("uninstall", "--wait", "--timeout", "60s")
    assert removed.code == 0, removed.text
    kept = {name for name in namespace.names() if name.startswith("kafkatopic.")}
    assert namespace.names() == kept
    assert len(kept) == (3 if case_name(values) == "mtls-strimzi" else 0)


def test_the_namespace_refuses_what_is_not_restricted(namespace: Namespace) -> None:
    pod = '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}}'
    answer = namespace.cluster.run("kubectl", "--namespace", namespace.name, "apply", "--filename", "-", stdin=pod)
    assert answer.code != 0
    assert 'violates PodSecurity "restricted' in answer.errors
