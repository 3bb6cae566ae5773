"""How what is missing of this package is installed beside it: the one place that such hints come from.

No index has this package, and anybody could take its name there. So a hint names where the package came from (PEP 610).
"""

from __future__ import annotations

import importlib.util
import json
import shlex
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

PACKAGE = "reviews-worker"


def pip_install() -> str:
    """The command that installs into this Python, as far as the names of the packages."""
    python = shlex.quote(sys.executable)
    if importlib.util.find_spec("pip") is None:
        return f"uv pip install --python {python}"
    return f"{python} -m pip install"


def install_command(extra: str) -> str:
    """The command that installs what the extra needs, for the way in which this package was installed."""
    try:
        origin = json.loads(distribution(PACKAGE).read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        origin = {}
    requirement = _requirement(origin, extra)
    if requirement is None:
        return f"in a checkout of its source: {pip_install()} '.[{extra}]'"
    return f"{pip_install()} {requirement}"


def _requirement(origin: dict[str, Any], extra: str) -> str | None:
    """What pip takes for the package with its extra; None where it is not known, or not there any more."""
    url = str(origin.get("url", ""))
    parts = urlsplit(url)
    if parts.scheme == "file":
        path = Path(unquote(parts.path))
        if not (path.is_file() or (path / "pyproject.toml").is_file()):
            return None
        editable = "-e " if origin.get("dir_info", {}).get("editable") else ""
        return f"{editable}{shlex.quote(f'{path}[{extra}]')}"
    if not parts.scheme:
        return None
    url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()  # never a password
    vcs = origin.get("vcs_info")
    if vcs:
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    return shlex.quote(f"{PACKAGE}[{extra}] @ {url}")
