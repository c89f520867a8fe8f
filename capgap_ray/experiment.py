"""What a person writes: one YAML file, checked whole before anything starts.

Every model here is frozen and forbids unknown keys. `load` raises `ExperimentError`, one line that names
the field, the value and the mend.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from capgap_ray.catalog.judges import DEFAULT_JUDGE_PROMPT
from capgap_ray.catalog.tasks import data_of, expand, find_task
from capgap_ray.core.splitting import fold_sizes, part_sizes

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
"""Names that can stand in a file name: letters, digits, dot, dash and underscore."""


class ExperimentError(ValueError):
    """An experiment that cannot be run as written."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelEntry(_Part):
    """A model that is not in the catalogue."""

    source: str
    """Local folder in Hugging Face layout, or Hub id."""
    revision: str | None = None
    parameters: int | None = Field(default=None, gt=0)


class Prompt(_Part):
    """The evaluation prompt, the same for every model; lm-eval renders it."""

    shots: int | None = Field(default=None, ge=0)
    """Few-shot examples from the task's YAML. None: the task's own number (BBH 3, maths and GSM8K 0), since a number
    for all tasks would change what most of them measure."""
    version: Literal["v3", "v4"] = "v4"
    """Of the BBH prompts. v4 is lm-eval since July 2025; v3, which the ancestor repository's fork still has, writes
    "Let's think step by step." twice in each example. The paper does not say which it used."""
    chat: Literal["single_turn", "multi_turn", "plain"] = "single_turn"
    """How the prompt becomes a chat. `single_turn`: the description as system message, everything else as one user
    message; lm-eval's default with a chat template, and the ancestor's form. `multi_turn`: each example as a user and
    an assistant turn. `plain`: the bare text, no chat template; for base models."""


class Split(_Part):
    """Items per task and part. Disjoint, seeded, equal questions never straddle, few-shot examples are in neither."""

    train: int | None = Field(default=None, gt=0)
    """Training items per task. None: all that the test part leaves."""
    test: int | None = Field(default=None, gt=0)
    """Test items per task. None: ceil(0.4 n) of n, the paper's 3:2 (with `train_from: train` all n)."""
    seed: int = 0
    train_from: Literal["test", "train"] = "test"
    """`test`: both parts are cut from the task's measured split, as the paper does with BBH. `train`: training items
    are the task's own training split (MATH 7,500, GSM8K 7,473), test items its measured one."""
    repeats: int = Field(default=1, ge=1)
    """Independent splits, with seeds `seed`, `seed + 1`, ...; see `Experiment.over_splits`."""
    crossfit: int | None = Field(default=None, ge=2)
    """Number of folds: every item is tested once and trains in all other folds. In place of `train` and `test`."""
    fold: int | None = Field(default=None, ge=0)
    """Which fold of `crossfit` this is, from 0."""

    @model_validator(mode="after")
    def _one_way(self) -> Split:
        if self.crossfit is None:
            if self.fold is not None:
                raise ValueError("fold: belongs to crossfit; set split.crossfit too")
        elif self.train is not None or self.test is not None or self.train_from == "train" or self.repeats > 1:
            raise ValueError("crossfit: cuts every item into folds; remove split.train, test, train_from and repeats")
        elif self.fold is not None and self.fold >= self.crossfit:
            raise ValueError(f"fold: {self.fold} is not one of 0 to {self.crossfit - 1}")
        return self

    def singles(self) -> list[Split]:
        """The splits this stands for, each with one train and one test part."""
        if self.crossfit is not None and self.fold is None:
            return [self.model_copy(update={"fold": fold}) for fold in range(self.crossfit)]
        return [self.model_copy(update={"repeats": 1, "seed": self.seed + more}) for more in range(self.repeats)]

    def sizes(self, items: int | None, train_items: int | None) -> tuple[int, int]:
        """(train, test) of a single split of a task. `items`: in its measured split, None where it is not known;
        `train_items`: in its own training split. Raises ValueError if the numbers cannot be met or filled in."""
        if self.crossfit is not None and self.fold is not None and items is not None:
            test = fold_sizes(items, self.crossfit)[self.fold]
            return items - test, test
        if self.train is not None and self.test is not None and (items is None or self.train_from == "train"):
            return self.train, self.test
        if items is None or (self.train_from == "train" and train_items is None):
            raise ValueError("split: the number of items is not known before they are read; set split.train and test")
        if self.train_from == "train":
            return self.train or train_items or 0, self.test or items
        return part_sizes(items, self.train, self.test)


class TaskSelection(_Part):
    """Keep a task if mean teacher minus mean student accuracy exceeds the gap, on training items only."""

    gap_points: float = 30.0
    """30 is the paper's (section 3.1), which calls it practical and not theoretical."""
    items: int = Field(default=100, gt=0)
    """Training items measured per model and task."""


class Sampling(_Part):
    """How every model generates."""

    temperature: float = Field(default=0.0, ge=0.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    max_tokens: int = Field(default=1024, gt=0)
    retry_truncated: int | None = Field(default=None, gt=0)
    """A larger token budget with which only those completions are repeated that `max_tokens` cut off."""
    stop: tuple[str, ...] = ("\n\nQ:",)
    """Stop strings beside the end token. A base model goes on with the next question; this ends it, and occurs in no
    answer. Not BBH's own list: its letter `Q` makes 7 items unanswerable, and its blank line cuts paragraphs; that
    one is used under `parity: lm-eval`."""
    seed: int = 0


class Engine(_Part):
    """Settings of the inference engine that can move scores, hence part of every result's identity."""

    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    max_model_len: int = Field(default=4096, gt=0)


class Filter(_Part):
    """Which rationales train. The default keeps each teacher's own correct ones."""

    across_teachers: bool = False
    """Keep an item only if every teacher solved it. Off: it costs data and hides differences (pitfall 2)."""


class Batch(_Part):
    """Also written `5x4`: per-device batch size x gradient accumulation steps."""

    per_device: int = Field(gt=0)
    accumulation: int = Field(gt=0)

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        if isinstance(value, str):
            match = re.fullmatch(r"\s*(\d+)\s*[x×]\s*(\d+)\s*", value)
            if not match:
                raise ValueError(f"{value!r} is not <per-device batch>x<accumulation>, such as 5x4")
            return {"per_device": int(match[1]), "accumulation": int(match[2])}
        return value

    def __str__(self) -> str:
        return f"{self.per_device}x{self.accumulation}"


class Sft(_Part):
    """Supervised fine-tuning of one student on one mixture."""

    learning_rate: float = Field(default=1e-5, gt=0)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_ratio: float = Field(default=0.0, ge=0.0, lt=1.0)
    weight_decay: float = Field(default=0.0, ge=0.0)
    clip: float = Field(default=1.0, gt=0)
    """Gradient norm above which gradients are scaled down."""
    epochs: int = Field(default=2, gt=0)
    batch: Batch = Batch(per_device=2, accumulation=1)
    workers: int = Field(default=1, gt=0)
    """Data-parallel workers; samples per update = batch x accumulation x workers."""
    cutoff_tokens: int = Field(default=8192, gt=0)
    overlength: Literal["drop", "raise", "cut"] = "drop"
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    seed: int = 42


class Judge(_Part):
    """The language model that decides on answers which the rules reject."""

    model: Name
    prompt: str = DEFAULT_JUDGE_PROMPT
    when: Literal["rejected", "unparsable"] = "rejected"
    """`rejected`: every answer that the rules call wrong or cannot read. `unparsable`: only those they cannot read,
    for tasks whose answers have one form, where a judge could only add its own errors."""
    audit: int = Field(default=50, ge=0)
    """Probes of each kind, with verdicts known beforehand, that the judge answers too; 0: its errors stay unknown."""


class Arm(_Part):
    """One side of a declared comparison."""

    mixture: Name
    batch: Batch


class DeclaredComparison(_Part):
    """Two arms of every student to be set side by side, right minus left."""

    name: str
    left: Arm
    right: Arm


class Resources(_Part):
    """Where things run. Never part of any identity: other machines, same results."""

    engines: int = Field(default=1, gt=0)
    """Engine replicas."""
    engine_cpus: float = Field(default=1, gt=0)
    engine_gpus: float = Field(default=0, ge=0)
    worker_cpus: float = Field(default=1, gt=0)
    worker_gpus: float = Field(default=0, ge=0)
    trials: int = Field(default=1, gt=0)
    """Training trials at once."""


class Experiment(_Part):
    """One whole experiment."""

    name: Name
    """A label: renaming rebuilds nothing."""
    tasks: tuple[str, ...] = Field(min_length=1)
    """Tasks or groups as in `catalog/tasks.py`; `task:k` takes k samples per item. Use `task_names` and `samples`."""
    data: dict[str, str] = {}
    """Task or group -> local file or folder, or a URI of object storage, instead of the Hub: JSONL, JSON or Parquet
    in the Hub's field names. Where it lies is not part of any identity; what it holds is."""
    parity: Literal["lm-eval"] | None = None
    """`lm-eval`: every task stops generation where lm-eval's own YAML does, flaws included, to reproduce published
    numbers."""
    students: tuple[Name, ...] = Field(min_length=1)
    teachers: dict[Name, Name] = Field(min_length=1)
    """Role (`small`, `large`, ...) -> model."""
    models: dict[Name, ModelEntry] = {}
    mixtures: dict[Name, dict[Name, float]] = Field(min_length=1)
    """Name -> share of training rows per teacher role; shares sum to one."""
    prompt: Prompt = Prompt()
    split: Split = Split()
    selection: TaskSelection = TaskSelection()
    sampling: Sampling = Sampling()
    engine: Engine = Engine()
    filter: Filter = Filter()
    sft: Sft = Sft()
    axes: dict[str, tuple[Any, ...]] = {}
    """Dotted field of `sft` -> values; the grid is the full product with students and mixtures."""
    comparisons: tuple[DeclaredComparison, ...] = ()
    judge: Judge
    resources: Resources = Resources()
    allow_larger_student: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        _no_duplicates("students", self.students)
        for task in self.task_names():
            if self.samples(task) > 1 and self.sampling.temperature == 0:
                raise ValueError(f"tasks: {task}:{self.samples(task)} needs sampling.temperature above 0")
        for name in self.data:
            if not any(data_of({name: ""}, task) is not None for task in self.task_names()):
                raise ValueError(
                    f"data: {name!r} is no task of this experiment{_did_you_mean(name, self.task_names())}"
                )
        if self.parity == "lm-eval" and "stop" in self.sampling.model_fields_set:
            raise ValueError("sampling.stop: parity: lm-eval uses each task's own stop strings; remove one of them")
        _no_duplicates("comparisons", [each.name for each in self.comparisons])
        for name, shares in self.mixtures.items():
            for role in shares:
                if role not in self.teachers:
                    raise ValueError(f"mixtures.{name}: unknown teacher {role!r}{_did_you_mean(role, self.teachers)}")
            if any(share <= 0 for share in shares.values()) or not math.isclose(sum(shares.values()), 1.0):
                raise ValueError(f"mixtures.{name}: shares must be positive and sum to 1, not {sum(shares.values()):g}")
        if self.split.train is not None and self.selection.items > self.split.train:
            raise ValueError(f"selection.items: {self.selection.items} is more than split.train ({self.split.train})")
        if self.judge.model in self.students or self.judge.model in self.teachers.values():
            raise ValueError(f"judge.model: {self.judge.model!r} is also under test; choose another judge")
        arms = {(mixture, str(sft.batch)) for mixture in self.mixtures for sft in self.grid()}
        for each in self.comparisons:
            for side, arm in (("left", each.left), ("right", each.right)):
                if (arm.mixture, str(arm.batch)) not in arms:
                    known = ", ".join(sorted(f"{mixture} at {batch}" for mixture, batch in arms))
                    raise ValueError(
                        f"comparisons.{each.name}.{side}: {arm.mixture} at {arm.batch} is not in the grid ({known})"
                    )
        return self

    def _requested(self) -> dict[str, int]:
        """Task -> samples per item, groups expanded, in the order written."""
        found: list[tuple[str, int]] = []
        for entry in self.tasks:
            match = re.fullmatch(r"(.*):(\d+)", entry)
            name, samples = (match[1], int(match[2])) if match else (entry, 1)
            if samples < 1:
                raise ValueError(f"tasks: {entry!r}: samples per item must be at least 1")
            found += [(task, samples) for task in expand(name)]
        _no_duplicates("tasks", [task for task, _ in found])
        return dict(found)

    def task_names(self) -> tuple[str, ...]:
        """The tasks, groups expanded, without `:k`."""
        return tuple(self._requested())

    def samples(self, task: str) -> int:
        """Samples per item of the task."""
        return self._requested()[task]

    def stop(self, task: str) -> tuple[str, ...]:
        """The stop strings that the task is run with. Raises TaskError on a task that is unknown."""
        return find_task(task).stop if self.parity == "lm-eval" else self.sampling.stop

    def shots(self, task: str) -> int:
        """Few-shot examples in the task's prompt. Raises TaskError on a task that is unknown."""
        return find_task(task).shots if self.prompt.shots is None else self.prompt.shots

    def over_splits(self) -> list[Experiment]:
        """This experiment once per split of `repeats` or `crossfit`; itself alone if there is only one."""
        return [self.model_copy(update={"split": split}) for split in self.split.singles()]

    def grid(self) -> list[Sft]:
        """Every point of the axes' full product as a whole, validated `Sft`, in the order written."""
        points: list[dict[str, Any]] = [self.sft.model_dump()]
        for axis, values in self.axes.items():
            if not axis.startswith("sft."):
                raise ValueError(f"axes: {axis!r} is not a field of sft; students and mixtures are axes by themselves")
            if not values:
                raise ValueError(f"axes: {axis!r} has no values")
            _no_duplicates(f"axes.{axis}", [str(value) for value in values])
            points = [_with_field(point, axis, axis.split(".")[1:], value) for point in points for value in values]
        grid = [_validated(Sft, point, "axes") for point in points]
        _no_duplicates("axes", [repr(sft) for sft in grid])
        return grid


def _with_field(tree: Mapping[str, Any], axis: str, path: Sequence[str], value: Any) -> dict[str, Any]:
    """A copy of the tree with the field at `path` replaced. Raises ValueError, naming the axis, if there is none."""
    head, *rest = path
    if head not in tree:
        raise ValueError(f"axes: {axis!r} names no field{_did_you_mean(head, tree)}")
    if rest and not isinstance(tree[head], Mapping):
        raise ValueError(f"axes: {axis!r} names no field; {head!r} has none below it")
    return {**tree, head: _with_field(tree[head], axis, rest, value) if rest else value}


def _no_duplicates(field: str, values: Sequence[str]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{field}: {value!r} occurs twice")


def _did_you_mean(word: str, known: Mapping[str, Any] | Sequence[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def _validated(kind: type[Any], tree: Any, where: str = "") -> Any:
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise ExperimentError("; ".join(_explain(each, kind, where) for each in error.errors())) from None


def _explain(error: Any, kind: type[BaseModel], where: str) -> str:
    path = [str(part) for part in error["loc"]]
    field = ".".join([where, *path] if where else path)
    if error["type"] == "extra_forbidden":
        return f"{field}: unknown field{_did_you_mean(path[-1], _fields_at(kind, path[:-1]))}"
    if error["type"] == "missing":
        return f"{field}: is missing"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error":
        return f"{field}: {message}" if field else str(message)
    return f"{field}: {message} (got {error['input']!r})"


def _fields_at(kind: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Field names of the model that `path` leads to, as far as it can be followed."""
    for part in path:
        annotation = kind.model_fields[part].annotation if part in kind.model_fields else None
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            kind = annotation
    return list(kind.model_fields)


class _UniqueKeyLoader(yaml.SafeLoader):
    """Safe YAML that refuses a key written twice, where PyYAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise ExperimentError(f"line {node.start_mark.line + 1}: key {key!r} is written twice")
        return super().construct_mapping(node, deep)


def load(path: str, overrides: Sequence[str] = ()) -> tuple[Experiment, str]:
    """Read an experiment and apply `a.b=c` overrides (values are YAML). Returns it and its YAML text as run.

    Raises ExperimentError, one line, on anything that is not right.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        tree = yaml.load(text, _UniqueKeyLoader)  # noqa: S506 (a SafeLoader)
    except FileNotFoundError:
        raise ExperimentError(f"experiment {path!r} does not exist") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise ExperimentError(f"{path}: an experiment is a mapping of fields")
    for override in overrides:
        _override(tree, override)
    experiment: Experiment = _validated(Experiment, tree)
    return experiment, yaml.safe_dump(tree, sort_keys=False, allow_unicode=True) if overrides else text


def _override(tree: dict[str, Any], override: str) -> None:
    field, equals, value = override.partition("=")
    if not equals:
        raise ExperimentError(f"--set {override!r}: write FIELD=VALUE, such as sft.epochs=3")
    *parents, last = field.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise ExperimentError(f"--set {override!r}: {parent!r} has no fields")
    try:
        tree[last] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ExperimentError(f"--set {override!r}: the value is not YAML") from None
