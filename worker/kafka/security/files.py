"""Files that settings name, with secrets or certificates: read anew each time, and never shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from worker.errors import UsageError


@dataclass(frozen=True, slots=True)
class SettingFile:
    """The file that `setting` names. What it holds is in nothing that this object shows or raises."""

    setting: str
    path: Path

    def __str__(self) -> str:
        return f"{self.setting} {self.path}"

    def read_bytes(self) -> bytes:
        """What it holds now; raises UsageError when it cannot be read or is empty."""
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise UsageError(f"{self} cannot be read ({error.strerror or type(error).__name__})") from None
        if not content.strip():
            raise UsageError(f"{self} is empty")
        return content

    def read_text(self) -> str:
        """The same as text, without a line break at its end."""
        try:
            return self.read_bytes().decode().rstrip("\r\n")
        except UnicodeDecodeError:  # it quotes what it could not decode
            raise UsageError(f"{self} is no text in UTF-8") from None

    def stamp(self) -> tuple[int, int, int] | None:
        """Changes when the file is written or replaced, also behind a link; None while it is not there."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
