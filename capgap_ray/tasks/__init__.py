"""The only importer of lm-eval: a task's YAML in, examples with prompts and the strict metric out.

lm-eval itself renders every prompt (few-shot and zero-shot, as one chat turn), so prompts are its own
to the byte. A task is built straight from its YAML file in about a second; lm-eval's index of all tasks
takes fifteen and is never built.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from capgap_ray.core.splitting import split
from capgap_ray.records import Example, Message, Request, content_id


class Task:
    """One lm-eval `generate_until` task."""

    def __init__(self, name: str, path: Path) -> None:
        """Build the task from its YAML file; imports lm-eval (4 s the first time in a process).

        Raises ValueError that names the file if it is not a `generate_until` task.
        """
        from lm_eval.api.task import ConfigurableTask
        from lm_eval.tasks._yaml_loader import load_yaml

        config = load_yaml(str(path), resolve_func=True)
        if config.get("output_type") != "generate_until":
            raise ValueError(f"{path}: output_type is {config.get('output_type')!r}, not 'generate_until'")
        self.name = name
        self._task = ConfigurableTask(config=config)
        self._docs: list[dict[str, Any]] = [dict(doc) for doc in self._task.test_docs()]
        self._questions = [self._task.doc_to_text(doc) for doc in self._docs]
        self._targets = [str(self._task.doc_to_target(doc)) for doc in self._docs]

    def _id(self, index: int) -> str:
        return content_id(self.name, self._questions[index], self._targets[index])

    def _messages(self, doc: dict[str, Any], shots: int) -> tuple[Message, ...]:
        rendered = self._task.fewshot_context(
            doc,
            num_fewshot=shots,
            apply_chat_template=True,
            fewshot_as_multiturn=False,
            chat_template=lambda messages, **_: json.dumps(messages),
        )
        return tuple(Message(role=turn["role"], content=turn["content"]) for turn in json.loads(rendered))

    def examples(self, *, train: int, test: int, seed: int) -> list[Example]:
        """The items of both parts, train first."""
        parts = split(self._questions, train, test, seed)
        return [
            Example(
                id=self._id(index),
                task=self.name,
                split="test" if part else "train",
                question=self._questions[index],
                target=self._targets[index],
                choices=tuple(self._docs[index].get("choices") or ()),
                train_messages=self._messages(self._docs[index], 0),
            )
            for part, indexes in enumerate(parts)
            for index in indexes
        ]

    def requests(self, examples: Sequence[Example], shots: int) -> list[Request]:
        """The few-shot prompt of each example."""
        return [
            Request(example_id=each.id, task=each.task, messages=self._messages(self._by_id[each.id], shots))
            for each in examples
        ]

    @functools.cached_property
    def _by_id(self) -> dict[str, dict[str, Any]]:
        return {self._id(index): doc for index, doc in enumerate(self._docs)}

    def strict(self, example_ids: Sequence[str], texts: Sequence[str]) -> list[float]:
        """lm-eval's own score of each text: its first filter, then its first metric."""
        from lm_eval.api.instance import Instance

        docs = [self._by_id[example_id] for example_id in example_ids]
        instances = [
            Instance("generate_until", doc, ("", {}), 0, metadata=(self.name, index, 1), resps=[text])
            for index, (doc, text) in enumerate(zip(docs, texts, strict=True))
        ]
        self._task._instances = instances
        self._task.apply_filters()
        scores = []
        for doc, instance in zip(docs, instances, strict=True):
            answer = next(iter(instance.filtered_resps.values()))
            scores.append(float(next(iter(self._task.process_results(doc, [answer]).values()))))
        return scores


def fingerprint(path: Path) -> str:
    """Identity of a task: its YAML and every Python file beside it, by content."""
    digest = hashlib.sha256(path.read_bytes())
    for source in sorted(path.parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


@functools.lru_cache(maxsize=64)
def load(name: str, path: str) -> Task:
    """The task, built once per process."""
    return Task(name, Path(path))
