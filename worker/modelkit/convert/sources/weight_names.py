"""The names that ALBERT's weights have had over the years, brought to today's."""

from __future__ import annotations

from collections.abc import Iterable

from worker.modelkit.convert.shape import CheckpointError

_WRAPPERS = ("module.", "_orig_mod.", "model.")
"""What data parallelism, compilation and training frameworks put before a name."""
_PARTS_OF_THE_ENCODER = ("embeddings.", "encoder.", "pooler.")
"""They come without ``albert.`` where the encoder was saved by itself."""
_ENDINGS = ((".gamma", ".weight"), (".beta", ".bias"))
"""TensorFlow's words for the scale and the shift of a normalisation."""


def todays_name(stored: str) -> str:
    """The name that transformers gives a weight today, for the name that a file gives it."""
    name = stored
    while wrapper := next((wrapper for wrapper in _WRAPPERS if name.startswith(wrapper)), None):
        name = name.removeprefix(wrapper)
    if name.startswith(_PARTS_OF_THE_ENCODER):
        name = f"albert.{name}"
    for old, new in _ENDINGS:
        if name.endswith(old):
            name = name.removesuffix(old) + new
    return name


def by_todays_names(stored: Iterable[str]) -> dict[str, str]:
    """Today's name of each stored one -> the stored one.

    Raises `CheckpointError` where two are the same weight by two names: either may be the wrong one.
    """
    names: dict[str, str] = {}
    for name in stored:
        other = names.setdefault(todays_name(name), name)
        if other != name:
            raise CheckpointError(f"weights {other} and {name} are two values of one weight; remove the stale one")
    return names
