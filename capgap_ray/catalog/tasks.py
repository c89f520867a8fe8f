"""Tasks by name: the YAML of each, in lm-eval's format, is its declaration; `find_task` reads it.

| name | what | items |
|---|---|---|
| `tiny/<task>` | the embedded procedural tasks | 1,000 each |
| `bbh/<subtask>`, group `bbh` | BIG-Bench Hard, 27 subtasks, 3-shot CoT of lm-eval | 6,511 |
| `gsm8k` | GSM8K zero-shot, the bare question, as in the ancestor repository | 1,319 |
| `gsm8k-upstream` | GSM8K zero-shot as lm-eval asks it: `Q: ... A: Let's think step by step.` | 1,319 |
| `math/<subject>`, group `math` | MATH, seven subjects | 5,000 |
| `math500`, `amc23`, `aime24`, `olympiadbench` | as the ancestor repository measures them | 500, 40, 30, 675 |
| `lm-eval/<name>` | any `generate_until` task of the installed lm-eval | |
| `PATH.yaml` | a person's own task in lm-eval's format | |
| `PATH.jsonl`, `.json`, `.parquet` | a person's own items: question, answer, and optional choices and id | |

A file of items is called by its last name, wherever it lies: its place is part of no identity.
lm-eval is not imported here, and its index of all tasks (15 s) is never built.
"""

from __future__ import annotations

import difflib
import functools
import importlib.util
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, TemplateSyntaxError, meta
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from capgap_ray.core.task_spec import Family, GoldForm, TaskError, TaskSpec

_PACKAGE = Path(__file__).parent.parent
_TINY = _PACKAGE / "tiny" / "tasks"
_BENCHMARKS = _PACKAGE / "tasks" / "benchmarks"
_DATA_ENDINGS = (".jsonl", ".json", ".parquet")
_YAML_ENDINGS = (".yaml", ".yml")

BBH = (
    *("boolean_expressions", "causal_judgement", "date_understanding", "disambiguation_qa", "dyck_languages"),
    *("formal_fallacies", "geometric_shapes", "hyperbaton", "logical_deduction_five_objects"),
    *("logical_deduction_seven_objects", "logical_deduction_three_objects", "movie_recommendation"),
    *("multistep_arithmetic_two", "navigate", "object_counting", "penguins_in_a_table"),
    *("reasoning_about_colored_objects", "ruin_names", "salient_translation_error_detection", "snarks"),
    *("sports_understanding", "temporal_sequences", "tracking_shuffled_objects_five_objects"),
    *("tracking_shuffled_objects_seven_objects", "tracking_shuffled_objects_three_objects"),
    *("web_of_lies", "word_sorting"),
)
_BBH_ROWS = {"causal_judgement": 187, "penguins_in_a_table": 146, "snarks": 178}
"""Every other subtask has 250."""


def embedded_tasks() -> list[str]:
    """Names of the tasks that ship with the package, rows included."""
    return sorted(f"tiny/{file.stem}" for file in _TINY.glob("*.yaml"))


@functools.cache
def known_tasks() -> tuple[str, ...]:
    """Every task with a name of its own, embedded ones first; `lm-eval/<name>` and files come on top."""
    ours = sorted(
        str(file.relative_to(_BENCHMARKS).with_suffix(""))
        for file in _BENCHMARKS.rglob("*.yaml")
        if not file.stem.startswith("_") and file.stem != "own"
    )
    return (*embedded_tasks(), *(f"bbh/{name}" for name in BBH), *ours, "gsm8k-upstream")


def expand(name: str) -> tuple[str, ...]:
    """The tasks of a group (`bbh`, `math`, `tiny`), or the task itself, without the folder of an own file."""
    if name.endswith(_DATA_ENDINGS):
        return (_last(name),)
    members = tuple(task for task in known_tasks() if task.startswith(f"{name}/"))
    return members or (name,)


def own_files(entries: Iterable[str]) -> dict[str, str]:
    """Task -> place of those entries that are files of a person's own items. Raises ValueError on two of one name."""
    found: dict[str, str] = {}
    for entry in entries:
        if entry.endswith(_DATA_ENDINGS) and found.setdefault(_last(entry), entry) != entry:
            raise ValueError(
                f"tasks: {found[_last(entry)]!r} and {entry!r} are both called {_last(entry)!r}; rename one, or call "
                "it as you like under tasks and say under data where it lies"
            )
    return found


def _last(place: str) -> str:
    return place.rpartition("/")[2]


def data_of(data: Mapping[str, str], task: str) -> str | None:
    """Where the experiment says the task's items lie: under its own name or its group's."""
    return data.get(task, data.get(task.partition("/")[0]))


def of_no_task(data: Iterable[str], tasks: Sequence[str]) -> list[str]:
    """Those names in an experiment's `data` that give none of the tasks its items."""
    return [name for name in data if all(data_of({name: ""}, task) is None for task in tasks)]


def not_ours(task: str) -> bool:
    """Whether only lm-eval can say if the task's YAML will do: one of its own, or a person's."""
    return task.startswith("lm-eval/") or task.endswith(_YAML_ENDINGS)


@functools.lru_cache(maxsize=256)
def find_task(name: str) -> TaskSpec:
    """Read the task's declaration.

    Raises TaskError on a task that is unknown (with the nearest names), not `generate_until`, or runs model output.
    """
    if name.endswith(_DATA_ENDINGS):
        return _declared(_last(name), _BENCHMARKS / "own.yaml", {"file": name})
    if name.endswith(_YAML_ENDINGS):
        if not Path(name).is_file():
            raise TaskError(f"task file {name!r} does not exist")
        return _declared(name, Path(name), {})
    if name.startswith("lm-eval/"):
        return _declared(name, _lm_eval_yaml(name.removeprefix("lm-eval/")), _known_by_name(name))
    if name in known_tasks():
        group, _, part = name.partition("/")
        if group == "tiny":
            return _declared(name, _TINY / f"{part}.yaml", {"family": "bbh", "rows": 1000})
        if group == "bbh":
            known = {"family": "bbh", "gold": "target", "rows": _BBH_ROWS.get(part, 250)}
            return _declared(name, _lm_eval_folder() / "bbh" / "cot_fewshot" / f"{part}.yaml", known)
        if name == "gsm8k-upstream":
            known = {"family": "gsm8k", "gold": "answer", "gold_form": "gsm8k", "rows": 1319, "train_rows": 7473}
            return _declared(name, _lm_eval_folder() / "gsm8k" / "gsm8k-cot-zeroshot.yaml", known)
        return _declared(name, _BENCHMARKS / f"{name}.yaml", {})
    close = difflib.get_close_matches(name, [*known_tasks(), "bbh", "math"], n=3, cutoff=0.5)
    nearest = f"nearest: {', '.join(close)}" if close else "known: tiny/..., bbh/..., math/..., gsm8k, math500, aime24"
    raise TaskError(
        f"task {name!r} is unknown ({nearest}); or give lm-eval/<name>, an lm-eval YAML file, or a JSONL file "
        "with question and answer"
    )


def _known_by_name(name: str) -> dict[str, str]:
    """How answers are read, of those tasks of lm-eval whose names say so; lm-eval itself does not declare it."""
    if re.search(r"gsm_?8k|gsm_plus", name, re.IGNORECASE):
        return {"family": "gsm8k", "gold_form": "gsm8k"}
    if re.search(r"/(aime|agieval_math$)|(hendrycks|minerva|leaderboard|robustness|hrm8k)_(omni_)?math", name):
        return {"family": "maths", "gold_form": "latex"}
    return {}


# --- reading a declaration -----------------------------------------------------------------------------


def _lm_eval_folder() -> Path:
    spec = importlib.util.find_spec("lm_eval")  # finds the package without importing it, which takes 4 s
    assert spec is not None and spec.submodule_search_locations, "lm-eval is a dependency of this package"
    return Path(spec.submodule_search_locations[0]) / "tasks"


def _lm_eval_yaml(task: str) -> Path:
    """The file that declares a task of lm-eval. Files named like the task are read first: 14,000 files take seconds.

    Raises TaskError if no file does.
    """
    declares = re.compile(rf"^[\"']?task[\"']?\s*:\s*[\"']?{re.escape(task)}[\"']?\s*(?:#.*)?$".encode(), re.MULTILINE)

    def alike(file: Path) -> bool:
        return task.replace("-", "_").endswith(file.stem.replace("-", "_"))

    files = sorted(_lm_eval_folder().rglob("*.yaml"))
    for file in sorted(files, key=alike, reverse=True):
        if declares.search(file.read_bytes()):
            return file
    names = {file.stem for file in files}
    close = difflib.get_close_matches(task, names, n=3)
    nearest = f" (files with a near name: {', '.join(close)})" if close else ""
    raise TaskError(f"task 'lm-eval/{task}' is unknown to the installed lm-eval{nearest}")


class _Declaration(yaml.SafeLoader):
    """Plain YAML in which lm-eval's `!function` is only a mark: nothing is imported to read a declaration."""


_FUNCTION = object()
_Declaration.add_constructor("!function", lambda _loader, _node: _FUNCTION)


def read_yaml(path: Path) -> tuple[dict[str, Any], list[Path]]:
    """The task's settings with its `include`s merged, and all files read. Raises TaskError that names the file."""
    try:
        tree = yaml.load(path.read_bytes(), _Declaration)  # noqa: S506 (a SafeLoader)
    except OSError as error:
        raise TaskError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TaskError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise TaskError(f"{path}: a task is a mapping of fields")
    merged: dict[str, Any] = {}
    files = [path]
    includes = tree.pop("include", [])
    for include in includes if isinstance(includes, list) else [includes]:
        settings, more = read_yaml(path.parent / include)
        merged |= settings
        files += more
    return {**merged, **tree}, files


def check_shots(spec: TaskSpec, declared: Mapping[str, Any], shots: int) -> None:
    """Raises TaskError where the task has fewer examples to show. `declared`: what its YAML says, by `read_yaml`."""
    shown = [] if spec.file else (declared.get("fewshot_config") or {}).get("samples")
    if isinstance(shown, list) and shots > len(shown):  # where they are items, lm-eval knows
        raise TaskError(
            f"task {spec.name}: prompt.shots is {shots}, and it has {len(shown)} few-shot examples; set prompt.shots: "
            f"{len(shown)}"
        )


class _Part(BaseModel):
    """What we read of a task's YAML; the rest is lm-eval's."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class _Metadata(_Part):
    """Ours, beside what others write there; absent is None here, defaults are those of `TaskSpec`."""

    family: Family | None = None
    gold: str | None = None
    gold_form: GoldForm | None = None
    rows: PositiveInt | None = None
    train_rows: PositiveInt | None = None
    fields: list[str] | None = None


class _Generation(_Part):
    until: str | list[str] | None = None


class _Kwargs(_Part):
    revision: str | None = None
    data_dir: str | None = None
    data_files: str | list[str] | dict[str, str | list[str]] | None = None


class _Yaml(_Part):
    dataset_path: str | None = None
    dataset_name: str | None = None
    dataset_kwargs: _Kwargs | None = None
    training_split: str | None = None
    validation_split: str | None = None
    test_split: str | None = None
    fewshot_split: str | None = None
    num_fewshot: int | None = None
    fewshot_delimiter: str | None = None
    generation_kwargs: _Generation | None = None
    metadata: _Metadata | None = None


def _declared(name: str, path: Path, known: Mapping[str, Any]) -> TaskSpec:
    tree, _ = read_yaml(path)
    if "class" in tree:
        raise TaskError(f"task {name!r} is Python code in lm-eval, not a declaration; give an lm-eval YAML file")
    if tree.get("output_type", "generate_until") != "generate_until":
        raise TaskError(f"task {name!r}: output_type is {tree['output_type']!r}, not 'generate_until'")
    if tree.get("unsafe_code"):
        raise TaskError(f"task {name!r} runs code that a model wrote, which is not supported")
    declared = _validated(name, tree)
    split = declared.test_split or declared.validation_split
    if split is None:
        raise TaskError(f"task {name!r} ({path}): test_split is missing")
    metadata = declared.metadata or _Metadata()
    fields = tuple(metadata.fields or ()) or _template_fields(name, tree)
    for key in ("doc_to_text", "doc_to_target"):
        if tree.get(key) is None and tree.get("use_prompt") is None:
            raise TaskError(f"task {name!r} ({path}): {key} is missing")
    if metadata.gold is not None and fields and metadata.gold not in fields:
        raise TaskError(f"task {name!r}: metadata.gold: {metadata.gold!r} is none of its fields: {', '.join(fields)}")
    kwargs = declared.dataset_kwargs or _Kwargs()
    return TaskSpec(
        name=name,
        yaml=path,
        hub=declared.dataset_path,
        revision=kwargs.revision,
        subset=declared.dataset_name,
        files=_files(name, declared, kwargs),
        split=split,
        train_split=declared.training_split,
        fields=fields,
        shots=declared.num_fewshot or 0,
        stop=_stop(declared),
        **{**metadata.model_dump(exclude_none=True, exclude={"fields"}), **known},
    )


def _validated(name: str, tree: Mapping[str, Any]) -> _Yaml:
    try:
        return _Yaml.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        # Where several types will do, pydantic names the one it tried after the field.
        field = ".".join(str(part) for part in first["loc"] if not re.match(r"(str$|list\[|dict\[)", str(part)))
        mend = "write a mapping of its fields" if first["type"] == "model_type" else first["msg"]
        raise TaskError(f"task {name!r}: {field}: {mend} (got {first['input']!r})") from None


def _files(name: str, declared: _Yaml, kwargs: _Kwargs) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Raises TaskError on a split that the files, named by split, do not give."""
    folder = kwargs.data_dir or declared.dataset_path
    if folder is not None and Path(folder).is_dir():
        return (("all", (f"{folder}/**",)),)
    given = kwargs.data_files
    if given is None:
        return ()
    # Without splits, the `datasets` library calls all of it `train`.
    by_split = given if isinstance(given, dict) else {"train": given}
    used = (declared.test_split, declared.validation_split, declared.training_split, declared.fewshot_split)
    for split in used:
        if split is not None and split.partition("[")[0] not in by_split:
            raise TaskError(f"task {name!r}: data_files has no split {split!r} (there: {', '.join(by_split)})")
    if "/" in (declared.dataset_path or ""):
        return ()  # they lie on the Hub
    return tuple((split, (at,) if isinstance(at, str) else tuple(at)) for split, at in sorted(by_split.items()))


def _stop(declared: _Yaml) -> tuple[str, ...]:
    """The stop strings as lm-eval reads them: without any, the text between two few-shot examples."""
    until = declared.generation_kwargs.until if declared.generation_kwargs else None
    if until is None:
        until = "\n\n" if declared.fewshot_delimiter is None else declared.fewshot_delimiter
    return (until,) if isinstance(until, str) else tuple(until)


def _template_fields(name: str, tree: Mapping[str, Any]) -> tuple[str, ...]:
    """Fields that the plain templates use; those that only a function or a `default` knows are left out."""
    if tree.get("process_docs") is not None:
        return ()
    found: set[str] = set()
    for key in ("doc_to_text", "doc_to_target"):
        template = tree.get(key)
        if not isinstance(template, str):
            continue
        if template.isidentifier():
            found.add(template)
        elif "is defined" not in template and "is undefined" not in template:
            try:
                found |= meta.find_undeclared_variables(Environment().parse(template))
            except TemplateSyntaxError as error:
                raise TaskError(f"task {name!r}: {key} is not a Jinja template: {error}") from None
    return tuple(sorted(found))
