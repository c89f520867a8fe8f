"""What tables, figures and sentences share: pooled accuracies, the best arm's gain, which comparisons are fair."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from capgap_ray.core import chance
from capgap_ray.records import Accuracy, Checkpoint, Comparison, Confound, FilterReport, Results, Verdict
from capgap_ray.report import formats

POOLED = "all"
"""The task name of pooled comparisons and verdicts."""

_Z95 = 1.959964


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledAccuracy:
    """One arm over all pooled tasks: the sum of right answers over the sum of items, test part."""

    arm: str
    role: str
    student: str | None
    mixture: str | None
    setting: str
    parameters: int
    n: int
    right: int
    low: float
    """95 % Wilson interval over items, in shares."""
    high: float
    tokens: float
    """Mean length of an answer in tokens."""

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.right / self.n

    @property
    def flops(self) -> float:
        """Operations to write one answer: two per parameter and token (Kaplan et al. 2020), the prompt left out."""
        return 2 * self.parameters * self.tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmPair:
    """All comparisons of one pair of arms that differ in the same way, whatever the task."""

    student: str
    kind: str
    left: str
    right: str
    tasks: tuple[str, ...]
    confounds: tuple[Confound, ...]

    def sentence(self) -> str:
        """Return `mix / 5x4 against large / 2x1 is confounded: 10.0x fewer updates (12 against 120)`."""
        return f"{self.right} against {self.left} is confounded: {'; '.join(map(difference, self.confounds))}"


def difference(confound: Confound) -> str:
    """Return one difference in words with both sizes, right against left as everywhere in the report."""
    words = confound.note.removesuffix(f" ({confound.left} against {confound.right})")
    return f"{words} ({confound.right} against {confound.left})"


def short(label: str, student: str | None) -> str:
    """Return an arm's label without its student: `small-student / mix / 5x4` -> `mix / 5x4`."""
    return label.removeprefix(f"{student} / ") if student else label


def split_arm(label: str, student: str | None) -> tuple[str, str]:
    """Return the mixture and the batch setting that an arm's label names."""
    mixture, _, setting = short(label, student).partition(" / ")
    return mixture, setting


def setting_of(accuracy: Accuracy) -> str:
    """Return what tells a distilled arm from others of its student and mixture: batch, seed and so on."""
    label = short(accuracy.arm, accuracy.student)
    prefix = f"{accuracy.mixture} / "
    return label.removeprefix(prefix) if label.startswith(prefix) else (accuracy.batch or "")


def wilson(right: int, n: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of right/n in shares; unlike the normal one it holds at 0 and 1."""
    share, z2 = right / n, _Z95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def pooled_tasks(results: Results) -> tuple[str, ...]:
    """Return the tasks that pooled accuracies sum over: tested ones, and selected where a rule selected."""
    tested = dict.fromkeys(a.task for a in results.accuracies if a.part == "test")
    selected = {s.task for s in results.selection if s.selected}
    return tuple(task for task in tested if task in selected or not results.selection)


def pooled_accuracies(results: Results) -> tuple[tuple[PooledAccuracy, ...], tuple[str, ...]]:
    """Return every arm's pooled accuracy, and the arms left out because a task's score is missing.

    An arm without all the tasks would be measured on other items than the rest, so it is not pooled.
    """
    tasks = set(pooled_tasks(results))
    by_arm: dict[str, list[Accuracy]] = {}
    for accuracy in results.accuracies:
        if accuracy.part == "test" and accuracy.task in tasks:
            by_arm.setdefault(accuracy.arm, []).append(accuracy)
    pooled, missing = [], []
    for arm, parts in by_arm.items():
        n, right = sum(a.n for a in parts), sum(a.right for a in parts)
        if {a.task for a in parts} != tasks or n == 0:
            missing.append(arm)
            continue
        first, (low, high) = parts[0], wilson(right, n)
        pooled.append(
            PooledAccuracy(
                arm=arm,
                role=first.role,
                student=first.student,
                mixture=first.mixture,
                setting=setting_of(first) if first.role == "distilled" else "",
                parameters=first.parameters,
                n=n,
                right=right,
                low=low,
                high=high,
                tokens=sum(a.mean_tokens * a.n for a in parts) / n,
            )
        )
    return tuple(pooled), tuple(missing)


def batch_of(checkpoint: Checkpoint) -> str:
    """Return `<per-device batch>x<accumulation>`."""
    recipe = checkpoint.recipe
    return f"{recipe.per_device_batch_size}x{recipe.gradient_accumulation_steps}"


def trained_arms(results: Results) -> tuple[tuple[PooledAccuracy, Checkpoint], ...]:
    """Return every distilled arm with its checkpoint, in order of updates.

    Where several arms share student, mixture and batch, nothing tells which checkpoint is whose: they are left out.
    """
    names = {a.arm: (a.student, a.mixture, a.batch) for a in results.accuracies if a.role == "distilled"}
    arms: dict[tuple[str | None, str | None, str | None], list[PooledAccuracy]] = {}
    for arm in pooled_accuracies(results)[0]:
        if arm.role == "distilled":
            arms.setdefault(names[arm.arm], []).append(arm)
    found: dict[tuple[str | None, str | None, str | None], list[Checkpoint]] = {}
    for checkpoint in results.checkpoints:
        found.setdefault((checkpoint.student, checkpoint.mixture, batch_of(checkpoint)), []).append(checkpoint)
    pairs = [(mine[0], found[key][0]) for key, mine in arms.items() if len(mine) == 1 and len(found.get(key, ())) == 1]
    return tuple(sorted(pairs, key=lambda pair: pair[1].recipe.updates))


def fates(report: FilterReport) -> tuple[int, int, int, int, int]:
    """Return what became of rationales: kept, wrong, unparsable, truncated, failed by another teacher."""
    return (
        report.kept,
        report.dropped_wrong,
        report.dropped_unparsable,
        report.dropped_truncated,
        report.dropped_by_other_teacher,
    )


def parsed(accuracy: Accuracy) -> tuple[float | None, float | None]:
    """Return the share of outputs that an answer was read from, and the share of right ones among those.

    Their product is the accuracy: a student may gain by learning the format alone, which only the first shows.
    """
    read = accuracy.right + accuracy.wrong
    return (read / accuracy.n if accuracy.n else None, accuracy.right / read if read else None)


def below_chance(results: Results) -> tuple[str, ...]:
    """Return a sentence per cell that is significantly below its task's chance level."""
    sentences = []
    for a in results.accuracies:
        if chance.below_chance(a):
            read, right = map(formats.points, parsed(a))
            sentences.append(
                f"{a.arm} on {a.task} ({a.part}): {formats.points(a.flexible)} % is below chance "
                f"({formats.points(a.chance)} %); an answer was read from {read} % of the outputs, right in {right} % "
                f"of those, and {formats.points(a.truncated / a.n)} % were cut off."
            )
    return tuple(sentences)


def best_gain(results: Results, verdict: Verdict) -> Comparison | None:
    """Return the gain behind a verdict: of the best mixture's arms, the largest without confounds."""
    ranked = [
        (c.delta, c)
        for c in results.comparisons
        if c.kind == "gain"
        and not c.confounds
        and (c.student, c.task) == (verdict.student, verdict.task)
        and c.delta is not None
        and verdict.best_mixture in (short(c.right, c.student), split_arm(c.right, c.student)[0])
    ]
    return max(ranked, key=lambda pair: pair[0])[1] if ranked else None


def pairs(comparisons: Iterable[Comparison], *, confounded: bool) -> tuple[ArmPair, ...]:
    """Return the pairs of arms compared with (or without) confounds, tasks merged, in order."""
    groups: dict[tuple[str, str, str, str, tuple[Confound, ...]], list[str]] = {}
    for c in comparisons:
        if bool(c.confounds) is confounded:
            key = (c.student, c.kind, short(c.left, c.student), short(c.right, c.student), c.confounds)
            groups.setdefault(key, []).append(c.task)
    return tuple(
        ArmPair(student=student, kind=kind, left=left, right=right, tasks=tuple(tasks), confounds=confounds)
        for (student, kind, left, right, confounds), tasks in groups.items()
    )


def pooled_first(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """Return the pooled verdicts and then the others, each in their order."""
    return tuple(sorted(verdicts, key=lambda v: v.task != POOLED))


def headline(results: Results) -> str:
    """Return the answer over all students in a few words."""
    verdicts = [v for v in results.verdicts if v.task == POOLED]
    if not verdicts:
        return "No answer yet"
    count = {word: sum(v.helps == word for v in verdicts) for word in ("improved", "harmed", "undetermined")}
    of = formats.count(len(verdicts), "student")
    if count["improved"]:
        harm = f", and harms {count['harmed']}" if count["harmed"] else ""
        return f"Distillation helps {count['improved']} of {of}{harm}"
    if count["harmed"]:
        return f"Distillation harms {count['harmed']} of {of} and is not shown to help any"
    return "Distillation is not shown to help"


def answer(results: Results) -> tuple[str, ...]:
    """Return the plain answer: one sentence over all students, then the evidence for each."""
    verdicts = [v for v in results.verdicts if v.task == POOLED]
    if not verdicts:
        return (
            "There is no answer: no distilled student was compared with its untouched self over all tasks, "
            "and nothing is averaged over nothing.",
        )
    words = {"improved": "helps", "harmed": "harms", "undetermined": "has no proven effect on"}
    parts = []
    for helps, word in words.items():
        names = [v.student for v in verdicts if v.helps == helps]
        if names:
            parts.append(f"{word} {len(names)} of {formats.count(len(verdicts), 'student')} ({', '.join(names)})")
    over = formats.count(len(pooled_tasks(results)), "selected task")
    summary = f"Over {over} together, chain-of-thought distillation {' and '.join(parts) or words['undetermined']}."
    return (summary, *(_evidence(results, verdict) for verdict in verdicts))


def _evidence(results: Results, verdict: Verdict) -> str:
    gain = best_gain(results, verdict)
    if gain is None:
        text = f"{verdict.student}: no fair comparison with the untouched student names a best arm."
    else:
        text = (
            f"{verdict.student}: the best arm, {short(gain.right, gain.student)}, changes accuracy by "
            f"{formats.signed(gain.delta)} points (95 % interval {formats.signed(gain.ci_low)} to "
            f"{formats.signed(gain.ci_high)}, adjusted p {formats.p_value(gain.p_adjusted)}, {gain.n} items)."
        )
        if verdict.helps == "undetermined" and gain.mde is not None:
            text += f" This many items find a true difference of {formats.points(gain.mde)} points or more."
    if verdict.teacher_to_use is None:
        return text + " No teacher is shown to be better than another."
    return text + f" Teacher to use: {verdict.teacher_to_use}."
