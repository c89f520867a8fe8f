"""The only importer of lm-eval: a task's YAML in, examples with prompts and the strict metric out.

lm-eval itself renders every prompt and scores every answer, so both are its own to the byte. A task is built straight
from its YAML file in about a second; lm-eval's index of all tasks takes fifteen and is never built.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from capgap_ray.core.splitting import crossfit, split
from capgap_ray.core.task_spec import TaskError, TaskSpec
from capgap_ray.records import Example, Message, Request, content_id
from capgap_ray.tasks.files import Table, digests, tables
from capgap_ray.tasks.grader import graded
from capgap_ray.tasks.hub import unreachable

Chat = Literal["single_turn", "multi_turn", "plain"]
Version = Literal["v3", "v4"]

_FEWSHOT_SEED = 1234
"""lm-eval's own default; it matters only to tasks that draw their few-shot examples at random."""
_PHRASE = "Let's think step by step."


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
        self._digests = digests(found or {})
        self._task = _build(spec, found or {}, version)
        self._docs: list[dict[str, Any]] = [dict(doc) for doc in self._task.eval_docs]
        self._measured = len(self._docs)
        """Items of the measured split come first; the training split's, if taken, follow."""
        if train:
            if not self._task.has_training_docs():
                raise TaskError(f"task {spec.name} has no training split; set split.train_from: test")
            self._docs += [dict(doc) for doc in self._task.training_docs()]
        try:
            self._questions = [self._task.doc_to_text(doc) for doc in self._docs]
            self._targets = [_target(self._task, spec, doc) for doc in self._docs]
        except (TypeError, KeyError, ValueError) as error:
            raise TaskError(f"task {spec.name}: an item does not fit {spec.yaml.name}: {error!r}") from None
        self._has_own_metric = spec.family == "other" and callable(self._task.config.process_results)
        if self._has_own_metric:
            try:
                json.dumps(self._docs)
            except TypeError as error:
                raise TaskError(f"task {spec.name}: its items must be plain JSON to be scored: {error}") from None
        self._ids = _ids(self.name, self._questions, self._targets)
        self._by_id = {example_id: index for index, example_id in enumerate(self._ids)}
        self._prompts: dict[tuple[int, Chat], list[tuple[Message, ...]]] = {}

    def check_source(self, planned: Any) -> None:
        """Raise TaskError if the items are not from the files the plan was made with (`digests`; else the Hub)."""
        if self._digests != (planned if isinstance(planned, Mapping) else {}):
            raise TaskError(f"task {self.name}: its data files are not those that the plan was made with; run again")

    # --- prompts ---------------------------------------------------------------------------------

    def _rendered(self, shots: int, chat: Chat) -> list[tuple[Message, ...]]:
        """Every item's prompt. All at once and in order, as lm-eval does it: a random sampler then draws the same."""
        if (shots, chat) not in self._prompts:
            self._task.set_fewshot_seed(_FEWSHOT_SEED)
            try:
                self._prompts[shots, chat] = [self._messages(doc, shots, chat) for doc in self._docs]
            except AssertionError as error:  # lm-eval asserts that there are enough examples
                raise TaskError(f"task {self.name}: prompt.shots {shots}: {error}") from None
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
        """lm-eval's own score of each text: its first filter, then its first metric.

        A metric in Python code that is not ours runs in a process that can be killed, see `grader`.
        """
        from lm_eval.api.instance import Instance

        docs = [self._docs[self._by_id[example_id]] for example_id in example_ids]
        instances = [
            Instance("generate_until", doc, ("", {}), 0, metadata=(self.name, index, 1), resps=[text])
            for index, (doc, text) in enumerate(zip(docs, texts, strict=True))
        ]
        if not instances:
            return []
        self._task._instances = instances
        self._task.apply_filters()
        answers = [next(iter(instance.filtered_resps.values())) for instance in instances]
        if self._has_own_metric:
            return graded(self._spec.yaml, docs, answers)
        return [
            float(next(iter(self._task.process_results(doc, [answer]).values())))
            for doc, answer in zip(docs, answers, strict=True)
        ]

    def sample_log(
        self, requests: Sequence[Request], texts: Sequence[Sequence[str]], settings: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """Lines of lm-eval's `samples_<task>_<time>.jsonl`, one per item and filter; `settings` of generation."""
        from lm_eval.api.instance import Instance
        from lm_eval.utils import handle_non_serializable, hash_string, sanitize_list

        docs = [self._docs[self._by_id[each.example_id]] for each in requests]
        self._task._instances = instances = [
            Instance("generate_until", doc, ("", {}), 0, metadata=(self.name, index, len(own)), resps=list(own))
            for index, (doc, own) in enumerate(zip(docs, texts, strict=True))
        ]
        self._task.apply_filters()
        lines = []
        for request, doc, instance, own in zip(requests, docs, instances, texts, strict=True):
            # Messages as JSON, which is what lm-eval logs under --apply_chat_template with an API model.
            prompt = json.dumps([{"role": each.role, "content": each.content} for each in request.messages])
            target = str(self._task.doc_to_target(doc))
            shown = json.dumps(doc, indent=2, default=handle_non_serializable, ensure_ascii=False)
            for name, answer in instance.filtered_resps.items():
                metrics = self._task.process_results(doc, [answer])
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
                        **{key: float(value) for key, value in metrics.items()},
                    }
                )
        return lines


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


def _target(task: Any, spec: TaskSpec, doc: dict[str, Any]) -> str:
    """The gold answer as text: of several the first, of GSM8K's the number."""
    from lm_eval.utils import apply_template

    value, template = task.doc_to_target(doc), task.config.doc_to_target
    if isinstance(value, list) and isinstance(template, str):
        # lm-eval reads a rendered `[2, 5]` as a list; an interval is meant.
        value = doc[template] if template in task.features else apply_template(template, doc)
    if isinstance(value, list):
        value = value[0] if value else ""
    text = str(value)
    return text.rpartition("####")[2].strip().replace(",", "") if spec.gold_form == "gsm8k" else text


# --- building through lm-eval ----------------------------------------------------------------------------


def _build(spec: TaskSpec, found: Mapping[str, Table], version: Version) -> Any:
    from jinja2 import UndefinedError
    from lm_eval.tasks._yaml_loader import load_yaml

    try:
        config = load_yaml(str(spec.yaml), resolve_func=True)
    except (ImportError, AssertionError) as error:  # lm-eval's Minerva tasks assert the release of antlr4
        said = " ".join(str(error).split())
        raise TaskError(f"task {spec.name}: the code of {spec.yaml.name} cannot be imported: {said}") from None
    config["task"] = spec.name
    if spec.family == "bbh" and version == "v3":
        _as_v3(config, spec.name.rpartition("/")[2])
    if found:
        rows = {split: table.rows for split, table in found.items()}
        config["custom_dataset"] = lambda **_: _dataset(rows)
        for key in ("training_split", "validation_split", "fewshot_split"):
            if config.get(key) not in rows:
                config[key] = None
    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it warns about every custom data set
    try:
        return _harness_task()(config=config, spec=spec)
    except UndefinedError as error:
        where = next(iter(found.values())).location if found else spec.hub
        raise TaskError(f"task {spec.name}: {where} has no field that {spec.yaml.name} uses: {error}") from None


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
            except TaskError:
                raise
            except (OSError, ValueError) as error:
                if self.config.custom_dataset is not None:
                    raise
                raise unreachable(spec, error) from None
            where, there = spec.hub or spec.yaml, ", ".join(self.dataset)
            used = {getattr(self.config, f"{kind}_split") for kind in ("test", "validation", "training", "fewshot")}
            for missing in sorted(used - {None} - set(self.dataset)):
                raise TaskError(f"task {spec.name}: {where} has no split {missing!r} (there: {there})")
            if not len(self.dataset[spec.split]):
                raise TaskError(f"task {spec.name}: {where} has no rows in split {spec.split!r}")

    return HarnessTask


def _dataset(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    from datasets import Dataset

    # Every column a row has, not only the first row's, which is what `from_list` would take.
    return {
        split: Dataset.from_dict({name: [row.get(name) for row in part] for name in _columns(part)})
        for split, part in rows.items()
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


__all__ = ["Parts", "Table", "Task", "TaskError", "digests", "fingerprint", "load", "tables"]
