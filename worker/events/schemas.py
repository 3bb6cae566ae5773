"""The published contract: JSON Schemas of the three events, and the AsyncAPI document of the three channels.

A wheel carries them inside the package; a checkout has them in ``schemas/`` beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from worker.errors import UsageError

SCHEMA_FILES = {
    "review": "review.schema.json",
    "classified-review": "classified-review.schema.json",
    "dead-letter": "dead-letter.schema.json",
    "asyncapi": "asyncapi.yaml",
}
"""Files by name; ``asyncapi`` is YAML, the others are JSON Schema 2020-12."""

_PACKAGE = Path(__file__).parents[1]


def schema_text(name: str) -> str:
    """Return the text of one of `SCHEMA_FILES`. Raises `UsageError` for another name or when the file is missing."""
    if name not in SCHEMA_FILES:
        raise UsageError(f"no schema is called {name!r}; choose from {', '.join(SCHEMA_FILES)}")
    for folder in (_PACKAGE / "_schemas", _PACKAGE.parent / "schemas"):
        path = folder / SCHEMA_FILES[name]
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise UsageError(f"schema {SCHEMA_FILES[name]} is missing from the installation; install reviews-worker again")


def load_schema(name: str) -> dict[str, Any]:
    """Return one of the JSON Schemas, parsed. Raises `UsageError` as `schema_text`, and for ``asyncapi``."""
    text = schema_text(name)
    if not SCHEMA_FILES[name].endswith(".json"):
        raise UsageError(f"{name!r} is not a JSON Schema")
    schema: dict[str, Any] = orjson.loads(text)
    return schema
