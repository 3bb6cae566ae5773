"""Every setting of the worker, and the rules that they have to follow."""

from worker.settings.settings import (
    BUNDLED,
    DEFAULT_PORT,
    ENVIRONMENT_PREFIX,
    Allowed,
    Codec,
    LogFormat,
    ModelSettings,
    SecuritySettings,
    Settings,
)

__all__ = [
    "BUNDLED",
    "DEFAULT_PORT",
    "ENVIRONMENT_PREFIX",
    "Allowed",
    "Codec",
    "LogFormat",
    "ModelSettings",
    "SecuritySettings",
    "Settings",
]
