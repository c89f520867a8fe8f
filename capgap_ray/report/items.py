"""Every prediction beside its item: the full table, what flipped, and the items that the page shows.

Pure: how examples and scores are read is an argument. One arm of one task is in memory at a time; what grows with
the experiment is a number per prediction and the text that the page shows, which has a limit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from statistics import fmean
from typing import Any, Literal, NamedTuple

from capgap_ray.records import Example, Score
from capgap_ray.report import formats

Change = Literal["gained", "lost", "kept", "still wrong", "unscored"]
"""A student's judged score after distillation against before, on one item (the mean over its samples). `kept`: right
both times. `still wrong`: the same, and below 1. `unscored`: one of the two has no score."""
CHANGES: tuple[Change, ...] = ("lost", "gained", "unscored", "still wrong", "kept")
"""In the order in which a reader looks for them."""

PAGE_BYTES = 8_000_000
"""Of item text on the page, as JSON. The page stays below 15 MB with its tables and figures."""
HEAD, TAIL = 900, 500
"""Characters of a longer text that the page shows; the full table has all."""
_OVERHEAD = 160
"""Bytes of one prediction beside its text: scores, answer, punctuation."""

ROW = {
    **dict.fromkeys(("task", "item", "question", "gold", "arm", "role", "student", "mixture", "setting"), str),
    "sample": int,
    **dict.fromkeys(("text", "answer", "rules"), str),
    **dict.fromkeys(("strict", "flexible", "judged"), float),
    **dict.fromkeys(("judge_reply", "finish_reason"), str),
    "tokens": int,
    "before": float,
    "after": float,
    "change": str,
}
"""Columns of the full table and their types; all but `task`, `item` and `arm` may be empty."""


class Arm(NamedTuple):
    """Who answered."""

    label: str
    role: Literal["teacher", "baseline", "distilled"]
    student: str | None
    mixture: str | None
    setting: str | None


@dataclass(frozen=True, slots=True)
class TaskSource:
    """Where a task's items and their answers are read; each call reads anew, so that nothing need be kept."""

    task: str
    examples: Callable[[], Iterable[Example]]
    arms: Sequence[tuple[Arm, Callable[[], Iterable[Score]]]]
    """Untouched models before distilled ones."""


@dataclass(frozen=True, slots=True)
class Flips:
    """What became of one arm's items on one task."""

    task: str
    arm: Arm
    counts: Mapping[str, int]
    """Change -> items."""


@dataclass(frozen=True, slots=True)
class Items:
    """What the page shows of single items, and how much there is."""

    arms: tuple[Arm, ...]
    tasks: tuple[tuple[str, int, int], ...]
    """(task, test items, items on the page)."""
    predictions: int
    flips: tuple[Flips, ...]
    json: str
    """The items on the page for its script, inert (`formats.inert_json`)."""

    @property
    def complete(self) -> bool:
        """Whether the page shows every item."""
        return all(total == shown for _, total, shown in self.tasks)


@dataclass(slots=True)
class _Item:
    """What the first pass learns of one item."""

    size: int = 0
    """Bytes that it would take on the page, about."""
    changes: set[str] = field(default_factory=set)


def item_rows(
    arm: Arm, examples: Mapping[str, Example], scores: Iterable[Score], before: Mapping[str, float | None]
) -> Iterator[dict[str, Any]]:
    """Join one arm's scores with their items: a `ROW` per prediction, in the scores' order.

    `before` holds the untouched student's judged score per item; empty for untouched models, which have no change.
    """
    held = list(scores)
    after = means(held)
    for score in held:
        example = examples.get(score.example_id)
        distilled = arm.role == "distilled"
        earlier, later = before.get(score.example_id), after[score.example_id]
        yield {
            "task": score.task,
            "item": score.example_id,
            "question": example.question if example else None,
            "gold": score.target,
            "arm": arm.label,
            "role": arm.role,
            "student": arm.student,
            "mixture": arm.mixture,
            "setting": arm.setting,
            "sample": score.sample,
            "text": score.text,
            "answer": score.answer,
            "rules": score.outcome,
            "strict": score.strict,
            "flexible": score.flexible,
            "judged": score.judged,
            "judge_reply": score.judge_verdict,
            "finish_reason": score.finish_reason,
            "tokens": score.completion_tokens,
            "before": earlier,
            "after": later,
            "change": change(earlier, later) if distilled else None,
        }


def means(scores: Iterable[Score]) -> dict[str, float | None]:
    """Return each item's judged score, the mean over its scored samples; None where none has a score."""
    samples: dict[str, list[float]] = {}
    for score in scores:
        samples.setdefault(score.example_id, []).extend([] if score.judged is None else [score.judged])
    return {item: fmean(values) if values else None for item, values in samples.items()}


def change(before: float | None, after: float | None) -> Change:
    """Return what became of an item."""
    if before is None or after is None:
        return "unscored"
    if after != before:
        return "gained" if after > before else "lost"
    return "kept" if after == 1 else "still wrong"


def collect(
    tasks: Sequence[TaskSource], write: Callable[[Sequence[Mapping[str, Any]]], object], limit: int = PAGE_BYTES
) -> Items:
    """Join all tasks: `write` gets every arm's rows once; what fits into `limit` bytes goes to the page.

    Where not all items fit, each task gets an equal share of the room, and in it each kind of change its turn, so
    that items that flipped are over-represented; within a kind the order of ids, which are hashes, decides.
    """
    arms: dict[Arm, int] = {}
    flips: list[Flips] = []
    counts: list[tuple[str, int, int]] = []
    shown: list[str] = []
    predictions = 0
    for done, source in enumerate(tasks):
        examples = {each.id: each for each in source.examples() if each.split == "test"}
        facts: dict[str, _Item] = {}
        for arm, rows in _joined(source, examples):
            arms.setdefault(arm, len(arms))
            write(rows)
            predictions += len(rows)
            tally: dict[str, set[str]] = {}
            for row in rows:
                item = facts.setdefault(row["item"], _Item(size=_size(row["question"] or "") + _OVERHEAD))
                item.size += _size("".join(shorten(row["text"])[:2])) + _OVERHEAD
                if row["change"]:
                    item.changes.add(row["change"])
                    tally.setdefault(row["change"], set()).add(row["item"])
            if arm.role == "distilled":
                counted: dict[str, int] = {name: len(tally.get(name, ())) for name in CHANGES}
                counted["unscored"] += len(examples) - sum(counted.values())  # no answer at all
                flips.append(Flips(source.task, arm, counted))
        room = (limit - sum(len(each.encode()) for each in shown)) // (len(tasks) - done)
        chosen = _choose(facts, room)
        encoded = _encode(source, examples, chosen, arms, done)
        shown += encoded
        counts.append((source.task, len(examples), len(encoded)))
    head = formats.inert_json({"arms": list(arms), "tasks": [name for name, _, _ in counts]})
    text = f'{head[:-1]},"items":[{",".join(shown)}]}}'
    return Items(tuple(arms), tuple(counts), predictions, tuple(flips), text)


def shorten(text: str) -> tuple[str, str, int]:
    """Return a text's beginning, its end, and how many characters between them are left out (then both are cut)."""
    left_out = len(text) - HEAD - TAIL
    return (text, "", 0) if left_out <= 0 else (text[:HEAD], text[-TAIL:], left_out)


def _joined(
    source: TaskSource, examples: Mapping[str, Example], wanted: Collection[str] | None = None
) -> Iterator[tuple[Arm, Sequence[dict[str, Any]]]]:
    """Yield every arm's rows; only those of the `wanted` items, if given."""
    before: dict[str, dict[str, float | None]] = {}
    for arm, read in source.arms:
        scores = [score for score in read() if wanted is None or score.example_id in wanted]
        if arm.role == "baseline" and arm.student:
            before[arm.student] = means(scores)
        yield arm, list(item_rows(arm, examples, scores, before.get(arm.student or "", {})))


def _choose(facts: Mapping[str, _Item], room: int) -> list[str]:
    """Return ids that fit: one kind of change after the other in turn, each in the order of ids."""
    kinds = [sorted(item for item, fact in facts.items() if kind in fact.changes) for kind in CHANGES]
    kinds.append(sorted(item for item, fact in facts.items() if not fact.changes))
    chosen: dict[str, None] = {}
    for turn in zip_longest(*kinds):
        for item in turn:
            if item is not None and item not in chosen and facts[item].size <= room:
                chosen[item] = None
                room -= facts[item].size
    return list(chosen)


def _encode(
    source: TaskSource, examples: Mapping[str, Example], chosen: Sequence[str], arms: Mapping[Arm, int], task: int
) -> list[str]:
    """Read the chosen items' texts and return each item as JSON."""
    wanted = set(chosen)
    found: dict[str, dict[str, Any]] = {}
    for arm, rows in _joined(source, examples, wanted) if wanted else ():
        for row in rows:
            item = found.setdefault(
                row["item"],
                {"t": task, "id": row["item"], "q": row["question"] or "", "gold": row["gold"], "by": {}},
            )
            mine = item["by"].setdefault(arms[arm], {"a": arms[arm], "change": row["change"], "s": []})
            head, tail, left_out = shorten(row["text"])
            mine["s"].append(
                {
                    "text": [head, tail, left_out] if left_out else head,
                    "answer": row["answer"],
                    "rules": row["rules"],
                    "strict": row["strict"],
                    "flexible": row["flexible"],
                    "judged": row["judged"],
                    "reply": row["judge_reply"],
                    "tokens": row["tokens"],
                }
            )
    return [formats.inert_json({**found[item], "by": list(found[item]["by"].values())}) for item in chosen]


def _size(text: str) -> int:
    """Bytes of the text as `formats.inert_json` writes it, not counting rare control characters."""
    return len(text.encode("utf-8", "replace")) + 5 * sum(map(text.count, "<>&")) + sum(map(text.count, '"\\\n'))
