"""ALBERT as ONNX graphs the way other people's exporters write it: PyTorch's own, and two that are written out here.

tf2onnx needs TensorFlow, and PyTorch's newer exporter needs onnxscript; neither is installed for tests, so graphs in
their styles are built by hand.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from transformers import AlbertConfig, AlbertForSequenceClassification

from worker.modelkit.convert.shape import AlbertShape, Weights

Array = npt.NDArray[Any]

SMALL: dict[str, Any] = {
    "vocab_size": 50,
    "embedding_size": 6,
    "hidden_size": 12,
    "intermediate_size": 20,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "max_position_embeddings": 32,
    "hidden_act": "gelu_new",
}
NAMES = ("input_ids", "attention_mask", "token_type_ids")


def random_albert(attention: str = "sdpa", **overrides: Any) -> AlbertForSequenceClassification:
    """A transformers model with random weights, biases and normalisations too."""
    config = AlbertConfig(**(SMALL | overrides), attn_implementation=attention)
    model = AlbertForSequenceClassification(config).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return model


def torch_export(
    model: torch.nn.Module,
    *,
    opset: int = 14,
    fold: bool = True,
    names: Sequence[str] = NAMES,
    dynamic: bool = True,
    last: Callable[[torch.Tensor], torch.Tensor] = lambda logits: logits,
) -> onnx.ModelProto:
    """`model` by PyTorch's TorchScript exporter; `last` is applied to the logits."""
    ids = torch.tensor([[2, 9, 12, 3], [2, 7, 3, 0]])
    values = {
        "input_ids": ids,
        "attention_mask": (ids != 0).long(),
        "token_type_ids": torch.zeros_like(ids),
        "position_ids": torch.arange(ids.shape[1]).expand_as(ids),
    }

    class Wrapped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            return last(self.model(**dict(zip(names, inputs, strict=True))).logits)

    axes = {name: {0: "batch", 1: "sequence"} for name in names} | {"logits": {0: "batch"}}
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Wrapped(),
            tuple(values[name] for name in names),
            file,
            dynamo=False,
            opset_version=opset,
            input_names=list(names),
            output_names=["logits"],
            dynamic_axes=axes if dynamic else None,
            do_constant_folding=fold,
        )
    return onnx.load_from_string(file.getvalue())


class _Writer:
    """Nodes and constants, named as tf2onnx does it."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def __call__(self, operator: str, *inputs: str | Array | float | None, **attributes: Any) -> str:
        name = f"StatefulPartitionedCall/tf_albert_for_sequence_classification/{operator}__{len(self.nodes)}"
        names = ["" if value is None else self._name(value) for value in inputs]
        self.nodes.append(helper.make_node(operator, names, [f"{name}:0"], name, **attributes))
        return f"{name}:0"

    def model(self, inputs: Sequence[str], logits: str, labels: int, opset: int) -> onnx.ModelProto:
        self.nodes.append(helper.make_node("Identity", [logits], ["logits"], "Identity"))
        graph = helper.make_graph(
            self.nodes,
            "tf2onnx",
            [helper.make_tensor_value_info(name, TensorProto.INT32, ["unk__1", "unk__2"]) for name in inputs],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["unk__1", labels])],
            self.constants,
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8 if opset < 20 else 10
        )

    def _name(self, value: str | Array | float) -> str:
        if isinstance(value, str):
            return value
        array = np.asarray(value, dtype=np.float32) if isinstance(value, float) else np.asarray(value)
        self.constants.append(numpy_helper.from_array(np.array(array, order="C"), f"const__{len(self.constants)}"))
        return self.constants[-1].name


def _ints(*values: int) -> Array:
    return np.asarray(values, dtype=np.int64)


def tf2onnx_style(
    shape: AlbertShape, weights: Weights, *, scale: float | None = None, masked: bool = True, segments: bool = True
) -> onnx.ModelProto:
    """ALBERT as tf2onnx writes it; every layer has constants of its own. `scale` other than None is a wrong one."""
    write = _Writer()

    def dense(name: str, inputs: str, *, tensor: bool = True) -> str:
        kernel, bias = weights[f"{name}.weight"].T, weights[f"{name}.bias"]
        if not tensor:
            return write("Add", write("MatMul", inputs, kernel), bias)
        leading = write("Slice", write("Shape", inputs), _ints(0), _ints(2), _ints(0))
        flat = write("MatMul", write("Reshape", inputs, _ints(-1, kernel.shape[0])), kernel)
        whole = write("Reshape", flat, write("Concat", leading, _ints(kernel.shape[1]), axis=0))
        return write("Add", whole, bias)

    def normalise(name: str, inputs: str) -> str:
        mean = write("ReduceMean", inputs, axes=[-1], keepdims=1)
        difference = write("Sub", inputs, mean)
        variance = write("ReduceMean", write("Mul", difference, difference), axes=[-1], keepdims=1)
        root = write("Reciprocal", write("Sqrt", write("Add", variance, float(shape.layer_norm_eps))))
        factor = write("Mul", root, weights[f"{name}.weight"])
        offset = write("Sub", weights[f"{name}.bias"], write("Mul", mean, factor))
        return write("Add", write("Mul", inputs, factor), offset)

    def activate(inputs: str) -> str:
        if shape.hidden_act == "relu":
            return write("Relu", inputs)
        if shape.hidden_act == "gelu":
            inner = write("Erf", write("Div", inputs, math.sqrt(2)))
        else:
            cube = write("Mul", write("Pow", inputs, 3.0), 0.044715)
            inner = write("Tanh", write("Mul", write("Add", inputs, cube), math.sqrt(2 / math.pi)))
        return write("Mul", inputs, write("Mul", write("Add", inner, 1.0), 0.5))

    heads, size = shape.num_attention_heads, shape.hidden_size // shape.num_attention_heads

    def layer(prefix: str, hidden: str, mask: str) -> str:
        parts = [
            write("Transpose", write("Reshape", dense(f"{prefix}attention.{part}", hidden), _ints(0, -1, heads, size)),
                  perm=[0, 2, 1, 3])
            for part in ("query", "key", "value")
        ]  # fmt: skip
        scores = write("MatMul", parts[0], write("Transpose", parts[1], perm=[0, 1, 3, 2]))
        scores = write("Mul", scores, 1 / math.sqrt(size) if scale is None else scale)
        masked_scores = write("Add", scores, mask) if masked else scores
        share = write("Softmax", write("Add", masked_scores, 1e-9), axis=-1)
        joined = write("Transpose", write("MatMul", share, parts[2]), perm=[0, 2, 1, 3])
        joined = write("Reshape", joined, _ints(0, -1, shape.hidden_size))
        attended = write("Add", dense(f"{prefix}attention.dense", joined), hidden)
        attended = normalise(f"{prefix}attention.LayerNorm", attended)
        inner = activate(dense(f"{prefix}ffn", attended))
        output = write("Add", dense(f"{prefix}ffn_output", inner), attended)
        return normalise(f"{prefix}full_layer_layer_norm", output)

    table = "albert.embeddings.{}_embeddings.weight"
    length = write("Squeeze", write("Slice", write("Shape", "input_ids"), _ints(1), _ints(2), _ints(0)), _ints(0))
    places = write("Unsqueeze", write("Range", np.asarray(0), length, np.asarray(1)), _ints(0))
    hidden = write("Gather", weights[table.format("word")], "input_ids")
    hidden = write("Add", hidden, write("Gather", weights[table.format("position")], places))
    if segments:
        hidden = write("Add", hidden, write("Gather", weights[table.format("token_type")], "token_type_ids"))
    hidden = dense("albert.encoder.embedding_hidden_mapping_in", normalise("albert.embeddings.LayerNorm", hidden))
    mask = write("Cast", write("Unsqueeze", write("Unsqueeze", "attention_mask", _ints(1)), _ints(1)), to=1)
    mask = write("Mul", write("Sub", 1.0, mask), -10000.0)
    for prefix in shape.layers:
        hidden = layer(prefix, hidden, mask)
    first = write("Slice", hidden, _ints(0, 0), _ints(2**31 - 1, 1), _ints(0, 1))
    pooled = write("Tanh", dense("albert.pooler", write("Squeeze", first, _ints(1)), tensor=False))
    logits = dense("classifier", pooled, tensor=False)
    return write.model(NAMES if segments else NAMES[:2], logits, len(shape.labels), 17)


def modern_style(shape: AlbertShape, weights: Weights) -> onnx.ModelProto:
    """ALBERT with the whole operators of opset 23: LayerNormalization, Gelu, Attention; weights behind Transpose."""
    write = _Writer()
    transposed: dict[str, str] = {}
    heads, size = shape.num_attention_heads, shape.hidden_size // shape.num_attention_heads

    def dense(name: str, inputs: str) -> str:
        if name not in transposed:  # one initialiser, as often as it is used
            transposed[name] = write("Transpose", weights[f"{name}.weight"], perm=[1, 0])
        return write("Add", write("MatMul", inputs, transposed[name]), weights[f"{name}.bias"])

    def normalise(name: str, inputs: str) -> str:
        scale, shift = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return write("LayerNormalization", inputs, scale, shift, epsilon=shape.layer_norm_eps)

    def layer(prefix: str, hidden: str, mask: str) -> str:
        parts = [
            write("Transpose", write("Reshape", dense(f"{prefix}attention.{part}", hidden), _ints(0, 0, heads, size)),
                  perm=[0, 2, 1, 3])
            for part in ("query", "key", "value")
        ]  # fmt: skip
        joined = write("Transpose", write("Attention", *parts, mask), perm=[0, 2, 1, 3])
        joined = write("Reshape", joined, _ints(0, 0, shape.hidden_size))
        attended = write("Add", hidden, dense(f"{prefix}attention.dense", joined))
        attended = normalise(f"{prefix}attention.LayerNorm", attended)
        kind = "none" if shape.hidden_act == "gelu" else "tanh"
        inner = write("Gelu", dense(f"{prefix}ffn", attended), approximate=kind)
        return normalise(f"{prefix}full_layer_layer_norm", write("Add", dense(f"{prefix}ffn_output", inner), attended))

    table = "albert.embeddings.{}_embeddings.weight"
    length = write("Shape", "input_ids", start=1, end=2)
    places = weights[table.format("position")]
    rows = write("Slice", places, _ints(0), length, _ints(0))
    hidden = write("Add", write("Gather", weights[table.format("word")], "input_ids"), rows)
    hidden = write("Add", hidden, write("Gather", weights[table.format("token_type")], "token_type_ids"))
    hidden = dense("albert.encoder.embedding_hidden_mapping_in", normalise("albert.embeddings.LayerNorm", hidden))
    square = write("Concat", write("Shape", "input_ids", start=0, end=1), _ints(1), length, length, axis=0)
    mask = write("Unsqueeze", write("Cast", "attention_mask", to=TensorProto.BOOL), _ints(1, 2))
    mask = write("Expand", mask, square)
    for prefix in shape.layers:
        hidden = layer(prefix, hidden, mask)
    pooled = write("Tanh", dense("albert.pooler", write("Gather", hidden, np.asarray(0), axis=1)))
    classifier = write("Gemm", pooled, weights["classifier.weight"], weights["classifier.bias"], transB=1)
    return write.model(NAMES, classifier, len(shape.labels), 23)
