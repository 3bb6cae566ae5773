"""JSON schemas in the layout that kubeconform asks for: Kubernetes' own kinds, and the kinds of the CRDs.

``build/tools/schemas/v1.37.0-strict/<kind>-<group>-<version>.json`` and ``.../crd/<group>/<kind>_<version>.json``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from deploy.tools import wheels
from deploy.tools.crds import provide_crds
from deploy.tools.places import OUT, key_of, provide

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def provide_schemas() -> Path:
    """Make them, if no cache has them; raises ToolError."""
    kubernetes, crds = wheels.KUBERNETES.provide(), provide_crds()

    def make(made: Path) -> None:
        write_kubernetes_schemas(kubernetes, made / f"v{wheels.KUBERNETES_VERSION}.0-strict")
        write_crd_schemas(crds, made / "crd")

    return provide(OUT / "schemas", key_of(kubernetes.name, crds.name, Path(__file__)), make, "writing")


def write_kubernetes_schemas(source: Path, target: Path) -> None:
    """The published schemas, with references between files that lie side by side.

    kubeconform reads a schema as draft 4 unless it says otherwise, and resolves references against ``$id`` if there is
    one; with either as published it only says that it could not find the schema.
    """
    target.mkdir(parents=True)
    for path in source.glob("*.json"):
        text = path.read_text(encoding="utf-8").replace('"/api/_definitions.json#', '"_definitions.json#')
        schema = {**json.loads(text), "$schema": DRAFT}
        schema.pop("$id", None)
        (target / path.name).write_text(json.dumps(schema), encoding="utf-8")


def write_crd_schemas(crds: Path, target: Path) -> None:
    """One file for each served version of each custom kind."""
    for path in sorted(crds.glob("*.yaml")):
        crd = yaml.safe_load(path.read_text(encoding="utf-8"))
        folder = target / crd["spec"]["group"]
        folder.mkdir(parents=True, exist_ok=True)
        for version in crd["spec"]["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            _close(schema)
            schema["properties"]["metadata"] = {"type": "object"}  # the API server's own, in whatever form
            name = f"{crd['spec']['names']['kind'].lower()}_{version['name']}.json"
            (folder / name).write_text(json.dumps(schema), encoding="utf-8")


def _close(node: Any) -> None:
    """Refuse unknown members, as the API server does when it is asked to be strict; take its extensions out."""
    if isinstance(node, list):
        for item in node:
            _close(item)
    elif isinstance(node, dict):
        open_ended = node.pop("x-kubernetes-preserve-unknown-fields", False)
        if node.pop("x-kubernetes-int-or-string", False):
            node.pop("anyOf", None)
            node["type"] = ["integer", "string"]
        if isinstance(node.get("properties"), dict) and not open_ended and "additionalProperties" not in node:
            node["additionalProperties"] = False
        for value in list(node.values()):
            _close(value)
