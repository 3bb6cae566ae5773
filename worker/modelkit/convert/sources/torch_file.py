"""One ``.bin`` file of torch, by its weights-only loading: nothing in the file is ever executed."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from worker.extras import install_command, pip_install
from worker.modelkit.convert.shape import CheckpointError

OLDEST_SAFE_TORCH = (2, 6)
"""Before it a file could get around the weights-only loading (CVE-2025-32434)."""
FLOATS = ("torch.float32", "torch.float16", "torch.bfloat16", "torch.float64")


class TorchFile:
    """A loaded file. Raises `CheckpointError` where torch is missing, or the file is anything but named weights."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._weights = _load(path, _torch(path))

    def names(self) -> frozenset[str]:
        """Of all weights in the file."""
        return frozenset(self._weights)

    def shape(self, name: str) -> tuple[int, ...]:
        """Of one weight."""
        return tuple(self._weights[name].shape)

    def read(self, name: str) -> npt.NDArray[Any]:
        """One weight as float32 or float64; raises `CheckpointError` where it is no float."""
        tensor = self._weights[name].detach()
        if str(tensor.dtype) not in FLOATS or str(tensor.layout) != "torch.strided":
            raise CheckpointError(
                f"{self._path}: weight {name} is stored as {tensor.dtype} ({tensor.layout});"
                " dense float32, float16, bfloat16 and float64 can be read"
            )
        if tensor.dtype.itemsize < 4:
            tensor = tensor.float()  # numpy has no bfloat16 of its own
        value: npt.NDArray[Any] = tensor.numpy()
        return value


def _torch(path: Path) -> Any:
    try:
        import torch
    except ImportError:
        raise CheckpointError(
            f"{path}: reading it needs torch (or save the model as safetensors): {install_command('torch')}"
        ) from None
    version = tuple(map(int, re.findall(r"\d+", torch.__version__)[:2]))
    if version < OLDEST_SAFE_TORCH:
        raise CheckpointError(
            f"{path}: torch {torch.__version__} cannot read it safely: {pip_install()} --upgrade torch"
        )
    return torch


def _load(path: Path, torch: Any) -> Mapping[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"{path}: not readable (no such file)")
    try:
        with warnings.catch_warnings(action="ignore"):  # they are about torch's own forms of files
            stored = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError:  # its text is long, and says how to switch the protection off
        raise CheckpointError(
            f"{path}: refused: it is no plain file of weights, and may run code when it is loaded;"
            " nothing of it was run. Save the model as safetensors where it can be trusted"
        ) from None
    except Exception as error:  # whatever a damaged archive leads to
        raise CheckpointError(f"{path}: not a readable file of torch ({type(error).__name__})") from error
    if isinstance(stored, Mapping) and isinstance(stored.get("state_dict"), Mapping):
        stored = stored["state_dict"]
    if not isinstance(stored, Mapping):
        raise CheckpointError(f"{path}: holds a {type(stored).__name__} instead of weights by name")
    return {str(name): value for name, value in stored.items() if isinstance(value, torch.Tensor)}
