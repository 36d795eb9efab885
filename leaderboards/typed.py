"""Read JSON values as frozen dataclasses, checked against the types of their fields."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def typed(kind: Any, value: Any, name: str) -> Any:
    """Return a JSON value as a `kind`; entries that a dataclass has no field for are ignored.

    Args:
        kind: a dataclass, or a type built from str, int, float, Any, Literal, None, tuple, Sequence and Mapping.
        value: a value that `json.loads` returned.
        name: the value's name in messages.

    Raises:
        KeyError: an object lacks a field that has no default.
        TypeError: a value has another type.
    """
    parts = get_args(kind)
    match get_origin(kind):
        case origin if origin in (Union, UnionType):
            (kind,) = (part for part in parts if part is not NoneType)
            return None if value is None else typed(kind, value, name)
        case origin if origin is Literal:
            if value in parts:
                return value
        case origin if origin is Mapping:
            if isinstance(value, dict):
                return {key: typed(parts[1], each, f"{name}.{key}") for key, each in value.items()}
        case origin if origin in (Sequence, tuple):
            if isinstance(value, list) and (origin is Sequence or len(value) == len(parts)):
                return tuple(typed(parts[0], each, f"{name}[{number}]") for number, each in enumerate(value))
        case _ if is_dataclass(kind):
            if isinstance(value, dict):
                return _dataclass(kind, value, name)
        case _ if kind is Any:
            return value
        case _ if kind is float and type(value) in (int, float):
            return float(value)
        case _ if isinstance(value, kind) and not isinstance(value, bool):
            return value
    raise TypeError(f"{name} is not {_described(kind)}")


def _dataclass(kind: Any, value: Mapping[str, Any], name: str) -> Any:
    hints, prefix = get_type_hints(kind), f"{name}." if name else ""
    known = {}
    for field in fields(kind):
        if field.name in value:
            known[field.name] = typed(hints[field.name], value[field.name], f"{prefix}{field.name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise KeyError(f"{prefix}{field.name}")
    return kind(**known)


def _described(kind: Any) -> str:
    """Return the type in words: "a number", "one of 'lower', 'higher'"."""
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(repr, get_args(kind)))}"
    plain = {str: "a string", float: "a number", int: "a whole number"}
    return plain.get(kind, "a list" if get_origin(kind) in (Sequence, tuple) else "an object")
