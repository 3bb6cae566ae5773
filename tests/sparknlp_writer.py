"""Writes models as Spark NLP saves them, of any shape: SequenceFiles, Java's objects, a tensor bundle, a GraphDef."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from albert_reference import Array

from worker.inference.artifact import BUNDLED_PATH, PIECES
from worker.modelkit.convert.shape import AlbertShape

CLASS = "com.johnsnowlabs.nlp.annotators.classifier.dl.AlbertForSequenceClassification"
TENSORFLOW, ONNX = "albert_classification_tensorflow", "albert_classification_onnx"
NULL, BYTES = "org.apache.hadoop.io.NullWritable", "org.apache.hadoop.io.BytesWritable"
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
SERIAL_VERSIONS = {
    "[Lscala.Tuple2;": "2ecc00dfd14fd7c0",
    "scala.Tuple2": "2e94667d5b92f9f5",
    "java.lang.Integer": "12e2a0a4f7818738",
    "java.lang.Number": "86ac951d0b94e08b",
}


# Hadoop and Java


def sequence_file(
    *values: bytes, classes: tuple[str, str] = (NULL, BYTES), compressed: bool = False, sync_every: int = 0
) -> bytes:
    sync = bytes(range(16))
    out = b"SEQ\x06" + b"".join(struct.pack("b", len(name)) + name.encode() for name in classes)
    out += bytes([compressed, 0]) + struct.pack(">i", 0) + sync
    for index, value in enumerate(values):
        if sync_every and index % sync_every == 0:
            out += struct.pack(">i", -1) + sync
        out += struct.pack(">iii", len(value) + 4, 0, len(value)) + value
    return out


def java_tuples(*pairs: tuple[str, str | int], name: str = "scala.Tuple2") -> bytes:
    """A serialised array of tuples, as ObjectOutputStream writes it: each class once, and then by its handle."""
    handles: dict[str, int] = {}

    def handle(key: str) -> None:
        handles[key] = 0x7E0000 + len(handles)

    def reference(key: str) -> bytes:
        return b"\x71" + struct.pack(">i", handles[key])

    def utf(text: str) -> bytes:
        units = text.encode("utf-16-be", "surrogatepass")
        characters = "".join(chr(unit) for (unit,) in struct.iter_unpack(">H", units))
        data = characters.encode("utf-8", "surrogatepass").replace(b"\x00", b"\xc0\x80")
        return struct.pack(">H", len(data)) + data

    def string(text: str) -> bytes:
        handle(f"string {text} {len(handles)}")
        return b"\x74" + utf(text)

    def described(class_name: str, fields: bytes, parent: bytes | None) -> bytes:
        version = bytes.fromhex(SERIAL_VERSIONS.get(class_name, "00" * 8))
        return b"\x72" + utf(class_name) + version + b"\x02" + fields + b"\x78" + (parent or b"\x70")

    def tuple_class() -> bytes:
        if name in handles:
            return reference(name)
        handle(name)
        handle("object type")
        first = b"L" + utf("_1") + b"\x74" + utf("Ljava/lang/Object;")
        return described(name, struct.pack(">H", 2) + first + b"L" + utf("_2") + reference("object type"), None)

    def integer_class() -> bytes:
        if "integer" in handles:
            return reference("integer")
        handle("integer")
        fields = struct.pack(">H", 1) + b"I" + utf("value")
        handle("number")
        return described("java.lang.Integer", fields, described("java.lang.Number", struct.pack(">H", 0), None))

    def value(item: str | int) -> bytes:
        if isinstance(item, str):
            return string(item)
        out = b"\x73" + integer_class() + struct.pack(">i", item)
        handle(f"integer {item} {len(handles)}")
        return out

    handle("array class")
    out = b"\xac\xed\x00\x05\x75" + described(f"[L{name};", struct.pack(">H", 0), None) + struct.pack(">i", len(pairs))
    handle("array")
    for first, second in pairs:
        out += b"\x73" + tuple_class()
        handle(f"tuple {len(handles)}")
        out += value(first) + value(second)
    return out


# Protobuf


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def node(name: str, operator: str, inputs: Sequence[str] = (), **attributes: bytes) -> bytes:
    out = field(1, name) + field(2, operator) + b"".join(field(3, each) for each in inputs)
    return out + b"".join(field(5, field(1, key) + field(2, value)) for key, value in attributes.items())


def constant(name: str, value: float) -> bytes:
    if isinstance(value, int):
        tensor = field(1, 3) + field(2, b"") + field(7, varint(value))
    else:
        tensor = field(1, 1) + field(2, b"") + field(4, struct.pack("<f", value))
    return node(name, "Const", value=field(8, tensor))


# The tensor bundle


def block(entries: Iterable[tuple[bytes, bytes]], restart_every: int = 16, compression: int = 0) -> bytes:
    out, restarts, last = b"", [], b""
    for index, (key, value) in enumerate(entries):
        shared = 0
        if index % restart_every:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        else:
            restarts.append(len(out))
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    restarts = restarts or [0]
    out += b"".join(struct.pack("<I", place) for place in restarts) + struct.pack("<I", len(restarts))
    return out + bytes([compression]) + bytes(4)


def table(entries: Sequence[tuple[bytes, bytes]], per_block: int = 10, compression: int = 0) -> bytes:
    """A LevelDB table; the trailer of a block (5 bytes) is not in the size of its handle."""
    out, handles = b"", []
    for start in range(0, len(entries), per_block):
        part = entries[start : start + per_block]
        data = block(part, compression=compression)
        handles.append((part[-1][0], varint(len(out)) + varint(len(data) - 5)))
        out += data
    filters = varint(len(out)) + varint(len(block([])) - 5)
    out += block([])
    index = block(handles)
    footer = filters + varint(len(out)) + varint(len(index) - 5)
    return out + index + footer.ljust(40, b"\x00") + bytes.fromhex("57fb808b247547db")


def bundle_entry(dtype: int, shape: Sequence[int], offset: int, size: int, shard: int = 0) -> bytes:
    dimensions = b"".join(field(2, field(1, dimension)) for dimension in shape)
    return (
        field(1, dtype) + field(2, dimensions) + (field(3, shard) if shard else b"") + field(4, offset) + field(5, size)
    )


def tensor_bundle(tensors: Mapping[str, Array | bytes], header: bytes | None = None) -> tuple[bytes, bytes]:
    """Index and data; bytes are a scalar of one string."""
    data, entries = b"", [(b"", field(1, 1) + field(3, field(1, 1)) if header is None else header)]
    for key in sorted(tensors):
        value = tensors[key]
        if isinstance(value, bytes):
            raw, dtype, shape = varint(len(value)) + bytes(4) + value, 7, ()
        else:
            raw, dtype, shape = value.astype("<f4").tobytes(), 1, value.shape
        entries.append((key.encode(), bundle_entry(dtype, shape, len(data), len(raw))))
        data += raw
    return table(entries), data


# ALBERT


def variable_name(name: str) -> str:
    """Hugging Face's name of a weight as TensorFlow's variable is called."""
    *path, last = name.split(".")
    if path[-1].lower().endswith("norm"):
        last = {"weight": "gamma", "bias": "beta"}[last]
    elif path[-1] in ("position_embeddings", "token_type_embeddings"):
        last = "embeddings"
    elif last == "weight" and path[-1] != "word_embeddings":
        last = "kernel"
    return _numbered("/".join(["tf_albert_for_sequence_classification", *path, last]))


def _numbered(name: str) -> str:
    """TensorFlow's name of what is one of a list: ``albert_layer_groups/0`` -> ``albert_layer_groups_._0``."""
    return name.replace("layer_groups/", "layer_groups_._").replace("albert_layers/", "albert_layers_._")


def albert_nodes(shape: AlbertShape) -> list[bytes]:
    """What a reader looks at in the function that computes the model."""
    operator = {"gelu_new": "Tanh", "gelu_pytorch_tanh": "Tanh", "gelu": "Erf", "relu": "Relu"}[shape.hidden_act]
    nodes = [constant("albert/embeddings/LayerNorm/batchnorm/add/y", shape.layer_norm_eps)]
    for index, layer in enumerate(shape.layers):
        prefix = _numbered(layer.replace(".", "/"))
        nodes.append(node(f"{prefix}attention/Softmax{f'_{index}' if index else ''}", "Softmax"))
        nodes.append(constant(f"{prefix}attention/Reshape/shape/2", shape.num_attention_heads))
        nodes.append(node(f"{prefix}activation/{operator}_{index}", operator))
    return [*nodes, node("albert/pooler/Tanh", "Tanh")]


def function(name: str, nodes: Iterable[bytes]) -> bytes:
    return field(1, field(1, name)) + b"".join(field(3, each) for each in nodes)


def graph_def(nodes: Iterable[bytes], functions: Iterable[bytes]) -> bytes:
    return b"".join(field(1, each) for each in nodes) + field(2, b"".join(field(1, each) for each in functions))


def tensorflow_files(shape: AlbertShape, weights: Mapping[str, Array], *, names_in: str = "bundle") -> dict[str, bytes]:
    """The files of the inner zip; `names_in` says where the variables' names are: ``bundle``, ``graph``, or nowhere."""
    tensors: dict[str, Array | bytes] = {}
    keys = {}
    for index, (name, value) in enumerate(weights.items()):
        key = f"variables/{index}/.ATTRIBUTES/VARIABLE_VALUE"
        variable = variable_name(name)
        tensors[key] = value.T if variable.endswith("/kernel") else value
        keys[variable] = key
    named = names_in == "bundle"
    tensors[OBJECT_GRAPH] = b"".join(
        field(1, field(2, field(1, "VARIABLE_VALUE") + (field(2, variable) if named else b"") + field(3, key)))
        for variable, key in keys.items()
    )
    index, data = tensor_bundle(tensors)
    nodes: list[bytes] = []
    functions = [function("serving", albert_nodes(shape)), function("small", [])]
    if names_in == "graph":
        for variable in keys:
            nodes.append(node(f"handle of {variable}", "VarHandleOp", shared_name=field(2, variable)))
            nodes.append(node(f"{variable}/Read/ReadVariableOp", "ReadVariableOp", [f"handle of {variable}"]))
        reads = [f"{variable}/Read/ReadVariableOp" for variable in keys]
        call = node("call_1", "StatefulPartitionedCall", ["saver_filename", *reads], f=field(10, field(1, "saving")))
        nodes.append(call)
        strings = b"".join(field(8, key) for key in [*keys.values(), OBJECT_GRAPH])
        names = node("SaveV2/tensor_names", "Const", value=field(8, field(1, 7) + strings))
        functions.append(function("saving", [names]))
    return {
        "saved_model.pb": graph_def(nodes, functions),
        "variables.index": index,
        "variables.data-00000-of-00001": data,
    }


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def metadata(engine: str | None = "tensorflow", class_name: str = CLASS, **params: Any) -> bytes:
    values = {"maxSentenceLength": 512, "caseSensitive": False} | params
    if engine is not None:
        values["engine"] = engine
    defaults = {"maxSentenceLength": 128, "activation": "softmax", "caseSensitive": False}
    document = {
        "class": class_name,
        "sparkVersion": "3.5.9",
        "paramMap": {name: value for name, value in values.items() if value is not None},
        "defaultParamMap": defaults,
    }
    return json.dumps(document).encode() + b"\n"


def saved_model(
    shape: AlbertShape, weights: Mapping[str, Array], *, names_in: str = "bundle", **params: Any
) -> dict[str, bytes]:
    """All files of a model in the TensorFlow form."""
    labels = [java_tuples((label, index)) for index, label in enumerate(shape.labels)]
    return {
        "metadata/part-00000": metadata(**params),
        "metadata/_SUCCESS": b"",
        "albert_spp": (BUNDLED_PATH / PIECES).read_bytes(),
        TENSORFLOW: zipped(tensorflow_files(shape, weights, names_in=names_in), zipfile.ZIP_STORED),
        **{f"fields/labels/part-{index:05}": sequence_file(value) for index, value in enumerate(labels)},
    }


def write_zip(path: Path, files: Mapping[str, bytes], prefix: str = "") -> Path:
    path.write_bytes(zipped({f"{prefix}{name}": data for name, data in files.items()}))
    return path


def write_folder(path: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def floats(*shape: int) -> Array:
    return np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
