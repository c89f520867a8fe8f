"""What is said of a mistake in an experiment: one line that names the field, the value and the mend."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
URL = r"^https?://[^@\s]+$"
VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
REPOSITORY = r"^[^/\s]+/[^/\s]+$"
_IN_WORDS = {
    NAME: "take letters, digits, dot, dash and underscore only, at most 63 of them, a letter or digit first",
    URL: "write a URL such as https://host/v1, without a key or password in it",
    VARIABLE: "write the name of an environment variable, such as MY_KEY",
    REPOSITORY: "write organisation/name",
}
"""Pattern -> what to do where a text does not match it."""


class ExperimentError(ValueError):
    """An experiment that cannot be run as written."""


def did_you_mean(word: str, known: Mapping[str, Any] | Sequence[str]) -> str:
    """The end of a message about an unknown name: the known one that is near it, or all."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def validated(kind: type[Any], tree: Any, where: str = "") -> Any:
    """The model of `kind` that the tree describes. Raises ExperimentError; `where`: field that the tree stands at."""
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise ExperimentError("; ".join(_explain(each, kind, where) for each in error.errors())) from None


def _explain(error: Any, kind: type[BaseModel], where: str) -> str:
    path = [str(part) for part in error["loc"]]
    field = ".".join([where, *path] if where else path)
    if error["type"] == "extra_forbidden":
        known = _fields_at(kind, path[:-1])
        return f"{field}: unknown field{did_you_mean(path[-1], known) if known else ''}"
    if error["type"] == "missing":
        return f"{field}: is missing"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error":
        return f"{field}: {message}" if field else str(message)
    if error["type"] == "string_pattern_mismatch":
        message = _IN_WORDS[error["ctx"]["pattern"]]
    elif error["type"] == "tuple_type":
        message = "write a list, such as [a, b]"
    elif error["type"] in ("dict_type", "model_type"):
        fields = ", ".join(_fields_at(kind, path))
        message = f"write a mapping{f' of its fields ({fields})' if fields else ', such as {name: value}'}"
    got = re.sub(r"//[^/]*@", "//***@", repr(error["input"]))  # a password in an address
    return f"{field}: {message} (got {got})"


def _fields_at(kind: Any, path: Sequence[str]) -> list[str]:
    """Field names of the model that `path` leads to; none where it leads to no model."""
    if get_origin(kind) in (Union, UnionType):
        kind = next((each for each in get_args(kind) if each is not NoneType), None)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if not path:
            return list(kind.model_fields)
        return _fields_at(kind.model_fields[path[0]].annotation, path[1:]) if path[0] in kind.model_fields else []
    if get_origin(kind) in (dict, tuple) and path:  # of a name or a place
        return _fields_at([each for each in get_args(kind) if each is not Ellipsis][-1], path[1:])
    return []
