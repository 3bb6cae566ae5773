"""The scenarios, by theme."""

from __future__ import annotations

import importlib
import pkgutil


def load_all() -> None:
    """Import every module here, which puts its scenarios, or its broken workers, on the list."""
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        importlib.import_module(f"{__name__}.{module.name}")
