"""Filtering: which rationales become training data, and why each other one was dropped.

Every filter is a view of the same traces: rules on what a teacher generated, applied in one order, each counting what
it drops. The default keeps what a teacher itself got right. The cross-teacher intersection is an ablation that removes
the stronger teacher's extra data, so it is an explicit arm only (paper, appendix C).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from capgap_ray.core.contamination import ContaminationIndex
from capgap_ray.core.duplicates import exact_duplicates, near_duplicates
from capgap_ray.records import ContaminationMatch, FilterReport, Rationale

Keep = Literal["own", "intersection", "union", "majority", "finished"]
Same = Callable[[str, str, str], bool]
"""(item, one answer, another) -> whether these extracted answers to the item mean the same."""
Traces = Mapping[str, Mapping[str, Sequence[Rationale]]]
"""task -> teacher -> its rationales. A teacher that produced nothing is there with an empty sequence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What to keep; `experiment.Filter` describes each field."""

    keep: Keep = "own"
    tokens: tuple[int, int] | None = None
    pass_rate: tuple[float, float] | None = None
    samples: int | None = None
    duplicates: Literal["keep", "exact", "near"] = "keep"
    near: float = 0.8
    size: int | Literal["smallest", "intersection"] | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Filtered:
    """What is left, and why the rest is not."""

    kept: Mapping[str, Sequence[Rationale]]
    """Teacher -> its pool over all tasks; with `union` some of its rows are another teacher's."""
    reports: Sequence[FilterReport]
    """One per teacher and task, tasks in the order given."""
    contaminated: Sequence[ContaminationMatch]
    """Every training item whose words hold a test item's, dropped or not."""


def filter_rationales(
    traces: Traces,
    rules: Rules,
    *,
    questions: Mapping[str, str],
    same: Same = lambda _item, one, other: one == other,
    tests: ContaminationIndex | None = None,
    left_out: Collection[str] = (),
) -> Filtered:
    """Apply the rules to every teacher's rationales of every task.

    `questions` maps example ids to the text of the item; `tests` holds the test items that training text must not
    hold; `left_out` are ids of items that are test items themselves. Kept rows stay in input order. Raises ValueError
    for tasks whose teachers differ, for a rationale under another task's or teacher's name, and for an
    (example_id, sample) that occurs twice for one teacher.
    """
    teachers = _checked(traces)
    pools = {(task, teacher): _Pool(traces[task], teacher, rules.keep, same) for task in traces for teacher in teachers}
    for (task, _), pool in pools.items():
        pool.drop(lambda row: "test item" if row.example_id in left_out else None)
        _by_length(pool, rules)
        _by_difficulty(pool, rules, traces[task])
        _by_samples(pool, rules)
    matches: list[ContaminationMatch] = []
    for teacher in teachers:
        own = [pool for (_, name), pool in pools.items() if name == teacher]
        _by_duplicates(own, rules, questions)
        if tests is not None:
            matches += _by_contamination(own, questions, tests)
    for task in traces:
        _by_size({teacher: pools[task, teacher] for teacher in teachers}, rules, traces[task])
    return Filtered(
        kept={t: [row for task in traces for row in pools[task, t].kept] for t in teachers},
        reports=[pool.report(task, teacher) for (task, teacher), pool in pools.items()],
        contaminated=list(dict.fromkeys(matches)),
    )


def _checked(traces: Traces) -> list[str]:
    teachers: list[str] | None = None
    for task, by_teacher in traces.items():
        if teachers is not None and set(teachers) != set(by_teacher):
            raise ValueError(f"task {task}: give every teacher an entry, empty where it has no rationales")
        teachers = teachers or list(by_teacher)
        for name, rows in by_teacher.items():
            keys = set()
            for row in rows:
                if (row.teacher, row.task) != (name, task):
                    raise ValueError(f"a rationale of {row.teacher} on {row.task} stands under {name} on {task}")
                if (row.example_id, row.sample) in keys:
                    raise ValueError(f"teacher {name!r}: item {row.example_id!r}, sample {row.sample} occurs twice")
                keys.add((row.example_id, row.sample))
    return teachers or []


class _Pool:
    """One teacher's rationales of one task, and what has become of them."""

    def __init__(self, by_teacher: Mapping[str, Sequence[Rationale]], teacher: str, keep: Keep, same: Same) -> None:
        own = by_teacher[teacher]
        lent = _lent(by_teacher, teacher) if keep == "union" else []
        self._seen = len(own) + len(lent)
        self._borrowed = len(lent)
        self._dropped: Counter[str] = Counter()
        self.kept: list[Rationale] = [*own, *lent]
        if keep == "majority":
            winners = _majorities(own, same)
            self.drop(lambda row: _against(row, winners, same))
        elif keep == "finished":
            self.drop(lambda row: "truncated" if row.outcome == "truncated" else None)
        else:
            self.drop(lambda row: None if row.outcome == "right" else row.outcome)
        if keep == "intersection":
            everyones = _solved_by_all(by_teacher)
            self.drop(lambda row: None if row.example_id in everyones else "other teacher")

    def drop(self, reason_of: Callable[[Rationale], str | None]) -> None:
        """Drop the rows that have a reason."""
        reasons = [reason_of(row) for row in self.kept]
        self._dropped.update(reason for reason in reasons if reason)
        self.kept = [row for row, reason in zip(self.kept, reasons, strict=True) if not reason]

    def report(self, task: str, teacher: str) -> FilterReport:
        return FilterReport(
            teacher=teacher,
            task=task,
            seen=self._seen,
            kept=len(self.kept),
            borrowed=self._borrowed,
            dropped=dict(sorted(self._dropped.items())),
        )


def _right_items(rows: Sequence[Rationale]) -> set[str]:
    return {row.example_id for row in rows if row.outcome == "right"}


def _solved_by_all(by_teacher: Mapping[str, Sequence[Rationale]]) -> set[str]:
    return set.intersection(*map(_right_items, by_teacher.values()))


def _lent(by_teacher: Mapping[str, Sequence[Rationale]], teacher: str) -> list[Rationale]:
    """Right rationales of items that only others solved; each item's from the first teacher by name who did."""
    solved = _right_items(by_teacher[teacher])
    lent: list[Rationale] = []
    for other in sorted(set(by_teacher) - {teacher}):
        new = [row for row in by_teacher[other] if row.outcome == "right" and row.example_id not in solved]
        lent += new
        solved |= _right_items(new)
    return lent


def _majorities(rows: Sequence[Rationale], same: Same) -> dict[str, str | None]:
    """Item -> the answer that most of its samples give; None where answers tie or there is none."""
    votes: dict[str, list[tuple[str, int]]] = {}
    for row in rows:
        found = votes.setdefault(row.example_id, [])
        if row.answer is None or row.outcome == "truncated":
            continue
        for place, (answer, count) in enumerate(found):
            if answer == row.answer or same(row.example_id, answer, row.answer):
                found[place] = (answer, count + 1)
                break
        else:
            found.append((row.answer, 1))
    winners: dict[str, str | None] = {}
    for item, found in votes.items():
        most = max((count for _, count in found), default=0)
        first = [answer for answer, count in found if count == most]
        winners[item] = first[0] if len(first) == 1 else None
    return winners


def _against(row: Rationale, winners: Mapping[str, str | None], same: Same) -> str | None:
    if row.outcome == "truncated":
        return "truncated"
    if row.answer is None:
        return "unparsable"
    winner = winners[row.example_id]
    if winner is None:
        return "no majority"
    return None if winner == row.answer or same(row.example_id, winner, row.answer) else "against majority"


def _by_length(pool: _Pool, rules: Rules) -> None:
    if rules.tokens is not None:
        shortest, longest = rules.tokens
        pool.drop(lambda row: "too short" if row.tokens < shortest else "too long" if row.tokens > longest else None)


def _by_difficulty(pool: _Pool, rules: Rules, by_teacher: Mapping[str, Sequence[Rationale]]) -> None:
    """By the pass rate of the teacher that wrote the row."""
    if rules.pass_rate is None:
        return
    lowest, highest = rules.pass_rate
    asked = Counter((row.teacher, row.example_id) for rows in by_teacher.values() for row in rows)
    right = Counter((r.teacher, r.example_id) for rows in by_teacher.values() for r in rows if r.outcome == "right")

    def reason(row: Rationale) -> str | None:
        rate = right[row.teacher, row.example_id] / asked[row.teacher, row.example_id]
        return "too hard" if rate < lowest else "too easy" if rate > highest else None

    pool.drop(reason)


def _drawn(purpose: str, seed: int, row: Rationale) -> bytes:
    """The row's place in a draw: the same for every teacher, so that smaller draws are within larger ones."""
    text = f"{purpose}:{seed}:{row.example_id}:{row.sample}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).digest()


def _by_samples(pool: _Pool, rules: Rules) -> None:
    if rules.samples is None:
        return
    by_item: dict[str, list[Rationale]] = {}
    for row in pool.kept:
        by_item.setdefault(row.example_id, []).append(row)
    chosen = {
        (row.example_id, row.sample)
        for rows in by_item.values()
        for row in sorted(rows, key=lambda row: _drawn("samples", rules.seed, row))[: rules.samples]
    }
    pool.drop(lambda row: None if (row.example_id, row.sample) in chosen else "sample not drawn")


def _by_duplicates(pools: Sequence[_Pool], rules: Rules, questions: Mapping[str, str]) -> None:
    """Over all tasks of one teacher: the same question can stand in two of them."""
    if rules.duplicates == "keep":
        return
    rows = [row for pool in pools for row in pool.kept]
    texts = [f"{questions[row.example_id]}\n{row.text}" for row in rows]
    found = {id(rows[place]): "duplicate" for place in exact_duplicates(texts)}
    if rules.duplicates == "near":
        found = {id(rows[place]): "near duplicate" for place in near_duplicates(texts, rules.near)} | found
    for pool in pools:
        pool.drop(lambda row: found.get(id(row)))


def _by_contamination(
    pools: Sequence[_Pool], questions: Mapping[str, str], tests: ContaminationIndex
) -> list[ContaminationMatch]:
    matches: list[ContaminationMatch] = []
    for pool in pools:
        dirty = set()
        for row in pool.kept:
            found = tests.matches(row.example_id, row.task, f"{questions[row.example_id]}\n{row.text}")
            matches += found
            if any(match.dropped for match in found):
                dirty.add(id(row))
        pool.drop(lambda row, dirty=dirty: "contaminated" if id(row) in dirty else None)  # type: ignore[misc]
    return matches


def _by_size(pools: Mapping[str, _Pool], rules: Rules, by_teacher: Mapping[str, Sequence[Rationale]]) -> None:
    if rules.size is None:
        return
    for pool in pools.values():
        if rules.size == "intersection":
            everyones = _solved_by_all(by_teacher)
            size = sum(row.example_id in everyones for row in pool.kept)
        else:
            size = min(len(each.kept) for each in pools.values()) if rules.size == "smallest" else rules.size
        drawn = sorted(pool.kept, key=lambda row: _drawn("size", rules.seed, row))[:size]
        chosen = {(row.example_id, row.sample) for row in drawn}
        pool.drop(lambda row, chosen=chosen: None if (row.example_id, row.sample) in chosen else "not drawn")  # type: ignore[misc]
