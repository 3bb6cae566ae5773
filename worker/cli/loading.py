"""Settings out of options and environment, with errors that a person can act on."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from worker.cli.described import DescribedSetting, described_settings
from worker.errors import UsageError
from worker.settings import ENVIRONMENT_PREFIX, Settings

_KUBERNETES_LINK = re.compile(r"(SERVICE_(HOST|PORT)(_.+)?|PORT_\d+_(TCP|UDP)(_.+)?)")
"""In the namespace of a Kubernetes service called reviews-worker every container is given such variables."""


def load_settings(options: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """The settings, with `options` (by the name of the setting) before the environment.

    Raises `UsageError` with one line for each wrong value.
    """
    try:
        return Settings(**options)
    except ValidationError as error:
        raise UsageError("\n".join(_lines(error, options, environment))) from None


def unknown_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """One line for each variable with our prefix that sets nothing, with the closest one that does."""
    known = [variable for setting in described_settings() for variable in setting.variables]
    for variable in environment:
        upper = variable.upper()
        suffix = upper.removeprefix(ENVIRONMENT_PREFIX)
        if upper == suffix or upper in known or _KUBERNETES_LINK.fullmatch(suffix):
            continue
        closest = difflib.get_close_matches(upper, known, n=1, cutoff=0.0)
        yield f"{variable} sets nothing and is ignored; did you mean {closest[0]}?"


def _lines(error: ValidationError, options: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[str]:
    settings = list(described_settings())
    by_place = {place: setting for setting in settings for place in (setting.name, *setting.variables)}
    for fault in error.errors():
        place = str(fault["loc"][0]) if fault["loc"] else ""
        message = fault["msg"].removeprefix("Value error, ")
        setting = by_place.get(place)
        if setting is None:
            yield message + _sources(message, settings, options, environment)
        else:
            detail = f" ({message})" if fault["type"] == "value_error" else ""
            origin = _origin(setting, options, environment) or setting.name
            yield f"{origin}={fault['input']}: {setting.allowed} is needed{detail}"


def _origin(setting: DescribedSetting, options: Mapping[str, Any], environment: Mapping[str, str]) -> str | None:
    """The option or the variable that set it; None where the default holds."""
    if setting.name in options:
        return setting.option.split(" ", 1)[0]
    present = {variable.upper(): variable for variable, value in environment.items() if value}
    return next((present[variable] for variable in setting.variables if variable in present), None)


def _sources(
    message: str, settings: list[DescribedSetting], options: Mapping[str, Any], environment: Mapping[str, str]
) -> str:
    """Where the settings that a message names were set."""
    named = set(re.findall(r"\w+", message))
    origins = [_origin(setting, options, environment) for setting in settings if setting.name in named]
    found = [origin for origin in origins if origin]
    return f" (set by {', '.join(found)})" if found else ""
