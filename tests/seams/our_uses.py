"""Which private names of other packages `worker/` uses, collected from its source and its classes."""

from __future__ import annotations

import ast
import functools
import importlib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from tests.seams.library import LIBRARIES, bound_in, library_classes

ROOT = Path(__file__).resolve().parents[2]
WORKER = ROOT / "worker"
GIVEN = ("_abc_impl", "_is_protocol", "logger")
"""To every class of its kind: by abc, by typing, by mode."""
OUR_DUNDERS = ("__next__", "__post_init__")
"""Of the others, Python itself gives most to a class, and calls what is defined."""


class Use(NamedTuple):
    """A name that a file of ours uses of an object that may not be ours."""

    file: str
    name: str


def is_private(name: str) -> bool:
    """Whether a name begins with one underscore, or is a dunder of nobody but its library."""
    return name.startswith("_") and not name.startswith("__")


@functools.cache
def trees() -> dict[str, ast.Module]:
    """The parsed files of `worker/`, by their path from the root."""
    files = sorted(WORKER.rglob("*.py"))
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in files}


def touches_a_library(tree: ast.Module) -> bool:
    """Whether a file imports one of the libraries, at its top or in a function."""
    return any(_library_of(node) for node in ast.walk(tree))


def reached(trees_of: dict[str, ast.Module]) -> set[Use]:
    """Private attributes of objects other than `self` and `cls`, private imports, and private names as text."""
    uses: set[Use] = set()
    for file, tree in trees_of.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and is_private(node.attr) and not _is_own(node.value):
                uses.add(Use(file, node.attr))
            elif isinstance(node, ast.ImportFrom) and _library_of(node):
                uses.update(Use(file, alias.name) for alias in node.names if is_private(alias.name))
            elif isinstance(node, ast.Call) and (name := _named_as_text(node)):
                uses.add(Use(file, name))
    return uses


def replaced(trees_of: dict[str, ast.Module]) -> set[Use]:
    """Attributes that are set on objects other than `self` and `cls`, in files that import a library."""
    uses: set[Use] = set()
    for file, tree in trees_of.items():
        for node in ast.walk(tree) if touches_a_library(tree) else ():
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and not _is_own(node.value):
                uses.add(Use(file, node.attr))
            elif isinstance(node, ast.Call) and _name_of(node.func) == "setattr" and (name := _text_in(node)):
                uses.add(Use(file, name))
    return uses


def overridden() -> set[Use]:
    """What our subclasses of the libraries' classes define anew."""
    return {
        Use(file, name)
        for file, own in _subclasses()
        for name in own.__dict__
        if name not in GIVEN and (not name.startswith("__") or name in OUR_DUNDERS)
        if any(name in base.__dict__ for base in library_classes(own))
    }


def inherited() -> set[Use]:
    """Private names that our subclasses of the libraries' classes use of themselves, and do not define."""
    uses: set[Use] = set()
    for file, own in _subclasses():
        node = next(
            each for each in ast.walk(trees()[file]) if isinstance(each, ast.ClassDef) and each.name == own.__name__
        )
        mine = [each for each in ast.walk(node) if isinstance(each, ast.Attribute) and _is_own(each.value)]
        bound = {each.attr for each in mine if isinstance(each.ctx, ast.Store)}
        bound |= {name for base in own.__mro__ if _is_ours(base) for name in (*base.__dict__, *_annotated(base))}
        # What the libraries set on themselves stays theirs, though we may set it, or say its type, as well.
        bound -= {name for base in library_classes(own) for name in bound_in(base)}
        uses |= {Use(file, each.attr) for each in mine if is_private(each.attr) and each.attr not in bound}
    return uses


def mentions(use: Use) -> bool:
    """Whether a file of ours has the name at all: as an attribute, an import, a definition or as text."""
    return use.name in _names_in(use.file)


@functools.cache
def _names_in(file: str) -> frozenset[object]:
    names = set()
    for node in ast.walk(trees()[file]):
        names |= {getattr(node, kind, None) for kind in ("attr", "name", "id", "arg")}
        if isinstance(node, ast.Constant):
            names.add(node.value)
    return frozenset(names)


def subclasses() -> list[type]:
    """Our classes that inherit from one of the libraries'."""
    return [own for _, own in _subclasses()]


def not_importable() -> dict[str, str]:
    """Files whose classes are not known, as they cannot be imported with the libraries that are installed; and why."""
    return {
        file: f"{type(module).__name__}: {module}" for file, module in _modules() if isinstance(module, ImportError)
    }


@functools.cache
def _subclasses() -> tuple[tuple[str, type], ...]:
    found = []
    for file, module in _modules():
        classes = {each for each in vars(module).values() if isinstance(each, type)}
        mine = (each for each in classes if each.__module__ == getattr(module, "__name__", None))
        found += [(file, each) for each in sorted(mine, key=lambda each: each.__name__) if library_classes(each)]
    return tuple(found)


@functools.cache
def _modules() -> tuple[tuple[str, ModuleType | ImportError], ...]:
    """The files that import a library and have a class that inherits from anything, imported."""
    found: list[tuple[str, ModuleType | ImportError]] = []
    for file, tree in trees().items():
        if touches_a_library(tree) and any(isinstance(node, ast.ClassDef) and node.bases for node in ast.walk(tree)):
            try:
                found.append((file, importlib.import_module(file.removesuffix(".py").replace("/", "."))))
            except ImportError as error:
                found.append((file, error))
    return tuple(found)


def _annotated(base: type) -> Iterable[str]:
    return getattr(base, "__annotations__", {})


def _is_ours(base: type) -> bool:
    return base.__module__.partition(".")[0] == "worker"


def _is_own(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


def _library_of(node: ast.AST) -> bool:
    modules: list[str] = []
    if isinstance(node, ast.ImportFrom):
        modules = [node.module or ""]
    elif isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    return any(module.partition(".")[0] in LIBRARIES for module in modules)


def _named_as_text(node: ast.Call) -> str | None:
    """The private name in ``getattr(x, "_name")`` and its kin."""
    name = _text_in(node) if _name_of(node.func) in ("getattr", "setattr", "hasattr", "delattr") else None
    return name if name and is_private(name) else None


def _name_of(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else ""


def _text_in(node: ast.Call) -> str | None:
    texts = [each.value for each in node.args[1:2] if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    return texts[0] if texts else None
