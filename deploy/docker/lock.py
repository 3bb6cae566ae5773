"""``python -m deploy.docker.lock``: the exact versions that the images are made of, with hashes, from pyproject.toml.

With ``--check`` nothing is written and nothing is asked of the network: the exit code is 1 when pyproject.toml asks for
something else than it did when the files were made.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PYPROJECT = HERE.parents[1] / "pyproject.toml"
PYTHON_VERSION = "3.11"
"""Of the base image."""
EXTRAS = {"cpu": ("otel",), "cuda": ("otel", "cuda"), "convert": ("otel", "convert")}
"""What the image of each target can do beside the plain worker; and Kerberos, whose package is compiled."""
COMPILERS = ("cython", "setuptools")
"""What compiles it, beside the C compiler."""
GPU_RUNTIME, CPU_RUNTIME = "onnxruntime-gpu", "onnxruntime"
NOTE = "# Rendered by `make lock`; edit pyproject.toml, not this file. Made for: "


def wanted(pyproject: dict[str, Any]) -> dict[str, list[str]]:
    """The requirements of each file, by its target; ``build`` is what makes wheels."""
    project = pyproject["project"]
    extras = project["optional-dependencies"]
    build = [*pyproject["build-system"]["requires"], *COMPILERS]
    everything = {"build": build, "kerberos": list(extras["kerberos"])}
    for target, names in EXTRAS.items():
        requirements = [*project["dependencies"], *(r for name in names for r in extras.get(name, ()))]
        everything[target] = requirements if target == "cuda" else [_for_cpu(r) for r in requirements]
    return everything


def _for_cpu(requirement: str) -> str:
    """ONNX Runtime without its 300 MB for GPUs; both packages are imported by the same name."""
    if not requirement.startswith(GPU_RUNTIME):
        return requirement
    versions, _, _ = requirement.removeprefix(GPU_RUNTIME).partition(";")
    return CPU_RUNTIME + versions


def first_line(requirements: list[str]) -> str:
    """It tells for which requirements a file was made."""
    return NOTE + hashlib.sha256("\n".join(sorted(requirements)).encode()).hexdigest()[:12]


def stale(pyproject: Path = PYPROJECT, folder: Path = HERE) -> list[str]:
    """Names of the files that were made for other requirements than those of today, or not at all."""
    names = []
    for target, requirements in wanted(tomllib.loads(pyproject.read_text(encoding="utf-8"))).items():
        path = folder / f"requirements-{target}.txt"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else [""]
        if lines[0] != first_line(requirements):
            names.append(path.name)
    return names


def compile_file(target: str, requirements: list[str], *also: str) -> str:
    """Resolve them with ``uv``, and write the file; answers its text."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--generate-hashes", "--no-header"]
    command += ["--python-version", PYTHON_VERSION, "--python-platform", "linux", "--no-annotate", "-"]
    answer = subprocess.run(
        command, input="\n".join([*requirements, *also]), stdout=subprocess.PIPE, text=True, check=True
    )
    text = f"{first_line(requirements)}\n{answer.stdout}"
    (HERE / f"requirements-{target}.txt").write_text(text, encoding="utf-8")
    return text


def main() -> int:
    """Exit code 0, or 1 when a file is stale."""
    parser = argparse.ArgumentParser(prog="python -m deploy.docker.lock", description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is stale")
    if parser.parse_args().check:
        for name in stale():
            sys.stderr.write(f"error: pyproject.toml asks for other packages than deploy/docker/{name}: make lock\n")
        return 1 if stale() else 0
    everything = wanted(tomllib.loads(PYPROJECT.read_text(encoding="utf-8")))
    for target in ("build", "kerberos"):
        compile_file(target, everything[target])
    for_gpu = compile_file("cuda", everything["cuda"])
    # One version of ONNX Runtime for all targets; it is also the one that the tests run with.
    version = re.search(rf"^{GPU_RUNTIME}(==\S+)", for_gpu, flags=re.MULTILINE)
    for target in ("cpu", "convert"):
        compile_file(target, everything[target], f"{CPU_RUNTIME}{version[1]}" if version else CPU_RUNTIME)
    return 0


if __name__ == "__main__":
    sys.exit(main())
