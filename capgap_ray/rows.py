"""The one way between records and the plain dictionaries that Parquet and JSON hold. Standard library only."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union

R = TypeVar("R")


def to_row(record: Any) -> dict[str, Any]:
    """Return a record as plain dictionaries, lists and scalars."""
    return dataclasses.asdict(record)


def from_row(kind: type[R], row: Mapping[str, Any]) -> R:
    """Rebuild a record of `kind` from `to_row`'s dictionary.

    Raises ValueError that names the record and the field on a missing, unknown or mistyped field;
    nothing is coerced except whole numbers to float and lists to tuples.
    """
    fields = _fields(kind)  # type: ignore[arg-type]
    unknown = sorted(set(row) - set(fields))
    if unknown:
        raise ValueError(f"{kind.__name__}: unknown field {unknown[0]!r}; known: {', '.join(fields)}")
    values = {}
    for name, (hint, required, plain, words) in fields.items():
        if name in row:
            value = row[name]
            # The plain cases first: reports read hundreds of thousands of rows.
            if type(value) in plain or (type(value) is str and value in words):
                values[name] = value
            else:
                values[name] = _decode(hint, value, f"{kind.__name__}.{name}")
        elif required:
            raise ValueError(f"{kind.__name__}: field {name!r} is missing")
    return kind(**values)


@functools.cache
def _fields(kind: type) -> dict[str, tuple[Any, bool, frozenset[type], frozenset[str]]]:
    """Field -> (type, whether it must be given, types and words that need no decoding)."""
    hints = typing.get_type_hints(kind)
    found = {}
    for each in dataclasses.fields(kind):
        hint = hints[each.name]
        args = typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)
        plain = frozenset(arg for arg in args if arg in (str, int, float, bool, types.NoneType))
        words = frozenset(typing.get_args(hint)) if typing.get_origin(hint) is Literal else frozenset()
        found[each.name] = (hint, each.default is dataclasses.MISSING, plain, words)
    return found


def _decode(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value in args:
            return value
    elif origin in (Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _decode(next(arg for arg in args if arg is not type(None)), value, where)
    elif origin is tuple:
        if isinstance(value, (list, tuple)):
            return tuple(_decode(args[0], item, where) for item in value)
    elif origin is dict:
        if isinstance(value, Mapping):
            return {str(key): _decode(args[1], item, where) for key, item in value.items()}
    elif dataclasses.is_dataclass(hint):
        if isinstance(value, Mapping):
            return from_row(hint, value)  # type: ignore[arg-type]
    elif hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise ValueError(f"{where}: {value!r} is not a {hint if origin else hint.__name__}")
