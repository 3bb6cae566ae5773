"""The settings as people meet them: option, variable, default, what is allowed and what it means."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import AliasChoices
from pydantic.fields import FieldInfo

from worker.settings import BUNDLED, ENVIRONMENT_PREFIX, Allowed, Settings


@dataclass(frozen=True, slots=True)
class DescribedSetting:
    """One setting in words."""

    name: str
    section: str
    """Heading that it belongs under."""
    option: str
    """``--name``; a switch is ``--name / --no-name``."""
    variables: tuple[str, ...]
    """Environment variables that set it; the first one counts."""
    default: str
    allowed: str
    meaning: str
    metavar: str
    """The kind of value, in capitals, as ``--help`` shows it."""
    is_switch: bool


def described_settings() -> Iterator[DescribedSetting]:
    """Every setting, in the order of declaration."""
    for name, info in Settings.model_fields.items():
        dashed = name.replace("_", "-")
        is_switch = info.annotation is bool
        yield DescribedSetting(
            name=name,
            section=_section(name),
            option=f"--{dashed} / --no-{dashed}" if is_switch else f"--{dashed}",
            variables=_variables(name, info),
            default=_default(info.default),
            allowed=_allowed(info),
            meaning=info.description or "",
            metavar=_metavar(info),
            is_switch=is_switch,
        )


def environment_of(settings: Settings) -> dict[str, str]:
    """The variables that give another process these settings."""
    values = {setting: getattr(settings, setting.name) for setting in described_settings()}
    return {setting.variables[0]: _as_given(value) for setting, value in values.items() if value is not None}


def _as_given(value: object) -> str:
    if value == Path(BUNDLED):
        return f"./{BUNDLED}"  # a folder, and not the word
    return str(value)


def _section(name: str) -> str:
    declared_in = next(part for part in Settings.__mro__ if name in inspect.get_annotations(part))
    return (declared_in.__doc__ or "").strip().rstrip(".")


def _variables(name: str, info: FieldInfo) -> tuple[str, ...]:
    if isinstance(info.validation_alias, AliasChoices):
        return tuple(str(choice) for choice in info.validation_alias.choices)
    return (ENVIRONMENT_PREFIX + name.upper(),)


def _default(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.12g}"
    return str(value)


def _allowed(info: FieldInfo) -> str:
    for item in info.metadata:
        if isinstance(item, Allowed):
            return item.text
    kind = _without_none(info.annotation)
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    if kind is bool:
        return "true or false"
    if kind in (int, float):
        return ("a whole number" if kind is int else "a number") + _bounds(info)
    return "a path" if kind is Path else "text that is not empty"


def _bounds(info: FieldInfo) -> str:
    bounds: dict[type, Any] = {type(item): item for item in info.metadata}
    lowest, above, highest = (bounds.get(kind) for kind in (annotated_types.Ge, annotated_types.Gt, annotated_types.Le))
    text = f" from {_number(lowest.ge)}" if lowest else f" above {_number(above.gt)}" if above else ""
    return text + (f" to {_number(highest.le)}" if highest else "")


def _number(value: object) -> str:
    return _default(float(value)) if isinstance(value, int | float) else str(value)


def _metavar(info: FieldInfo) -> str:
    kind = _without_none(info.annotation)
    if get_origin(kind) is Literal:
        return f"[{'|'.join(map(str, get_args(kind)))}]"
    return {bool: "", int: "INTEGER", float: "NUMBER", Path: "PATH"}.get(kind, "TEXT")


def _without_none(annotation: Any) -> Any:
    """The type itself of an optional one."""
    if get_origin(annotation) in (types.UnionType, Union):
        return next(part for part in get_args(annotation) if part is not type(None))
    return annotation
