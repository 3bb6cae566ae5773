"""What the source of an installed library says of a name: who has it, and who uses it."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
from collections.abc import Iterator
from types import ModuleType

from tests.seams.private_names import How, PrivateName

LIBRARIES = ("aiokafka", "faust", "mode")


def fault_of(private: PrivateName) -> str | None:
    """What is wrong with a name in the installed libraries, in words; None where all is as our code expects it."""
    try:
        module, owner = _owner(private.owner)
        user = importlib.import_module(private.used_in) if private.used_in else None
    except (ImportError, AttributeError) as error:
        return f"{private.owner} or {private.used_in or 'a part of it'} is gone: {error}"
    classes = library_classes(owner) if owner else []
    if not (any(private.name in bound_in(each) for each in classes) if owner else hasattr(module, private.name)):
        return f"{private.owner} has no {private.name}"
    if user:
        used = private.name in _loaded_in(user)
    elif owner:
        used = private.how is How.PROVIDED or any(private.name in _loaded_of_self(each) for each in classes)
    else:
        used = private.name in _globals_read(module, in_functions=private.how is How.REPLACED)
    return None if used else f"{private.used_in or private.owner} does not use {private.name} ({private.how.value})"


def _owner(place: str) -> tuple[ModuleType, type | None]:
    name, _, class_name = place.partition(":")
    module = importlib.import_module(name)
    return module, getattr(module, class_name) if class_name else None


def library_classes(owner: type) -> list[type]:
    """It and what it inherits from, as far as that is of the libraries."""
    return [each for each in owner.__mro__ if each.__module__.partition(".")[0] in LIBRARIES]


@functools.cache
def _tree_of(place: type | ModuleType) -> ast.AST:
    if isinstance(place, ModuleType):
        return ast.parse(inspect.getsource(place))
    tree = _tree_of(importlib.import_module(place.__module__))
    (definition,) = (each for each in ast.walk(tree) if isinstance(each, ast.ClassDef) and each.name == place.__name__)
    return definition


@functools.cache
def bound_in(owner: type) -> frozenset[str]:
    """What the body of a class defines or declares, and what its methods set on `self`."""
    definition = _tree_of(owner)
    assert isinstance(definition, ast.ClassDef)
    names = set()
    for node in definition.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    for node in ast.walk(definition):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value):
            names.add(node.attr)
    return frozenset(names)


@functools.cache
def _loaded_of_self(owner: type) -> frozenset[str]:
    """The attributes that a class reads, or calls, of `self`."""
    return frozenset(node.attr for node in _attributes_read(owner) if _is_self(node.value))


@functools.cache
def _loaded_in(module: ModuleType) -> frozenset[str]:
    """The attributes that a module reads, or calls, of anything; ``super().name`` is no use of a name."""
    return frozenset(node.attr for node in _attributes_read(module) if not _is_super(node.value))


def _attributes_read(place: type | ModuleType) -> Iterator[ast.Attribute]:
    for node in ast.walk(_tree_of(place)):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node


@functools.cache
def _globals_read(module: ModuleType, *, in_functions: bool) -> frozenset[str]:
    """The names that a module reads as globals: anywhere, or where it counts when they are replaced, in functions."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = _tree_of(module)
    # Not the defaults of arguments nor decorators: these are read once, when the module is imported.
    bodies = [each.body for each in ast.walk(tree) if isinstance(each, functions)] if in_functions else [[tree]]
    names: set[str] = set()
    for body in bodies:
        named = [node for part in body for node in ast.walk(part) if isinstance(node, ast.Name)]
        own = {node.id for node in named if not isinstance(node.ctx, ast.Load)} if in_functions else set()
        names |= {node.id for node in named if isinstance(node.ctx, ast.Load)} - own
    return frozenset(names)


def _is_self(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


def _is_super(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "super"
