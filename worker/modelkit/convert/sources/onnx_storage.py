"""Reading an ONNX file, with the data that it keeps in other files of its folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import onnx
from onnx import TensorProto

from worker.modelkit.convert.shape import CheckpointError
from worker.modelkit.convert.sources.files import sha256_of
from worker.modelkit.convert.sources.onnx_proof import LARGEST_MODEL, first_line

_TOO_LARGE = (
    "more than 2 GB of weights, which one ONNX file cannot hold; ALBERT's layers share their weights, so export it"
    " again such that they are stored once"
)


def read_model(path: Path) -> tuple[onnx.ModelProto, dict[str, str]]:
    """The model in the file `path`, all its data inside, and the SHA-256 of each file that was read, by its name.

    Raises `CheckpointError`, one line that names the file.
    """
    try:
        if path.stat().st_size > LARGEST_MODEL:
            raise CheckpointError(f"{path}: {_TOO_LARGE}")
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: not readable ({error.strerror})") from error
    try:
        model = onnx.ModelProto.FromString(content)
    except Exception as error:  # protobuf's implementations raise different ones
        raise CheckpointError(f"{path}: not an ONNX model, or not a whole one ({first_line(error)})") from error
    if not model.graph.node:
        raise CheckpointError(f"{path}: not an ONNX model, or not a whole one (it has no graph)")
    files = {path.name: hashlib.sha256(content).hexdigest()}
    del content
    names = _load_outside_data(path, model)
    return model, files | {name: sha256_of(path.parent / name) for name in names}


def _load_outside_data(path: Path, model: onnx.ModelProto) -> list[str]:
    """Bring data from the files that tensors point to into `model`; answers the names of these files."""
    names: dict[str, None] = {}
    size = 0
    for tensor in _tensors(model):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        name = _safe_name(path, entries.get("location", ""))
        try:
            offset, length = int(entries.get("offset", "0")), int(entries.get("length", "-1"))
            with (path.parent / name).open("rb") as file:
                if length < 0:
                    length = (path.parent / name).stat().st_size - offset
                size += length
                if size > LARGEST_MODEL:
                    raise CheckpointError(f"{path}: {_TOO_LARGE}")
                file.seek(offset)
                data = file.read(length)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "its place is none"
            raise CheckpointError(
                f"{path}: its weights are in {name!r} beside it, which cannot be read ({reason})"
            ) from error
        if len(data) != length:
            raise CheckpointError(f"{path}: its weights are in {name!r} beside it, which has been cut off")
        names[name] = None
        tensor.raw_data = data
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]
    return list(names)


def _safe_name(path: Path, location: str) -> str:
    """`location` where it stays inside the folder of `path`."""
    pure = PurePosixPath(location)
    if not location or pure.is_absolute() or ".." in pure.parts or "\\" in location or ":" in location:
        raise CheckpointError(f"{path}: points to data outside of its folder ({location!r}), which is not read")
    return str(pure)


def _tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield attribute.t
