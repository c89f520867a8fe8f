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


_ELSEWHERE = {
    "bf16": "sft.precision",
    "cutoff_len": "sft.cutoff_tokens",
    "finetuning_type": "sft.method",
    "gpu_memory_utilization": "resources.engine_memory_share",
    "gradient_accumulation_steps": "sft.batch",
    "lora_rank": "sft.lora.rank",
    "max_new_tokens": "sampling.max_tokens",
    "num_train_epochs": "sft.epochs",
    "per_device_train_batch_size": "sft.batch",
    "tensor_parallel_size": "resources.parallel",
}
"""What vLLM's, transformers' and LLaMA-Factory's users write -> our field."""


def did_you_mean(word: str, known: Mapping[str, Any] | Sequence[str]) -> str:
    """The end of a message about an unknown name: the known one that it abbreviates or is near to, or all."""
    initials = [name for name in known if "_" in name and word == "".join(part[:1] for part in name.split("_"))]
    close = initials or difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def validated(kind: type[Any], tree: Any, where: str = "") -> Any:
    """The model of `kind` that the tree describes. Raises ExperimentError; `where`: field that the tree stands at."""
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        found = error.errors()
        # A list whose one entry is wrong is to pydantic too short as well.
        found = [each for each in found if each["type"] != "too_short" or not _below(each["loc"], found)]
        raise ExperimentError("; ".join(_explain(each, kind, where) for each in found)) from None


def _below(place: tuple[int | str, ...], errors: Sequence[Any]) -> bool:
    """Whether there are errors within the field at that place."""
    return any(len(each["loc"]) > len(place) and each["loc"][: len(place)] == place for each in errors)


def _explain(error: Any, kind: type[BaseModel], where: str) -> str:
    path = [str(part) for part in error["loc"]]
    field = ".".join([where, *path] if where else path)
    if error["type"] == "extra_forbidden":
        return f"{field}: unknown field{_meant(kind, path)}"
    if error["type"] == "missing":
        return f"{field}: is missing"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error":
        of_field = field and message.split(":")[0] in ("preset", *_fields_at(kind, path))
        return f"{field}{'.' if of_field else ': '}{message}" if field else str(message)
    if error["type"] == "string_pattern_mismatch":
        message = _IN_WORDS[error["ctx"]["pattern"]]
        if path[0] in ("students", "teachers", "judge") and "/" in error["input"]:
            message = f"describe it under models, such as NAME: {{source: {error['input']}}}, and write NAME here"
    elif error["type"] == "too_short":
        message = "give at least one"
    elif error["type"] == "int_parsing":
        message = "write a whole number in figures"
    elif error["type"] == "tuple_type":
        message = "write a list, such as [a, b]"
    elif error["type"] in ("dict_type", "model_type"):
        fields = ", ".join(_fields_at(kind, path))
        message = f"write a mapping{f' of its fields ({fields})' if fields else ', such as {name: value}'}"
    got = re.sub(r"//[^/]*@", "//***@", repr(error["input"]))  # a password in an address
    return f"{field}: {message} (got {got})"


def _meant(kind: type[BaseModel], path: Sequence[str]) -> str:
    """What somebody meant who wrote a field that is not there: the one of that name elsewhere, or one that is near."""
    *parents, name = path
    ours = _ELSEWHERE.get(name, "")
    found = [".".join(place) for place in _places(kind, name) if place[:-1] != parents]
    if ours and ours.split(".")[-1] in _fields_at(kind, ours.split(".")[:-1]):
        found = [ours]
    if 0 < len(found) <= 3:
        return f"; did you mean {' or '.join(found)}?"
    known = _fields_at(kind, parents)
    return did_you_mean(name, known) if known else ""


def _places(kind: type[BaseModel], name: str, path: tuple[str, ...] = ()) -> list[list[str]]:
    """Where the model and its parts have a field of that name."""
    fields = _fields_at(kind, path)
    below = [place for field in fields for place in _places(kind, name, (*path, field))]
    return [[*path, name], *below] if name in fields else below


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
