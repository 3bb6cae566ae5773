"""How the hints install what is missing, for each way in which the package may have been installed."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest

from worker.extras import install_command

PIP = f"{shlex.quote(sys.executable)} -m pip install"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the metadata of an installed package is looked for first; answers the file that says where it is from."""
    folder = tmp_path / "site" / "reviews_worker-9.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: reviews-worker\nVersion: 9\n")
    monkeypatch.syspath_prepend(folder.parent)
    return folder / "direct_url.json"


def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "a checkout"
    folder.mkdir()
    (folder / "pyproject.toml").touch()
    return folder


def test_an_editable_checkout_is_installed_again_with_the_extra(tmp_path: Path, installed: Path):
    folder = checkout(tmp_path)
    installed.write_text(json.dumps({"url": folder.as_uri(), "dir_info": {"editable": True}}))
    assert install_command("demo") == f"{PIP} -e '{folder}[demo]'"


def test_so_is_a_checkout_that_is_not_editable(tmp_path: Path, installed: Path):
    folder = checkout(tmp_path)
    installed.write_text(json.dumps({"url": folder.as_uri(), "dir_info": {}}))
    assert install_command("demo") == f"{PIP} '{folder}[demo]'"


def test_a_wheel_that_is_still_there_is_named(tmp_path: Path, installed: Path):
    wheel = tmp_path / "reviews_worker-9-py3-none-any.whl"
    wheel.touch()
    installed.write_text(json.dumps({"url": wheel.as_uri(), "archive_info": {}}))
    assert install_command("demo") == f"{PIP} '{wheel}[demo]'"


@pytest.mark.parametrize(
    ("origin", "requirement"),
    [
        ({"url": "https://example.org/w-9.whl", "archive_info": {}}, "https://example.org/w-9.whl"),
        ({"url": "https://me:secret@example.org/w-9.whl", "archive_info": {}}, "https://example.org/w-9.whl"),
        (
            {"url": "https://example.org/w.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "git+https://example.org/w.git@abc",
        ),
    ],
)
def test_an_address_is_named_without_any_password(origin: dict[str, object], requirement: str, installed: Path):
    installed.write_text(json.dumps(origin))
    assert install_command("demo") == f"{PIP} 'reviews-worker[demo] @ {requirement}'"


@pytest.mark.parametrize("origin", [None, "no JSON", '{"url": "file:///not/there", "dir_info": {}}'])
def test_otherwise_a_checkout_is_needed(origin: str | None, installed: Path):
    if origin is not None:
        installed.write_text(origin)
    assert install_command("demo") == f"in a checkout of its source: {PIP} '.[demo]'"
