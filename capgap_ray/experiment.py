"""What a person writes: one YAML file, checked whole before anything starts.

`load` raises `ExperimentError`, one line that names the field, the value and the mend.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, Field, model_validator

from capgap_ray.catalog.accelerators import ACCELERATORS
from capgap_ray.catalog.tasks import expand as expand_task
from capgap_ray.catalog.tasks import find_task, of_no_task, own_files
from capgap_ray.core.axes import WHOLE, check_axis, expand, refuse_duplicates
from capgap_ray.mistakes import REPOSITORY, ExperimentError, did_you_mean, validated
from capgap_ray.settings import (
    TRACES,
    Budget,
    DeclaredComparison,
    Development,
    Engine,
    Filter,
    Judge,
    Lora,
    Mixing,
    ModelEntry,
    Name,
    Part,
    Prompt,
    Proxies,
    PublishedName,
    Rationales,
    Resources,
    Sampling,
    Search,
    Sft,
    Split,
    TaskSelection,
    check_budget,
    teacher_as_mixture,
)

Settings = TypeVar("Settings", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One cell of the grid: a student, its data, its recipe."""

    student: str
    mixture: str
    filter: Filter
    sft: Sft

    def value(self, axis: str) -> Any:
        """What the cell has at the axis. Raises ValueError, naming the axis, if there is no such field."""
        if axis in WHOLE:
            return self.student if axis == "student" else self.mixture
        head, *path = axis.split(".")
        found: Any = {"sft": self.sft, "filter": self.filter}[head]
        for part in path:
            if part not in type(found).model_fields if isinstance(found, BaseModel) else True:
                known = type(found).model_fields if isinstance(found, BaseModel) else ()
                raise ValueError(f"{axis!r} names no field{did_you_mean(part, list(known))}")
            found = getattr(found, part)
        return found

    def replaced(self, values: Mapping[str, Any]) -> Point:
        """The cell with other values at some axes. Raises ValueError or ExperimentError on a bad one."""
        trees = {"sft": self.sft.model_dump(), "filter": self.filter.model_dump()}
        named = {"student": self.student, "mixture": self.mixture}
        for axis, value in values.items():
            if axis in WHOLE:
                named["student" if axis == "student" else "mixture"] = str(value)
            else:
                head, *path = axis.split(".")
                plain = value.model_dump() if isinstance(value, BaseModel) else value
                trees[head] = _with_field(trees[head], axis, path, plain)
        sft = validated(Sft, trees["sft"], "axes.sft") if trees["sft"] != self.sft.model_dump() else self.sft
        return Point(**named, filter=validated(Filter, trees["filter"], "axes.filter"), sft=sft)


class Experiment(Part):
    """One whole experiment."""

    name: Name
    """A label: renaming rebuilds nothing."""
    tasks: tuple[str, ...] = Field(min_length=1)
    """Tasks or groups as in `catalog/tasks.py`; `task:k` takes k samples per item. Use `task_names` and `samples`."""
    test_only: tuple[str, ...] = ()
    """Those among `tasks` (tasks or groups) that only test: all their items, and neither selected nor trained on."""
    data: dict[str, str] = Field(default_factory=dict)
    """Task or group -> local file or folder, or a URI of object storage, instead of the Hub: JSONL, JSON or Parquet
    in the Hub's field names. Where it lies is not part of any identity; what it holds is."""
    parity: Literal["lm-eval"] | None = None
    """`lm-eval`: every task stops generation where lm-eval's own YAML does, flaws included, to reproduce published
    numbers."""
    students: tuple[Name, ...] = Field(min_length=1)
    teachers: dict[Name, Name] = Field(min_length=1)
    """Role (`small`, `large`, ...) -> model."""
    published: dict[Name, PublishedName] = Field(default_factory=dict)
    """Role of a teacher -> one of the ancestor repository's published distillation sets, whose rationales (of MATH's
    training split, filtered by its authors to what both teachers of a pair solved) stand for its own. `data:
    {published/short: PATH}` reads local files."""
    models: dict[Name, ModelEntry] = Field(default_factory=dict)
    chat_templates: dict[Name, str] = Field(default_factory=dict)
    """Student -> chat template in place of its tokenizer's own: a name of `catalog/chat_templates.py`, or a Jinja file
    `PATH.jinja`. It is used wherever the student is: untouched, in training, in its exports and distilled."""
    mixtures: dict[Name, dict[Name, float]] = Field(min_length=1)
    """Name -> share of training rows per teacher role; shares sum to one."""
    prompt: Prompt = Prompt()
    split: Split = Split()
    selection: TaskSelection = TaskSelection()
    sampling: Sampling = Sampling()
    engine: Engine = Engine()
    rationales: Rationales = Rationales()
    filter: Filter = Filter()
    mixing: Mixing = Mixing()
    proxies: Proxies = Proxies()
    sft: Sft = Sft()
    axes: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    """Axis -> values; the grid is their full product. Axes are dotted fields of `sft` and `filter`, `split.seed`,
    `student` (default: all of them), `mixture` (default: all) and `teacher` (a role whose data trains alone)."""
    points: tuple[dict[str, Any], ...] = ()
    """Listed cells, each axis -> value, in place of a product; axes that are not in a point multiply it."""
    max_cells: int = Field(default=10_000, gt=0)
    """A larger grid is refused: most are typing errors."""
    comparisons: tuple[DeclaredComparison, ...] = ()
    development: Development | None = None
    search: Search | None = None
    judge: Judge
    resources: Resources = Resources()
    budget: Budget | None = None
    """What one run may spend; no part of any identity."""
    allow_larger_student: bool = False
    max_error_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of a step's rows, or of all that the judge is asked, that may be quarantined before the run fails. No part
    of any identity."""
    push_to_hub: str | None = Field(default=None, pattern=REPOSITORY)
    """Upload every checkpoint of the results with its model card to this private repository, `organisation/name`, or,
    where there are several, to `organisation/name-<student>-<arm>`. No part of any identity."""

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        refuse_duplicates("students", self.students)
        self.places()
        for name in self.test_only:
            if not set(expand_task(name)) <= set(self.task_names()):
                raise ValueError(f"test_only: {name!r} is not among tasks{did_you_mean(name, self.task_names())}")
        if not self.trained_names():
            raise ValueError("test_only: holds all tasks, and none is left to train on")
        for task in self.task_names():
            if self.samples(task) > 1 and self.sampling.temperature == 0:
                raise ValueError(f"tasks: {task}:{self.samples(task)} needs sampling.temperature above 0")
        for role in (*self.rationales.per_teacher, *self.teachers):
            if role not in self.teachers:
                known = did_you_mean(role, self.teachers)
                raise ValueError(f"rationales.per_teacher: unknown teacher {role!r}{known}")
            own = self.rationales.of(role)
            warm = self.sampling.temperature if own.temperature is None else own.temperature
            if own.samples > 1 and warm == 0:
                raise ValueError(f"rationales.samples: {own.samples} of teacher {role} need a temperature above 0")
        for role in self.published:
            if role not in self.teachers:
                raise ValueError(f"published: unknown teacher {role!r}{did_you_mean(role, self.teachers)}")
        for name in self.chat_templates:
            if name not in self.students:
                raise ValueError(f"chat_templates: {name!r} is no student{did_you_mean(name, self.students)}")
        for name in of_no_task(self.data, self.task_names()):
            if name.startswith("published/") and name.removeprefix("published/") in self.published.values():
                continue
            raise ValueError(f"data: {name!r} is no task of this experiment{did_you_mean(name, self.task_names())}")
        if self.parity == "lm-eval" and "stop" in self.sampling.model_fields_set:
            raise ValueError("sampling.stop: parity: lm-eval uses each task's own stop strings; remove one of them")
        refuse_duplicates("comparisons", [each.name for each in self.comparisons])
        for name, shares in self.mixtures.items():
            for role in shares:
                if role not in self.teachers:
                    raise ValueError(f"mixtures.{name}: unknown teacher {role!r}{did_you_mean(role, self.teachers)}")
            if any(share <= 0 for share in shares.values()) or not math.isclose(sum(shares.values()), 1.0):
                raise ValueError(f"mixtures.{name}: shares must be positive and sum to 1, not {sum(shares.values()):g}")
        if self.split.train is not None and self.selection.items > self.split.train:
            raise ValueError(f"selection.items: {self.selection.items} is more than split.train ({self.split.train})")
        named = dict.fromkeys([*self.students, *self.teachers.values(), self.judge.model])
        for model in self.resources.parallel:
            if model not in named:  # the mistake may be there: all are told, not the nearest
                raise ValueError(f"resources.parallel: {model!r} is none of the models ({', '.join(named)})")
        if self.judge.model in self.students or self.judge.model in self.teachers.values():
            raise ValueError(f"judge.model: {self.judge.model!r} is also under test; choose another judge")
        self._check_budgets()
        grid = self.grid()
        self._check_precision(grid)
        for rules in {id(point.filter): point.filter for point in grid}.values():
            self._check_filter(rules)
        every = self.shares()
        _refuse_equal_shares({name: every[name] for name in dict.fromkeys(point.mixture for point in grid)})
        if not any(point.sft.method == "lora" for point in grid) and any(point.sft.lora != Lora() for point in grid):
            raise ValueError("sft.lora: is used with sft.method: lora, and no cell has that; set it, or remove lora")
        fewest = min(point.sft.workers for point in grid)
        if (least := self.resources.least_workers(fewest)) > fewest:
            raise ValueError(
                f"resources.min_workers: {least} is more than sft.workers ({fewest}); set it to {fewest} or less, or "
                "remove it"
            )
        for each in self.comparisons:
            refuse_duplicates(f"comparisons.{each.name}.match", each.match)
            self.pairs(each, grid)
        splits = self.over_splits()
        if self.development is not None or self.search is not None:
            self._check_development(grid, len(splits))
        return self

    def _check_budgets(self) -> None:
        """Prompt and answer share the engine's context. An API has one of its own."""
        budgets = {"sampling": self.sampling.model_dump()}
        for role, model in self.teachers.items():
            own = self.rationales.of(role).applied()
            if own and not (model in self.models and self.models[model].endpoint):
                budgets[f"rationales of teacher {role}"] = {**budgets["sampling"], **own}
        for where, settings in budgets.items():
            check_budget(where, settings, self.engine.max_model_len)
            if settings["retry_truncated"] is not None and settings["retry_truncated"] <= settings["max_tokens"]:
                raise ValueError(
                    f"{where}: retry_truncated {settings['retry_truncated']} is not more than max_tokens "
                    f"({settings['max_tokens']}); give it there, too"
                )

    def _check_precision(self, grid: Sequence[Point]) -> None:
        """vLLM refuses bfloat16 on a GPU that has none, and training would emulate it."""
        resources, name = self.resources, self.resources.accelerator
        if name is None or ACCELERATORS[name].bfloat16:
            return
        has = f"bfloat16 is not what resources.accelerator {name} computes in; set"
        if self.engine.dtype == "bfloat16" and (resources.engine_gpus or resources.parallel):
            raise ValueError(f"engine.dtype: {has} engine.dtype: float16")
        if resources.worker_gpus and any(point.sft.precision == "bfloat16" for point in grid):
            raise ValueError(f"sft.precision: {has} sft.precision: float32")

    def _check_filter(self, rules: Filter) -> None:
        """One of the grid: what it asks of the rationales has to be in them."""
        if self.published and (rules.all_teachers or rules.decontaminate is not None):
            raise ValueError(
                "published: the sets are filtered by their authors; use filter.keep: own without decontaminate"
            )
        for role in (each for each in self.teachers if each not in self.published):
            samples = self.rationales.of(role).samples
            if rules.keep == "majority" and samples < 3:
                raise ValueError("filter.keep: majority needs rationales.samples of at least 3")
            if rules.pass_rate is not None:
                low, high = rules.pass_rate
                least = 0 if rules.keep in ("majority", "finished") else 1  # or none of them is kept
                if not any(low <= right / n <= high for n in range(1, samples + 1) for right in range(least, n + 1)):
                    raise ValueError(
                        f"filter.pass_rate: [{low:g}, {high:g}] keeps nothing of teacher {role}, who writes "
                        f"{samples} of an item; raise rationales.samples, or widen it"
                    )

    def _check_development(self, grid: Sequence[Point], splits: int) -> None:
        if self.development is None:
            raise ValueError("search: needs development.items, on which cells are chosen; never the test items")
        if self.search is None and self.development.early_stop is None:
            raise ValueError("development: serves search and development.early_stop; give one of them, or remove it")
        if self.published:
            raise ValueError("development: published sets may hold its items; use the teachers' own rationales")
        if splits > 1:
            raise ValueError("development: takes one split; remove split.repeats, split.crossfit and axes: split.seed")
        needed = self.selection.items + self.development.items
        if self.split.train is not None and needed > self.split.train:
            raise ValueError(
                f"development.items: {self.development.items} with selection.items ({self.selection.items}) are more "
                f"than split.train ({self.split.train})"
            )
        if self.search is not None and self.comparisons:
            raise ValueError("comparisons: their arms are not known before a search; remove comparisons or search")
        looks = self.development.early_stop is not None or (self.search and self.search.scheduler == "asha")
        if looks and any(point.sft.checkpoints is None for point in grid):
            what = "development.early_stop" if self.development.early_stop else "search.scheduler: asha"
            raise ValueError(f"{what} looks at exports on the way; set sft.checkpoints, such as {{every: 20}}")

    def _entries(self) -> Iterable[tuple[str, int]]:
        """Tasks and groups with the samples per item, as written."""
        for entry in self.tasks:
            match = re.fullmatch(r"(.*):(\d+)", entry)
            name, samples = (match[1], int(match[2])) if match else (entry, 1)
            if samples < 1:
                raise ValueError(f"tasks: {entry!r}: samples per item must be at least 1")
            yield name, samples

    def _requested(self) -> dict[str, int]:
        """Task -> samples per item, groups expanded, in the order written."""
        found = [(task, samples) for name, samples in self._entries() for task in expand_task(name)]
        refuse_duplicates("tasks", [task for task, _ in found])
        return dict(found)

    def places(self) -> dict[str, str]:
        """`data`, and where the files that `tasks` names lie; of a task that both name, `data` is right."""
        return own_files(name for name, _ in self._entries()) | self.data

    def traces(self) -> int:
        """Traces of each task and teacher that every untouched student reads; 0: none."""
        if self.proxies.traces is None:
            return TRACES if len(self.shares()) > 1 else 0
        return self.proxies.traces

    def task_names(self) -> tuple[str, ...]:
        """The tasks, groups expanded, without `:k`."""
        return tuple(self._requested())

    def trained_names(self) -> tuple[str, ...]:
        """The tasks that are measured, selected and trained on: all but those of `test_only`."""
        only = {task for name in self.test_only for task in expand_task(name)}
        return tuple(task for task in self.task_names() if task not in only)

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
        """This experiment once per split of `repeats`, `crossfit` or the axis `split.seed`; itself if there is one."""
        axes = _without_split(self.axes)
        seeds = self.axes.get("split.seed", (self.split.seed,))
        whole = [validated(Split, {**self.split.model_dump(), "seed": seed}, "axes.split") for seed in seeds]
        splits = [split for each in whole for split in each.singles()]
        return [self.model_copy(update={"split": split, "axes": axes}) for split in splits]

    def shares(self) -> dict[str, dict[str, float]]:
        """Mixture -> share per teacher role: those written, and each teacher alone that an axis names."""
        named = [*self.axes.get("teacher", ()), *(point["teacher"] for point in self.points if "teacher" in point)]
        for role in named:
            if role not in self.teachers:
                raise ValueError(f"axes.teacher: unknown teacher {role!r}{did_you_mean(str(role), self.teachers)}")
            if self.mixtures.get(role, {role: 1.0}) != {role: 1.0}:
                raise ValueError(f"mixtures.{role}: has other shares than the teacher {role} alone; rename it")
        return {**self.mixtures, **{role: {role: 1.0} for role in named}}

    def grid(self) -> list[Point]:
        """Every cell of one split, validated, in the order written. Raises ValueError that names the axis."""
        for axis in (*self.axes, *(axis for point in self.points for axis in point)):
            check_axis(axis)
        if any("split.seed" in point for point in self.points):
            raise ValueError("points: split.seed is an axis of its own; write it under axes")
        if "split.seed" in self.axes and self.split.repeats > 1:
            raise ValueError("axes: split.seed and split.repeats both make splits; use one")
        points = [teacher_as_mixture(point) for point in self.points]
        axes = teacher_as_mixture(_without_split(self.axes))
        names = {"student": self.students, "mixture": tuple(self.shares())}
        implied = {"student": self.students, "mixture": tuple(self.mixtures)}
        first = Point(student=names["student"][0], mixture=names["mixture"][0], filter=self.filter, sft=self.sft)
        recipes: dict[str, tuple[Point, str]] = {}
        """Axes but student and mixture -> a cell that has them, and what it then is."""
        written: dict[tuple[str, ...], dict[str, Any]] = {}
        grid: list[Point] = []
        for cell in expand(points, axes, implied, self.max_cells):
            who = {axis: str(cell[axis]) for axis in names}
            for axis, name in who.items():
                if name not in names[axis]:
                    raise ValueError(f"axes.{axis}: unknown {axis} {name!r}{did_you_mean(name, names[axis])}")
            recipe = {axis: value for axis, value in cell.items() if axis not in who}
            key = repr(recipe)
            if key not in recipes:
                made = first.replaced(recipe)
                recipes[key] = made, f"{made.filter.model_dump_json()} {made.sft.model_dump_json()}"
            made, whole = recipes[key]
            grid.append(Point(**who, filter=made.filter, sft=made.sft))
            if (same := written.setdefault((*who.values(), whole), cell)) is not cell:
                one, other = (", ".join(f"{axis} {value}" for axis, value in each.items()) for each in (same, cell))
                raise ValueError(f"axes: {one!r} and {other!r} are one cell; remove one of them")
        return grid

    def varied(self) -> tuple[str, ...]:
        """The axes, in the order written, that cells are told apart by beside student and mixture."""
        written = dict.fromkeys([*self.axes, *(axis for point in self.points for axis in point)])
        return tuple(axis for axis in written if axis not in WHOLE and axis != "split.seed")

    def pairs(self, comparison: DeclaredComparison, grid: Sequence[Point]) -> list[tuple[int, int]]:
        """The comparison's pairs of cells, left and right, as indexes into the grid.

        Raises ValueError, naming comparison, side and axis, if an arm is no cell of the grid or several.
        """
        where = f"comparisons.{comparison.name}"
        addressed = {*comparison.left, *comparison.right}
        free = [axis for axis in ("student", "mixture", *self.varied()) if axis not in addressed]
        sides: list[dict[str, int]] = []
        for side, arm in (("left", comparison.left), ("right", comparison.right)):
            shown = ", ".join(f"{axis} {value}" for axis, value in arm.items())
            try:
                wanted = grid[0].replaced(arm)
                same = {axis: wanted.value(axis) for axis in arm}
            except ValueError as error:
                raise ValueError(f"{where}.{side}: {error}") from None
            found: dict[str, int] = {}
            for index, point in enumerate(grid):
                if all(point.value(axis) == value for axis, value in same.items()):
                    key = repr([point.value(axis) for axis in free])
                    if key in found:
                        other = next(a for a in self.varied() if point.value(a) != grid[found[key]].value(a))
                        raise ValueError(f"{where}.{side}: {shown} is several cells; name {other} too")
                    found[key] = index
            if not found:
                odd = next((a for a in arm if all(point.value(a) != same[a] for point in grid)), next(iter(arm)))
                has = ", ".join(dict.fromkeys(str(point.value(odd)) for point in grid))
                raise ValueError(
                    f"{where}.{side}: {shown} is not in the grid, whose {odd} is {has}; name a cell that is, add it to "
                    "axes, or remove the comparison"
                )
            sides.append(found)
        both = [key for key in sides[0] if key in sides[1]]
        if not both:
            raise ValueError(f"{where}: no student has both arms with all else equal ({', '.join(free)})")
        if any(sides[0][key] == sides[1][key] for key in both):
            raise ValueError(f"{where}: both arms are the same cell")
        return [(sides[0][key], sides[1][key]) for key in both]


def _without_split(axes: Mapping[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    """The axes of one split. Raises ValueError on an axis of splits that is empty or names one twice."""
    if "split.seed" in axes:
        expand((), {"split.seed": axes["split.seed"]}, {}, len(axes["split.seed"]) or 1)
    return {axis: values for axis, values in axes.items() if axis != "split.seed"}


def _refuse_equal_shares(mixtures: Mapping[str, Mapping[str, float]]) -> None:
    """Raise ValueError if two mixtures are one, under two names."""
    names: dict[tuple[tuple[str, float], ...], str] = {}
    for name, shares in mixtures.items():
        if (same := names.setdefault(tuple(sorted(shares.items())), name)) != name:
            raise ValueError(f"mixtures.{name}: has the shares of {same}, and so the same data; remove one of them")


def _with_field(tree: Mapping[str, Any], axis: str, path: Sequence[str], value: Any) -> dict[str, Any]:
    """A copy of the tree with the field at `path` replaced. Raises ValueError, naming the axis, if there is none."""
    head, *rest = path
    if head not in tree:
        raise ValueError(f"axes: {axis!r} names no field{did_you_mean(head, tree)}")
    if rest and not isinstance(tree[head], Mapping):
        raise ValueError(f"axes: {axis!r} names no field; {head!r} has none below it")
    return {**tree, head: _with_field(tree[head], axis, rest, value) if rest else value}


class _UniqueKeyLoader(yaml.SafeLoader):
    """Safe YAML that refuses a key written twice, where PyYAML would silently keep the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        written: set[tuple[str, str]] = set()  # before `<<` brings in keys that the mapping's own go before
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in written:
                    raise ExperimentError(f"line {key.start_mark.line + 1}: key {key.value!r} is written twice")
                written.add((key.tag, key.value))
        return node


def load(path: str, overrides: Sequence[str] = ()) -> tuple[Experiment, str]:
    """Read an experiment and apply `a.b=c` overrides (values are YAML). Returns it and its YAML text as run.

    Raises ExperimentError, one line, on anything that is not right.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        tree = yaml.load(text, _UniqueKeyLoader)  # noqa: S506 (a SafeLoader)
    except FileNotFoundError:
        raise ExperimentError(
            f"experiment {path!r} does not exist; give a YAML file, such as one of jobs/experiments"
        ) from None
    except ExperimentError as error:
        raise ExperimentError(f"{path}: {error}") from None
    except OSError as error:
        raise ExperimentError(f"experiment {path!r} cannot be read ({error.strerror}); give a YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise ExperimentError(f"{path}: an experiment is a mapping of fields")
    for override in overrides:
        _override(tree, override)
    experiment: Experiment = validated(Experiment, tree)
    return experiment, yaml.safe_dump(tree, sort_keys=False, allow_unicode=True) if overrides else text


def from_overrides(kind: type[Settings], overrides: Sequence[str]) -> Settings:
    """Settings of `kind` by `a.b=c` overrides of their defaults. Raises ExperimentError, one line."""
    tree: dict[str, Any] = {}
    for override in overrides:
        _override(tree, override)
    return validated(kind, tree)  # type: ignore[no-any-return]


def _override(tree: dict[str, Any], override: str) -> None:
    field, equals, value = override.partition("=")
    if not equals:
        raise ExperimentError(f"--set {override!r}: write FIELD=VALUE, such as sft.epochs=3")
    if not all(field.split(".")):
        raise ExperimentError(f"--set {override!r}: write FIELD=VALUE, such as sft.epochs=3")
    *parents, last = _keys(field.split("."), tree, frozenset(_texts(tree)))
    for parent in parents:
        if parent == "sft" and isinstance(tree.get(parent), str):
            tree[parent] = {"preset": tree[parent]}
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise ExperimentError(f"--set {override!r}: {parent!r} has no fields")
    try:
        tree[last] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ExperimentError(f"--set {override!r}: the value is not YAML") from None


def _keys(words: Sequence[str], tree: Any, names: frozenset[str]) -> list[str]:
    """The keys that a dotted field leads through: axes and models' names hold dots, too. `names`: what the experiment
    calls its models and tasks."""
    if not words:
        return []
    there = tree if isinstance(tree, dict) else {}
    known = (n for n in range(len(words), 1, -1) if ".".join(words[:n]) in there or ".".join(words[:n]) in names)
    length = next(known, 1)
    key = ".".join(words[:length])
    if key == "axes" and len(words) > 1:
        return [key, ".".join(words[1:])]
    return [key, *_keys(words[length:], there.get(key), names)]


def _texts(tree: Any) -> Iterable[str]:
    """Every text that stands as a value."""
    if isinstance(tree, str):
        yield tree
    for each in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _texts(each)
