"""The only importer of lm-eval: a task's YAML in, examples with prompts and the strict metric out.

lm-eval itself renders every prompt and scores every answer, so both are its own to the byte. A task is built straight
from its YAML file in about a second; lm-eval's index of all tasks takes fifteen and is never built.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jinja2
import pyarrow as pa

from capgap_ray.core.labels import LONGEST_ANSWER
from capgap_ray.core.splitting import crossfit, split
from capgap_ray.core.task_spec import TaskError, TaskSpec
from capgap_ray.records import Example, Message, Request, content_id
from capgap_ray.tasks.files import Table, digests, source_of, tables
from capgap_ray.tasks.grader import Graded, graded, grades
from capgap_ray.tasks.hub import unreachable

Chat = Literal["single_turn", "multi_turn", "plain"]
Version = Literal["v3", "v4"]

_FEWSHOT_SEED = 1234
"""lm-eval's own default; it matters only to tasks that draw their few-shot examples at random."""
_PHRASE = "Let's think step by step."
_LONG = 20_000
"""Characters of a text, above which a pattern that takes quadratic time would take seconds."""
_BENCHMARKS = Path(__file__).parent / "benchmarks"
_MISTAKES = (
    *(ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, OSError, RuntimeError),
    *(StopIteration, TypeError, ValueError, re.error, jinja2.TemplateError, pa.ArrowException),
)
"""What lm-eval, and a task's own code in it, raises on a YAML or items that will not do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """How a task's items are cut; see `experiment.Split`."""

    train: int
    test: int
    seed: int
    crossfit: int | None = None
    fold: int | None = None
    train_from: Literal["test", "train"] = "test"


class Task:
    """One lm-eval `generate_until` task."""

    def __init__(
        self, spec: TaskSpec, *, found: Mapping[str, Table] | None = None, version: Version = "v4", train: bool = False
    ) -> None:
        """Build the task from its YAML; imports lm-eval (4 s the first time in a process).

        `found`: rows by split where they come from files. `version`: of the BBH prompts; other tasks have one.
        `train`: take the task's own training split too. Raises TaskError in one line if the YAML or the rows will
        not do, or if the Hub cannot be reached.
        """
        self.name = spec.name
        self._spec = spec
        self._source = source_of(spec, found or {})
        self._task = _build(spec, found or {}, version)
        self._docs: list[dict[str, Any]] = [dict(doc) for doc in self._task.eval_docs]
        self._measured = len(self._docs)
        """Items of the measured split come first; the training split's, if taken, follow."""
        if train:
            if not self._task.has_training_docs():
                raise TaskError(f"task {spec.name} has no training split; set split.train_from: test")
            try:
                self._docs += [dict(doc) for doc in self._task.training_docs()]
            except _MISTAKES as error:
                raise TaskError(
                    f"task {spec.name}: {spec.yaml.name} does not fit its training split: {_said(error)}"
                ) from None
        self._questions, golds = [], []
        for number, doc in enumerate(self._docs, 1):
            try:
                self._questions.append(self._task.doc_to_text(doc))
                golds.append(_golds(self._task, doc))
            except _MISTAKES as error:
                raise TaskError(
                    f"task {spec.name}: item {number} does not fit {spec.yaml.name}: {_said(error)}"
                ) from None
        if not found and spec.rows is not None and spec.rows != self._measured:
            raise TaskError(f"task {spec.name}: metadata.rows is {spec.rows}, and there are {self._measured} items")
        self._targets = [_target(spec, each) for each in golds]
        self.unreadable = _unreadable(self._task, spec, golds)
        """Why our own rules cannot read the gold answers, which leaves lm-eval's metric alone; None where they can."""
        self._has_own_metric = callable(self._task.config.process_results) and _BENCHMARKS not in spec.yaml.parents
        if self._has_own_metric:
            try:
                json.dumps(self._docs)
            except TypeError as error:
                raise TaskError(f"task {spec.name}: its items must be plain JSON to be scored: {error}") from None
        self._check_metric()
        self._ids = _ids(self.name, self._questions, self._targets)
        self._by_id = {example_id: index for index, example_id in enumerate(self._ids)}
        self._prompts: dict[tuple[int, Chat], list[tuple[Message, ...]]] = {}

    def check_source(self, planned: Any) -> None:
        """Raise TaskError if the items are not those that the plan was made with (`source_of`)."""
        if self._source != (dict(planned) if isinstance(planned, Mapping) else list(planned)):
            raise TaskError(f"task {self.name}: its data files are not those that the plan was made with; run again")

    def check_readable(self) -> None:
        """Raise TaskError if our own rules cannot read the gold answers; an experiment rests on them."""
        if self.unreadable is not None:
            raise TaskError(f"task {self.name}: our own rules cannot read its gold answers: {self.unreadable}")

    # --- prompts ---------------------------------------------------------------------------------

    def _rendered(self, shots: int, chat: Chat) -> list[tuple[Message, ...]]:
        """Every item's prompt. All at once and in order, as lm-eval does it: a random sampler then draws the same."""
        if (shots, chat) not in self._prompts:
            self._task.set_fewshot_seed(_FEWSHOT_SEED)
            try:
                self._prompts[shots, chat] = [self._messages(doc, shots, chat) for doc in self._docs]
            except AssertionError as error:  # lm-eval asserts that there are enough examples
                raise TaskError(f"task {self.name}: prompt.shots {shots}: {error}") from None
            except _MISTAKES as error:
                raise TaskError(f"task {self.name}: prompt.shots {shots}: {_said(error)}") from None
        return self._prompts[shots, chat]

    def _messages(self, doc: dict[str, Any], shots: int, chat: Chat) -> tuple[Message, ...]:
        if chat == "plain":
            text = self._task.fewshot_context(doc, num_fewshot=shots, gen_prefix=self._task.doc_to_prefix(doc))
            return (Message(role="user", content=text),)
        rendered = self._task.fewshot_context(
            doc,
            num_fewshot=shots,
            apply_chat_template=True,
            fewshot_as_multiturn=chat == "multi_turn",
            chat_template=lambda messages, **_: json.dumps(messages),
            gen_prefix=self._task.doc_to_prefix(doc),
        )
        return tuple(Message(role=turn["role"], content=turn["content"]) for turn in json.loads(rendered))

    def requests(self, examples: Sequence[Example], shots: int, chat: Chat = "single_turn") -> list[Request]:
        """The few-shot prompt of each example; with `plain` one message, to be sent without a chat template."""
        prompts = self._rendered(shots, chat)
        return [
            Request(example_id=each.id, task=each.task, messages=prompts[self._by_id[each.id]]) for each in examples
        ]

    # --- items -----------------------------------------------------------------------------------

    def examples(self, parts: Parts, shots: int = 0) -> list[Example]:
        """The items of both parts, train first.

        An item whose question is also a few-shot example's is in neither part. Raises TaskError if there are too few.
        """
        bare = self._rendered(0, "single_turn")
        try:
            cut = self._cut(parts, shots)
        except ValueError as error:
            raise TaskError(f"task {self.name}: {error}") from None
        return [
            self._example(index, bare, "test" if part else "train")
            for part, part_of in enumerate(cut)
            for index in part_of
        ]

    def every(self) -> list[Example]:
        """All items of the measured split, in lm-eval's order: few-shot examples that stand there are measured too."""
        bare = self._rendered(0, "single_turn")
        return [self._example(index, bare, "test") for index in range(self._measured)]

    def _example(self, index: int, bare: Sequence[tuple[Message, ...]], split: Literal["train", "test"]) -> Example:
        return Example(
            id=self._ids[index],
            task=self.name,
            split=split,
            question=self._questions[index],
            target=self._targets[index],
            choices=tuple(self._docs[index].get("choices") or ()),
            train_messages=bare[index],
        )

    def _cut(self, parts: Parts, shots: int) -> tuple[list[int], list[int]]:
        shown = {_plain(question) for question in self._shown(shots)}
        free = [index for index, question in enumerate(self._questions) if _plain(question) not in shown]
        measured = [index for index in free if index < self._measured]
        if not measured:
            raise ValueError("every item is also a few-shot example; set prompt.shots: 0")
        if parts.train_from == "train":
            test = self._seeded(measured, 0, parts.test, parts.seed)[1]
            held = {_plain(self._questions[index]) for index in measured}
            own = [i for i in free if i >= self._measured and _plain(self._questions[i]) not in held]
            return self._seeded(own, parts.train, 0, parts.seed)[0], test
        if parts.crossfit is None:
            return self._seeded(measured, parts.train, parts.test, parts.seed)
        assert parts.fold is not None
        train, test = crossfit([self._questions[i] for i in measured], parts.crossfit, parts.seed)[parts.fold]
        if (len(train), len(test)) != (parts.train, parts.test):
            raise ValueError(f"split.crossfit: fold has {len(train)} + {len(test)} items, not as planned")
        return [measured[i] for i in train], [measured[i] for i in test]

    def _seeded(self, indexes: list[int], train: int, test: int, seed: int) -> tuple[list[int], list[int]]:
        first, second = split([self._questions[index] for index in indexes], train, test, seed)
        return [indexes[index] for index in first], [indexes[index] for index in second]

    def _shown(self, shots: int) -> Iterable[str]:
        """Questions that any item's prompt can show as an example."""
        from lm_eval.api.samplers import FirstNSampler

        if not shots:
            return []
        sampler = self._task.sampler
        pool = sampler.df[:shots] if isinstance(sampler, FirstNSampler) else sampler.fewshot_docs()
        return [self._task.doc_to_text(doc, self._task.fewshot_cfg.doc_to_text) for doc in pool]

    # --- strict ----------------------------------------------------------------------------------

    def strict(self, example_ids: Sequence[str], texts: Sequence[str]) -> list[float]:
        """lm-eval's own score of each text: its first filter, then its first metric; 0 where that fails."""
        docs = [self._docs[self._by_id[example_id]] for example_id in example_ids]
        found = self._graded(docs, [[text] for text in texts], every=False)
        return [0.0 if isinstance(each, str) else _first(each) for each in found]

    def sample_log(
        self, requests: Sequence[Request], texts: Sequence[Sequence[str]], settings: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """Lines of lm-eval's `samples_<task>_<time>.jsonl`, one per item and filter; `settings` of generation.

        An item on which the filters or metrics fail has one line, without metrics.
        """
        from lm_eval.utils import handle_non_serializable, hash_string, sanitize_list

        docs = [self._docs[self._by_id[each.example_id]] for each in requests]
        lines = []
        for request, doc, own, found in zip(requests, docs, texts, self._graded(docs, texts, every=True), strict=True):
            # Messages as JSON, which is what lm-eval logs under --apply_chat_template with an API model.
            prompt = json.dumps([{"role": each.role, "content": each.content} for each in request.messages])
            target = str(self._task.doc_to_target(doc))
            shown = json.dumps(doc, indent=2, default=handle_non_serializable, ensure_ascii=False)
            graded = {self._task._filters[0].name: ("", {})} if isinstance(found, str) else found
            for name, (answer, metrics) in graded.items():
                lines.append(
                    {
                        "doc_id": self._by_id[request.example_id],
                        "doc": json.loads(json.dumps(doc, default=handle_non_serializable)),
                        "target": target,
                        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": dict(settings)}},
                        "resps": sanitize_list([list(own)]),
                        "filtered_resps": sanitize_list([answer]),
                        "filter": name,
                        "metrics": list(metrics),
                        "doc_hash": hash_string(shown),
                        "prompt_hash": hash_string(prompt),
                        "target_hash": hash_string(target),
                        **json.loads(json.dumps(metrics, default=handle_non_serializable)),
                    }
                )
        return lines

    def _graded(
        self, docs: Sequence[dict[str, Any]], texts: Sequence[Sequence[str]], *, every: bool
    ) -> list[Graded | str]:
        """What lm-eval's filters and metrics say of each item's texts, or why they fail, which is logged.

        Metrics in Python code that is not ours, and all that are asked about long texts, run in a process that can be
        killed. Raises TaskError if such code fails on every item of several, since then it is at fault.
        """
        found: list[Graded | str] = [""] * len(docs)
        for apart in (False, True):
            rows = [i for i, own in enumerate(texts) if (self._has_own_metric or sum(map(len, own)) > _LONG) is apart]
            own_docs, own_texts = [docs[i] for i in rows], [texts[i] for i in rows]
            done = (self._graded_apart if apart else self._graded_here)(own_docs, own_texts, every)
            for row, each in zip(rows, done, strict=True):
                found[row] = each
        return found

    def _graded_here(
        self, docs: Sequence[dict[str, Any]], texts: Sequence[Sequence[str]], every: bool
    ) -> Sequence[Graded | str]:
        return grades(self._task, docs, texts, every=every)

    def _graded_apart(
        self, docs: Sequence[dict[str, Any]], texts: Sequence[Sequence[str]], every: bool
    ) -> Sequence[Graded | str]:
        found = graded(self._spec.yaml, self._task.multiple_target, docs, texts, every=every)
        problems = [each for each in found if isinstance(each, str)]
        if problems:
            said = (
                f"task {self.name}: its metric failed on {len(problems)} of {len(found)} answers, "
                f"last with {problems[-1]}"
            )
            if self._has_own_metric and len(problems) == len(found) > 1:
                raise TaskError(said)
            logging.getLogger(__name__).warning("%s; they score 0", said)
        return found

    def _check_metric(self) -> None:
        """Score the first gold answer, before any model is asked. Raises TaskError if that gives no number."""
        doc, texts = self._docs[0], [self._targets[0]]
        metric = next(iter(self._task._metric_fn_list), "process_results")
        try:
            if self._has_own_metric:
                (found,) = graded(self._spec.yaml, self._task.multiple_target, [doc], [texts], every=False)
            else:
                (found,) = grades(self._task, [doc], [texts], every=False)
            value = found if isinstance(found, str) else _first(found)
            problem = value if isinstance(value, str) else f"a {type(value).__name__} is no number"
        except _MISTAKES as error:
            value, problem = None, _said(error)
        if not isinstance(value, float):
            raise TaskError(
                f"task {self.name}: its filters and metric {metric!r} cannot score an answer ({problem}); mend them in "
                f"{self._spec.yaml.name}, or put a metric such as exact_match first in its metric_list"
            )


def _first(found: Graded) -> Any:
    """The first filter's first metric."""
    _, metrics = next(iter(found.values()))
    return next(iter(metrics.values()))


def _said(error: BaseException) -> str:
    """An exception in one line, of several the first cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _plain(question: str) -> str:
    return " ".join(question.split())


def _ids(name: str, questions: Sequence[str], targets: Sequence[str]) -> list[str]:
    """A content id per item; an item that repeats another whole is told apart by its number of occurrence."""
    seen: dict[tuple[str, str], int] = {}
    ids = []
    for item in zip(questions, targets, strict=True):
        seen[item] = seen.get(item, 0) + 1
        ids.append(content_id(name, *item) if seen[item] == 1 else content_id(name, *item, str(seen[item])))
    return ids


def _golds(task: Any, doc: dict[str, Any]) -> list[Any]:
    """The gold answers of an item, any of which is right."""
    from lm_eval.utils import apply_template

    value, template = task.doc_to_target(doc), task.config.doc_to_target
    if not isinstance(value, list):
        return [value]
    if not isinstance(template, str) or template in task.features:
        return value
    # lm-eval reads a rendered `[2, 5]` as a list; an interval is meant. Texts in quotes are several golds.
    return value if value and all(isinstance(each, str) for each in value) else [apply_template(template, doc)]


def _target(spec: TaskSpec, golds: Sequence[Any]) -> str:
    """The gold answer as text: of several the first, of GSM8K's the number."""
    text = str(golds[0]) if golds else ""
    return text.rpartition("####")[2].strip().replace(",", "") if spec.gold_form == "gsm8k" else text


def _unreadable(task: Any, spec: TaskSpec, golds: Sequence[Sequence[Any]]) -> str | None:
    template, texts = task.config.doc_to_target, [_target(spec, each) for each in golds]
    if not isinstance(template, str) and not callable(template):
        return f"doc_to_target is the same for every item ({template!r})"
    if not any(text.strip() for text in texts):
        return "they are all empty"
    for each, text in zip(golds, texts, strict=True):
        if len(set(map(str, each))) > 1:
            return f"an item has several ({', '.join(map(repr, each[:3]))}, ...); let doc_to_target give one"
        if isinstance(each[0] if each else "", dict):
            return f"one is a dict ({text[:60]}...); let doc_to_target give a text"
        if len(text) > LONGEST_ANSWER:
            return f"one has {len(text)} characters, more than any answer that is read ({LONGEST_ANSWER})"
    if spec.family == "other" and all(re.search(r"####\s*\S+\s*$", text) for text in texts):
        return "they are solutions that end in '#### n'; set metadata: {family: gsm8k, gold_form: gsm8k} in its YAML"
    if all(re.search(r"\\(boxed|fbox)\b", text) for text in texts):
        return "they are solutions with the answer in a box; let doc_to_target give the answer alone"
    return None


# --- building through lm-eval ----------------------------------------------------------------------------


def _build(spec: TaskSpec, found: Mapping[str, Table], version: Version) -> Any:
    from datasets.exceptions import DatasetsError
    from lm_eval.tasks._yaml_loader import load_yaml

    where = next(iter(found.values())).location if found else spec.files[0][1][0] if spec.files else spec.hub
    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it warns about every custom data set
    try:
        config = load_yaml(str(spec.yaml), resolve_func=True)
        if not found and config.get("custom_dataset") is None and spec.hub is None:
            raise TaskError(
                f"task {spec.name}: {spec.yaml.name} has no dataset_path; give local files with "
                f"data: {{{spec.name}: PATH}}"
            )
        config["task"] = spec.name
        if spec.family == "bbh" and version == "v3":
            _as_v3(config, spec.name.rpartition("/")[2])
        if found:
            config["custom_dataset"] = lambda **_: _dataset(spec, found)
            for key in ("training_split", "validation_split", "fewshot_split"):
                if config.get(key) not in found:
                    config[key] = None
        return _harness_task()(config=config, spec=spec)
    except TaskError:
        raise
    except (ImportError, AssertionError) as error:  # lm-eval's Minerva tasks assert the release of antlr4
        raise TaskError(
            f"task {spec.name}: the code of {spec.yaml.name} cannot be imported: {' '.join(str(error).split())}"
        ) from None
    except jinja2.UndefinedError as error:
        raise TaskError(f"task {spec.name}: {where} has no field that {spec.yaml.name} uses: {error}") from None
    except (*_MISTAKES, DatasetsError) as error:
        raise TaskError(f"task {spec.name}: {spec.yaml.name} does not fit {where}: {_said(error)}") from None


@functools.cache
def _harness_task() -> Any:
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.utils import env

    # lm-eval compiles a template anew for each text; kept compiled, all prompts of BBH take seconds and not minutes.
    env.from_string = functools.lru_cache(maxsize=256)(env.from_string)

    class HarnessTask(ConfigurableTask):  # type: ignore[misc]
        """lm-eval's task that says in one line what is wrong with its data set."""

        def __init__(self, config: dict[str, Any], spec: TaskSpec) -> None:
            self._spec = spec
            super().__init__(config=config)

        def download(self, *args: Any, **kwargs: Any) -> None:
            spec = self._spec
            try:
                super().download(*args, **kwargs)
            except (OSError, ValueError) as error:
                if self.config.custom_dataset is not None or spec.files:
                    raise
                raise unreachable(spec, error) from None
            where, there = spec.hub or spec.yaml, ", ".join(self.dataset)
            used = {getattr(self.config, f"{kind}_split") for kind in ("test", "validation", "training", "fewshot")}
            for missing in sorted(used - {None} - set(self.dataset)):
                raise TaskError(f"task {spec.name}: {where} has no split {missing!r} (there: {there})")
            if not len(self.dataset[spec.split]):
                raise TaskError(f"task {spec.name}: {where} has no rows in split {spec.split!r}")

    return HarnessTask


def _dataset(spec: TaskSpec, found: Mapping[str, Table]) -> dict[str, Any]:
    from datasets import Dataset

    def column(table: Table, name: str) -> list[Any]:
        values = [row.get(name) for row in table.rows]
        try:
            Dataset.from_dict({name: values})
        except pa.ArrowException as error:
            if name not in spec.fields and spec.fields:  # the task does not read it: of unlike values, their text
                return [json.dumps(value) for value in values]
            raise TaskError(f"{table.location}: field {name!r} has values of unlike types: {_said(error)}") from None
        return values

    # Every column a row has, not only the first row's, which is what `from_list` would take.
    return {
        split: Dataset.from_dict({name: column(table, name) for name in _columns(table.rows)})
        for split, table in found.items()
    }


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _as_v3(config: dict[str, Any], subtask: str) -> None:
    """Turn lm-eval's BBH task (v4) into what it was before pull request 3140, which the ancestor's fork still has.

    The phrase then stands before the worked answer once more, after a space; two subtasks differ.
    """
    again = {"boolean_expressions": "", "sports_understanding": f"{_PHRASE} "}.get(subtask, f"{_PHRASE}\n")
    config["target_delimiter"] = " "
    samples = config["fewshot_config"]["samples"]
    config["fewshot_config"] = {
        **config["fewshot_config"],
        "samples": [{**each, "target": again + each["target"]} for each in samples],
    }


# --- by name, once -----------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=64)
def load(spec: TaskSpec, data: str | None = None, version: Version = "v4", train: bool = False) -> Task:
    """The task, built once per process. `data`: the experiment's place of its items, None for the Hub."""
    return Task(spec, found=tables(spec, data, train=train), version=version, train=train)


def fingerprint(files: Sequence[Path]) -> str:
    """Identity of a task: its YAML with all it includes, and every Python file beside those, by content."""
    digest = hashlib.sha256()
    for folder in dict.fromkeys(file.parent for file in files):
        for source in [*(file for file in files if file.parent == folder), *sorted(folder.glob("*.py"))]:
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


__all__ = ["Parts", "Table", "Task", "TaskError", "digests", "fingerprint", "load", "source_of", "tables"]
