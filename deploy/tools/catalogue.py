"""Every tool, and how it is had."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from deploy.tools import wheels
from deploy.tools.golang import GoTool
from deploy.tools.schemas import provide_schemas

_PROMETHEUS = "github.com/prometheus/prometheus"
_KUBE_STAMPS = (
    "k8s.io/component-base/version.gitVersion={v}",
    "k8s.io/component-base/version.gitMajor={major}",
    "k8s.io/component-base/version.gitMinor={minor}",
    "k8s.io/component-base/version.gitTreeState=clean",
    "k8s.io/client-go/pkg/version.gitVersion={v}",
    "k8s.io/client-go/pkg/version.gitMajor={major}",
    "k8s.io/client-go/pkg/version.gitMinor={minor}",
)


def _chart(name: str, package: str, module: str, *stamps: str) -> GoTool:
    return GoTool(name, "chart", f"{module}/{package}", module, stamps=stamps)


def _prometheus(name: str) -> GoTool:
    # Without the clients of two dozen clouds that it can discover targets in, and without the pages for browsers, which
    # the Go module does not have.
    stamp = "github.com/prometheus/common/version.Version={number}"
    tags = "remove_all_sd,enable_dns_sd"
    return GoTool(name, "prometheus", f"{_PROMETHEUS}/cmd/{name}", _PROMETHEUS, tags=tags, stamps=(stamp,))


def _kube(name: str) -> GoTool:
    return GoTool(name, "kube", f"k8s.io/kubernetes/cmd/{name}", "k8s.io/kubernetes", stamps=_KUBE_STAMPS)


_EVERYDAY_GO = (
    _chart("helm", "cmd/helm", "helm.sh/helm/v4", "helm.sh/helm/v4/internal/version.version={v}"),
    _chart("helm-unittest", "cmd/helm-unittest", "github.com/helm-unittest/helm-unittest"),
    _chart("kubeconform", "cmd/kubeconform", "github.com/yannh/kubeconform", "main.version={v}"),
    _chart("helm-docs", "cmd/helm-docs", "github.com/norwoodj/helm-docs", "main.version={number}"),
    # Apart, since it needs a package of Kubernetes' that the chart's tools no longer have.
    GoTool("kube-score", "score", "github.com/zegl/kube-score/cmd/kube-score", "github.com/zegl/kube-score"),
    _prometheus("promtool"),
    _prometheus("prometheus"),
    GoTool(
        "compose-spec",
        "compose",
        "github.com/compose-spec/compose-go/v2/cmd",
        "github.com/compose-spec/compose-go/v2",
    ),
)
_CLUSTER_GO = (
    _chart("kwok", "cmd/kwok", "sigs.k8s.io/kwok", "sigs.k8s.io/kwok/pkg/consts.Version={v}"),
    _kube("kubectl"),
    GoTool("etcd", "kube", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3"),
    _kube("kube-apiserver"),
    _kube("kube-controller-manager"),
    _kube("kube-scheduler"),
)

GO_TOOLS = (*_EVERYDAY_GO, *_CLUSTER_GO)
"""What is built from Go modules."""
EVERYDAY: dict[str, Callable[[], Path]] = {
    "hadolint": wheels.HADOLINT.provide,
    **{tool.name: tool.provide for tool in _EVERYDAY_GO},
    "schemas": provide_schemas,
}
"""For the checks that run each time."""
CLUSTER: dict[str, Callable[[], Path]] = {tool.name: tool.provide for tool in _CLUSTER_GO}
"""For the tests on a control plane of our own."""
