"""One file of weights for several ONNX graphs: ONNX's external data.

Every weight lies at a multiple of 4,096 bytes, so that ONNX Runtime can map the file into memory
(``onnx/docs/ExternalData.md``: an offset at a multiple of the page size enables mmap).
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import TensorProto

ALIGNMENT = 4096
INLINE_BYTES = 4096
"""Initialisers below this size stay in the graph: aligned, they would take more room than they need."""


def move_weights(models: Sequence[onnx.ModelProto], location: str) -> bytes:
    """Move the large initialisers of `models` into the bytes that are answered, for the file `location` beside them.

    What two models have in common is stored once. Raises ValueError where they have different weights of one name.
    """
    content = bytearray()
    stored: dict[str, tuple[bytes, int]] = {}
    for model in models:
        for tensor in model.graph.initializer:
            if len(tensor.raw_data) < INLINE_BYTES:
                continue
            if tensor.name not in stored:
                content.extend(bytes(-len(content) % ALIGNMENT))
                stored[tensor.name] = (tensor.raw_data, len(content))
                content.extend(tensor.raw_data)
            values, offset = stored[tensor.name]
            if values != tensor.raw_data:
                raise ValueError(f"two weights are called {tensor.name}: this is a bug")
            _refer(tensor, location, offset, len(values))
    return bytes(content)


def _refer(tensor: TensorProto, location: str, offset: int, length: int) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)
