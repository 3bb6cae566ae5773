"""The weights of a Hugging Face folder: which of its files hold them, and each weight when it is asked for.

Names and precedence are those of transformers' ``from_pretrained``: ``model.safetensors``, its shards, then
``pytorch_model.bin``, its shards.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from worker.modelkit.convert.shape import CheckpointError
from worker.modelkit.convert.sources.files import read_json
from worker.modelkit.convert.sources.weight_names import by_todays_names

INDEX_ENDING = ".index.json"
MAIN_FILES = (
    "model.safetensors",
    f"model.safetensors{INDEX_ENDING}",
    "pytorch_model.bin",
    f"pytorch_model.bin{INDEX_ENDING}",
)
"""Best first."""
_FOREIGN_FILES = {
    "tf_model.h5": ("TensorFlow", "from_tf"),
    "flax_model.msgpack": ("Flax", "from_flax"),
}
"""What transformers below 5 can turn into safetensors, and its option for it."""


class WeightFile(Protocol):
    """One file of weights."""

    def names(self) -> frozenset[str]:
        """Of all weights in the file."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Of one weight."""

    def read(self, name: str) -> npt.NDArray[Any]:
        """One weight; raises `CheckpointError` for a type that is no float."""


class StoredWeights(Mapping[str, npt.NDArray[Any]]):
    """Weights by today's names. Each is read anew whenever it is asked for, so keep what you read."""

    def __init__(self, places: Mapping[str, tuple[WeightFile, str]], files: tuple[str, ...]) -> None:
        self._places = places
        self.files = files
        """Names of all files that hold them, the index included."""

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a weight, without reading it; raises KeyError."""
        file, stored_name = self._places[name]
        return file.shape(stored_name)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        file, stored_name = self._places[name]
        return file.read(stored_name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def main_file(names: Collection[str]) -> str:
    """The best of the files `names` to read weights from, or its index.

    Raises `CheckpointError`, with what to do, where none can be read.
    """
    for name in MAIN_FILES:
        if name in names:
            return name
    for name, (library, option) in _FOREIGN_FILES.items():
        if name in names:
            raise CheckpointError(
                f"only {library} weights are here ({name}); save them as safetensors once, with transformers below 5:"
                f" AlbertForSequenceClassification.from_pretrained(DIR, {option}=True).save_pretrained(DIR)"
            )
    if "adapter_config.json" in names:
        raise CheckpointError("only an adapter is here (adapter_config.json); merge it into its model and save that")
    raise CheckpointError(f"no weights are here: none of {', '.join(MAIN_FILES)}")


def open_weights(folder: Path) -> StoredWeights:
    """Find the weights of `folder`; of safetensors only the headers are read.

    Raises `CheckpointError`, one line that names the file.
    """
    try:
        main = main_file({path.name for path in folder.iterdir()})
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    if main.endswith(INDEX_ENDING):
        return _open_shards(folder, main)
    file = _open_file(folder / main)
    return _by_todays_names(folder / main, dict.fromkeys(file.names(), file), (main,))


def _open_shards(folder: Path, index: str) -> StoredWeights:
    shard_of = _read_index(folder / index)
    shards = tuple(sorted(set(shard_of.values())))
    for shard in shards:
        if not (folder / shard).is_file():
            raise CheckpointError(f"{folder / shard}: missing; {index} names it, so the checkpoint is not whole")
    files = {shard: _open_file(folder / shard) for shard in shards}
    for name, shard in shard_of.items():
        if name not in files[shard].names():
            raise CheckpointError(f"{folder / shard}: weight {name} is missing; {index} says that it is in this file")
    return _by_todays_names(folder / index, {name: files[shard] for name, shard in shard_of.items()}, (index, *shards))


def _read_index(path: Path) -> dict[str, str]:
    """Weight -> file. The format is transformers': ``{"metadata": {}, "weight_map": {weight: file name}}``."""
    shard_of = read_json(path).get("weight_map")
    if not isinstance(shard_of, dict) or not shard_of:
        raise CheckpointError(f"{path}: weight_map is missing; it says which file holds each weight")
    ending = ".bin" if path.name.startswith("pytorch") else ".safetensors"
    for name, shard in shard_of.items():
        if not isinstance(shard, str) or not _is_plain_name(shard) or not shard.endswith(ending):
            raise CheckpointError(
                f"{path}: weight {name} is said to be in {shard!r}, which is no {ending} file of this folder"
            )
    return shard_of


def _is_plain_name(name: str) -> bool:
    return not any(character in name for character in "/\\:\0") and name not in ("", ".", "..")


def _open_file(path: Path) -> WeightFile:
    if path.suffix == ".safetensors":
        from worker.modelkit.convert.sources.safetensors_file import SafetensorsFile

        return SafetensorsFile(path)
    from worker.modelkit.convert.sources.torch_file import TorchFile

    return TorchFile(path)


def _by_todays_names(path: Path, file_of: Mapping[str, WeightFile], files: tuple[str, ...]) -> StoredWeights:
    try:
        names = by_todays_names(file_of)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return StoredWeights({today: (file_of[stored], stored) for today, stored in names.items()}, files)
