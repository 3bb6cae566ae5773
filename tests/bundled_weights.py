"""The bundled model's weights, out of their 8 bits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from worker.inference.artifact import BUNDLED_PATH, GRAPH

EMBEDDING_SIZE = 128


def bundled_weights() -> dict[str, npt.NDArray[np.float32]]:
    """By Hugging Face's names. The segments' embeddings are part of those of the places, and zero here."""
    stored = {
        tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(BUNDLED_PATH / GRAPH).graph.initializer
    }
    weights = {}
    for name, value in stored.items():
        scale = stored.get(name.removesuffix("weight") + "scale") if name.endswith(".weight") else None
        if value.dtype == np.int8:
            weights[name] = (value * scale if "word_embeddings" in name else (value * scale).T).astype(np.float32)
        elif name.startswith(("albert.", "classifier.")) and not name.endswith("scale"):
            weights[name] = value.astype(np.float32)
    weights["albert.embeddings.position_embeddings.weight"] = weights.pop("albert.embeddings.places_of_segment_0")
    weights["albert.embeddings.token_type_embeddings.weight"] = np.zeros((2, EMBEDDING_SIZE), dtype=np.float32)
    return weights
