"""Items and rule scores: the two stages that need lm-eval, in one standing actor that imports it once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import ray

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
from capgap_ray.catalog.tasks import data_of, find_task
from capgap_ray.core.answers import Prover, compare, kind_of, outcome
from capgap_ray.core.judge_audit import make_probes, rule_right_probes
from capgap_ray.core.task_spec import Family, TaskError
from capgap_ray.equivalence import MathVerify
from capgap_ray.records import Completion, Example, JudgeProbe, Score
from capgap_ray.rows import from_row, to_row
from capgap_ray.tasks import Parts, Task, load
from capgap_ray.tasks.published import published_rationales, published_source


def requests_table(store: Store, examples: Step, part: str) -> str:
    """Where the few-shot prompts of one part lie, relative to the store."""
    return f"{store.folder(examples)}/requests-{part}.parquet"


@ray.remote(num_cpus=0, max_restarts=2, max_task_retries=2)
class Scorer:
    """Builds `examples` and `score` steps, each unless it exists."""

    def __init__(self, root: str, data: Mapping[str, str] | None = None) -> None:
        """`data`: as `Experiment.places` returns it."""
        self._store = Store(root)
        self._data = data or {}
        self._prove = MathVerify()

    def _task(self, examples: Step) -> Task:
        """The task of an examples step. Raises TaskError if its files are no longer those that were planned with."""
        name, prompt = str(examples.params["task"]), examples.params["prompt"]
        train = examples.params["split"]["train_from"] == "train"
        task = load(find_task(name), data_of(self._data, name), prompt["version"], train)
        task.check_source(examples.params["source"])
        return task

    def build_examples(self, step: Step) -> str:
        """Write the items and, beside them, the few-shot prompts of each part."""
        if self._store.built(step):
            return step.address
        begun = time.monotonic()
        task, prompt = self._task(step), step.params["prompt"]
        task.check_readable()
        examples = task.examples(Parts(**step.params["split"]), prompt["shots"])
        attempt = self._store.new_attempt(step)
        for part in ("train", "test"):
            members = [each for each in examples if each.split == part]
            requests = task.requests(members, prompt["shots"], prompt["chat"])
            self._store.write_rows(f"{attempt}/requests-{part}.parquet", [to_row(each) for each in requests])
        table = f"{attempt}/rows.parquet"
        self._store.write_rows(table, [to_row(each) for each in examples])
        self._store.commit(step, attempt, {"rows": len(examples)}, time.monotonic() - begun, [table])
        return step.address

    def build_published(self, step: Step) -> str:
        """Write the rows of a published distillation set. Raises TaskError if its files have changed."""

        def make() -> tuple[list[dict[str, Any]], dict[str, Any]]:
            name = str(step.params["set"])
            data = self._data.get(f"published/{name}")
            if published_source(name, data) != step.params["source"]:
                raise TaskError(f"published set {name}: {data} has changed since the run began; run it again")
            return [to_row(row) for row in published_rationales(name, data)], {}

        self._store.build_rows(step, make)
        return step.address

    def probes(self, step: Step) -> list[JudgeProbe]:
        """What an `audit` step asks: probes of the test items' golds and of answers that the rules accept."""
        items, family = {}, {}
        for examples in step.inputs[: step.params["tasks"]]:
            rows = [from_row(Example, row) for row in self._store.rows(examples)]
            items.update({each.id: each for each in rows if each.split == "test"})
            family[rows[0].task] = find_task(str(examples.params["task"])).family

        def rules_equal(item: Example, answer: str) -> bool:
            kind = kind_of(item.target, item.choices, family[item.task])
            return compare(answer, item.target, kind, item.choices, self._prove).equal is True

        scores = [
            from_row(Score, row) for each in step.inputs[step.params["tasks"] :] for row in self._store.rows(each)
        ]
        per_kind, seed = step.params["per_kind"], step.params["seed"]
        made = make_probes(list(items.values()), per_kind, seed, rules_equal)
        return [*made, *rule_right_probes(scores, items, per_kind, seed)]

    def build_score(self, step: Step) -> str:
        """Score one step's completions by rules: lm-eval's strict metric and our own extraction."""
        self._store.build_rows(step, lambda: self._score(step))
        return step.address

    def _score(self, step: Step) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        examples_step, complete_step = step.inputs[0], step.inputs[1]
        examples = {row["id"]: from_row(Example, row) for row in self._store.rows(examples_step)}
        completions = [from_row(Completion, row) for row in self._store.rows(complete_step)]
        family = find_task(str(examples_step.params["task"])).family
        task = self._task(examples_step)
        strict = task.strict([each.example_id for each in completions], [each.text for each in completions])
        scores = [
            _by_rules(completion, examples[completion.example_id], value, family, self._prove)
            for completion, value in zip(completions, strict, strict=True)
        ]
        right = sum(score.outcome == "right" for score in scores)
        return [to_row(score) for score in scores], {"right": right}


def _by_rules(completion: Completion, example: Example, strict: float, family: Family, prove: Prover) -> Score:
    answer, decided = outcome(completion.text, completion.finish_reason, example.target, example.choices, family, prove)
    return Score(
        example_id=example.id,
        task=example.task,
        model=completion.model,
        target=example.target,
        text=completion.text,
        answer=answer,
        finish_reason=completion.finish_reason,
        completion_tokens=completion.completion_tokens,
        outcome=decided,
        strict=strict,
        flexible=float(decided == "right"),
        judged=None,
        judge_verdict=None,
        sample=completion.sample,
        stop_reason=completion.stop_reason,
    )
