"""``python deploy/helm/settings_schema.py``: the part of the chart's schema that knows the worker's settings.

It is made from `worker.settings` and takes the place of ``properties.settings`` in ``values.schema.json``; everything
else in that file is written by hand. With ``--check`` nothing is written, and the exit code is 1 when the file is not
what it would become.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from worker.cli.described import described_settings
from worker.settings import Settings

SCHEMA_FILE = Path(__file__).parent / "reviews-worker" / "values.schema.json"
_KEPT = ("enum", "pattern", "not", "minLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def settings_schema() -> dict[str, Any]:
    """The JSON Schema (draft 7) of the value ``settings``; raises `ValueError` for what it cannot say."""
    described = {setting.name: setting for setting in described_settings()}
    properties = Settings.model_json_schema(by_alias=False)["properties"]
    return {
        "type": "object",
        "description": "Settings of the worker, by their names in docs/settings.md.",
        "additionalProperties": False,
        "properties": {
            name: {"description": _sentence(described[name].meaning), **_type_of(name, schema)}
            for name, schema in properties.items()
        },
    }


def _sentence(meaning: str) -> str:
    return meaning.replace("``", "`")


def _type_of(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Type and bounds. A file and a choice are strings; an optional setting is left out rather than null."""
    if "anyOf" in schema:
        kinds = [kind for kind in schema["anyOf"] if kind.get("type") != "null"]
        if len(kinds) != 1:
            raise ValueError(f"{name} has {len(kinds)} types, and this script knows what to do with one")
        schema = kinds[0]
    if "type" not in schema:
        raise ValueError(f"{name} has no type in {schema}")
    chosen = {"type": schema["type"], **{key: schema[key] for key in _KEPT if key in schema}}
    if "pattern" in chosen:
        chosen |= _without_look_ahead(chosen.pop("pattern"))
    return chosen


def _without_look_ahead(pattern: str) -> dict[str, Any]:
    """Helm's regular expressions (RE2) have no look-ahead: what it forbids at the start becomes a ``not``."""
    forbidden = re.findall(r"\(\?!([^)]*)\)", pattern)
    allowed = re.sub(r"\(\?![^)]*\)", "", pattern)
    if "(?" in allowed:
        raise ValueError(f"{pattern} has no counterpart in RE2")
    return {"pattern": allowed} | ({"not": {"pattern": f"^({'|'.join(forbidden)})"}} if forbidden else {})


def renewed(text: str) -> str:
    """The text of the schema file with the settings as they are now."""
    schema = json.loads(text)
    schema["properties"]["settings"] = settings_schema()
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Renew the file, or check it; answers the exit code."""
    text = SCHEMA_FILE.read_text(encoding="utf-8")
    if renewed(text) == text:
        return 0
    if "--check" in arguments:
        sys.stderr.write(f"stale: {SCHEMA_FILE}; run python deploy/helm/settings_schema.py\n")
        return 1
    SCHEMA_FILE.write_text(renewed(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
