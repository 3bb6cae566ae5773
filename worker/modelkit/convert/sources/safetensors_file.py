"""One ``.safetensors`` file, read a weight at a time and without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  # teaches numpy the name bfloat16
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from worker.modelkit.convert.shape import CheckpointError

FLOATS = ("F32", "F16", "BF16", "F64")


class SafetensorsFile:
    """An open file: mapped, so that only the weights that are asked for are ever in memory.

    Raises `CheckpointError` where it is none.
    """

    def __init__(self, path: Path) -> None:
        opened: Any = safe_open  # its types are there in part only
        try:
            self._file = opened(path, framework="numpy")
            self._names = frozenset(self._file.keys())
        except OSError as error:
            raise CheckpointError(f"{path}: not readable ({error})") from error
        except SafetensorError as error:
            raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from error
        self._path = path

    def names(self) -> frozenset[str]:
        """Of all weights in the file."""
        return self._names

    def shape(self, name: str) -> tuple[int, ...]:
        """Of one weight, without reading it."""
        return tuple(self._file.get_slice(name).get_shape())

    def read(self, name: str) -> npt.NDArray[Any]:
        """One weight in its own float type; raises `CheckpointError` where it is no float."""
        kind = self._file.get_slice(name).get_dtype()
        if kind not in FLOATS:
            raise CheckpointError(
                f"{self._path}: weight {name} is stored as {kind}; float32, float16, bfloat16 and float64 can be read"
            )
        value: npt.NDArray[Any] = self._file.get_tensor(name)
        return value
