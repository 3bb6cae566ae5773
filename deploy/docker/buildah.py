"""The Dockerfile really built, without a container engine and without a registry of images: ``buildah`` as root.

The base is a stand-in (``stand-in/``): it proves the Dockerfile's own steps, not the official image's Python or size.
``python -m deploy.docker.buildah cpu`` builds a target, and says how large it is.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from deploy.tools.places import ToolError, alone, cache_folder, key_of, say

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
DOCKERFILE = HERE / "Dockerfile"
STAND_IN = HERE / "stand-in"
TARGETS = ("cpu", "cuda", "convert")
DEBIAN, DEBIAN_IMAGE = "bookworm", "docker.io/library/debian:bookworm-slim"
PACKAGES = ("buildah", "mmdebstrap", "crun")
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
CONFIGURATION = f"[global]\ncert = {AUTHORITIES}\ntimeout = 180\n"


def python_image() -> str:
    """The base that the Dockerfile names, whose name the stand-in is given."""
    found = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    if found is None:
        raise ToolError(f"{DOCKERFILE} has no ARG PYTHON_IMAGE")
    return found[1]


def tag(target: str) -> str:
    """The name of what is built."""
    return f"localhost/reviews-worker:{target}"


def prepare() -> None:
    """Make sure that ``buildah`` can work here; installs Debian's packages where they are missing. Raises ToolError."""
    if os.geteuid() != 0:
        raise ToolError("an image can be built here as root only: run it as root, or build it with a Docker of yours")
    missing = [name for name in ("buildah", "mmdebstrap") if shutil.which(name) is None]
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise ToolError(f"an image is built with {' and '.join(missing)}, not installed here; install them")
    say(f"installing Debian's packages {', '.join(PACKAGES)}")
    quiet = ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in ([*quiet, "update"], [*quiet, "install", "-y", "--no-install-recommends", *PACKAGES]):
        if subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False).returncode:
            raise ToolError(f"{' '.join(command)} failed (see above)")


def buildah(*arguments: str, capture: bool = True) -> str:
    """Run it on the store in the cache folder; answers its output, and raises ToolError with what it complained."""
    store = cache_folder().parent / "buildah"
    command = ["buildah", "--root", str(store / "root"), "--runroot", str(store / "run"), "--storage-driver", "overlay"]
    command += arguments
    environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
    # What RUN steps print goes where people read.
    out = subprocess.PIPE if capture else sys.stderr
    answer = subprocess.run(command, env=environment, stdout=out, stderr=subprocess.PIPE, text=True, check=False)
    if answer.returncode:
        raise ToolError(f"buildah {arguments[0]} ended with {answer.returncode}: {answer.stderr.strip()[-3000:]}")
    return answer.stdout or ""


def build(target: str) -> str:
    """Build a target on the stand-in base; answers the image's name. Raises ToolError."""
    prepare()
    with alone("images"):
        _provide_stand_in()
        return _build(target)


def _build(target: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "pip.conf"
        configuration.write_text(CONFIGURATION, encoding="utf-8")
        # Where a network has an authority of its own, pip must trust what this machine trusts.
        mounts = [f"--volume={configuration}:/etc/pip.conf:ro", f"--volume={AUTHORITIES}:{AUTHORITIES}:ro"]
        revision = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        arguments = [f"--build-arg=REVISION={revision.stdout.strip() or 'unknown'}"]
        # The format that has a health check.
        arguments += ["--layers", "--pull-never", "--format=docker", f"--target={target}", f"--tag={tag(target)}"]
        buildah("bud", *arguments, *mounts, f"--file={DOCKERFILE}", str(REPOSITORY), capture=False)
    return tag(target)


def _provide_stand_in() -> None:
    key = key_of(*sorted(STAND_IN.glob("Containerfile.*")), python_image())
    images = json.loads(buildah("images", "--json") or "null") or []
    kept = f"localhost/stand-in:{key}"
    if not any(kept in (image.get("names") or ()) for image in images):
        with tempfile.TemporaryDirectory(dir=cache_folder()) as folder:
            say("making a stand-in for the base image (a minute or two, once)")
            _run(["mmdebstrap", "--quiet", "--variant=minbase", DEBIAN, f"{folder}/rootfs.tar"])
            base, python = (str(STAND_IN / f"Containerfile.{name}") for name in ("base", "python"))
            buildah("bud", "--pull-never", f"--tag={DEBIAN_IMAGE}", f"--file={base}", folder)
            buildah("bud", "--pull-never", f"--tag={kept}", f"--file={python}", folder)
    buildah("tag", kept, python_image())


def _run(command: list[str]) -> None:
    if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
        raise ToolError(f"{command[0]} failed (see above)")


def inspect(image: str) -> dict[str, Any]:
    """The image's configuration in Docker's form: ``Env``, ``User``, ``Entrypoint``, ``Healthcheck``, ``Labels`` ..."""
    told: dict[str, Any] = json.loads(buildah("inspect", "--type", "image", image))
    configuration: dict[str, Any] = told["Docker"]["config"]
    return configuration


def size_of(image: str) -> str:
    """Of all its layers, with the base: ``531 MB``."""
    return str(json.loads(buildah("images", "--json", image))[0]["size"])


def main() -> int:
    """Exit code 0, or 1 with a line that says why there is no image."""
    parser = argparse.ArgumentParser(prog="python -m deploy.docker.buildah", description=__doc__.split("\n")[0])
    parser.add_argument("target", choices=TARGETS)
    try:
        image = build(parser.parse_args().target)
        say(f"{image}: {size_of(image)} with the stand-in base")
    except ToolError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
