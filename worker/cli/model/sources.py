"""Options of the commands that read a model from somewhere, and the model that they name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from worker.errors import UsageError
from worker.extras import install_command

if TYPE_CHECKING:
    from worker.modelkit.convert.checkpoint import Source

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--labels", help="Names of the labels, in the order of the model's outputs: neg,pos."),
    click.option(
        "--lower-case/--cased", default=None, help="Trained on lower-cased text, or not; default: as the source says."
    ),
    click.option(
        "--max-length", type=click.IntRange(min=3), help="Longest encoding in tokens; default: as the source says."
    ),
    click.option("--revision", help="Branch, tag or commit of a hub repository."),
    click.option(
        "--token-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="File with the token of a private hub repository; default: the variable HF_TOKEN.",
    ),
    click.option("--cache", type=click.Path(file_okay=False), help="Folder of the hub's cache."),
    click.option("--offline", is_flag=True, help="Take a hub repository from the cache only."),
)


def source_options(function: F) -> F:
    """Give a command the options that `read_source` takes."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def read_source(
    location: str,
    *,
    labels: str | None,
    lower_case: bool | None,
    max_length: int | None,
    revision: str | None,
    token_file: Path | None,
    cache: str | None,
    offline: bool,
) -> Source:
    """Read the model at `location`; raises `UsageError` for wrong options, `CheckpointError` for what is no model."""
    require_convert()
    from worker.modelkit.convert.checkpoint import SourceOptions
    from worker.modelkit.convert.sources import open_source

    return open_source(
        location,
        SourceOptions(
            labels=label_names(labels),
            lower_case=lower_case,
            max_length=max_length,
            revision=revision,
            token=_token(token_file),
            cache=cache,
            offline=offline,
        ),
    )


def label_names(value: str | None) -> tuple[str, ...] | None:
    """``neg,pos`` taken apart; raises `UsageError` for fewer than two names, an empty one, or one that repeats."""
    if value is None:
        return None
    names = tuple(name.strip() for name in value.split(","))
    if len(names) < 2 or not all(names) or len(set(names)) < len(names):
        raise UsageError(f"--labels {value}: two names or more that differ are needed, separated by commas")
    return names


def require_convert() -> None:
    """Raise `UsageError` where the libraries that models are read with are not installed."""
    for module in ("onnx", "safetensors", "huggingface_hub", "ml_dtypes"):
        require(module, "convert")


def require(module: str, extra: str) -> None:
    """Raise `UsageError` with the remedy where the library of an extra is not installed."""
    import importlib.util

    if importlib.util.find_spec(module) is None:
        raise UsageError(f"this command needs the extra {extra}: {install_command(extra)}")


def _token(path: Path | None) -> str | None:
    if path is None:
        return os.environ.get("HF_TOKEN") or None
    token = path.read_text(encoding="utf-8", errors="replace").strip()
    if not token or len(token.split()) > 1:
        raise UsageError(f"--token-file {path}: one line with the token is needed")
    return token
