"""What identifies a result: a stage, its version, its parameters and the steps it reads."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def canonical_json(value: Any) -> str:
    """Return the one JSON text of `value`: sorted keys, no spaces, ASCII.

    Raises TypeError on anything without a stable form (sets, objects, floats that are not finite,
    keys that are not strings), so that no identity ever rests on a memory address or an order.
    """
    return json.dumps(_stable(value, "value"), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _stable(value: Any, where: str) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError(f"{where}: {value!r} has no stable form")
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"{where}: keys must be strings")
        return {key: _stable(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_stable(item, f"{where}[{index}]") for index, item in enumerate(value)]
    raise TypeError(f"{where}: a {type(value).__name__} has no stable form")


@dataclass(frozen=True)
class Step:
    """One unit of work and the address of its result.

    Two steps with equal stage, version, params and inputs are the same step; the label is for
    people and the order of `inputs` matters.
    """

    stage: str
    version: int
    """Raised when the stage's code changes what it computes."""
    params: Mapping[str, Any]
    inputs: tuple[Step, ...] = ()
    label: str = ""

    @cached_property
    def key(self) -> str:
        """16 hex digits: sha256 of the canonical JSON of stage, version, params and the inputs' keys."""
        inputs = ",".join([f'"{step.key}"' for step in self.inputs])
        return hashlib.sha256(f'{{"inputs":[{inputs}],{self._work}'.encode()).hexdigest()[:16]

    @cached_property
    def _work(self) -> str:
        """All of the identity but the inputs, as text that follows theirs in canonical order."""
        return canonical_json({"params": self.params, "stage": self.stage, "version": self.version})[1:]

    def on(self, inputs: tuple[Step, ...], label: str) -> Step:
        """The same work on other inputs. Cheap: a grid of thousands writes its parameters as text only once."""
        other = object.__new__(Step)
        same = {"stage": self.stage, "version": self.version, "params": self.params, "_work": self._work}
        other.__dict__.update(same, inputs=inputs, label=label)
        return other

    @property
    def address(self) -> str:
        """`<stage>/<label>-<key>`, safe on every file system and object store."""
        label = _UNSAFE.sub("-", self.label).strip("-.")[:80] or "step"
        return f"{self.stage}/{label}-{self.key}"

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Step) and self.key == other.key


def unique(steps: Iterable[Step]) -> list[Step]:
    """Return the steps and all their inputs, inputs first, each key once (the first label wins)."""
    found: dict[str, Step] = {}

    def visit(step: Step) -> None:
        if step.key not in found:
            for each in step.inputs:
                visit(each)
            found[step.key] = step

    for step in steps:
        visit(step)
    return list(found.values())
