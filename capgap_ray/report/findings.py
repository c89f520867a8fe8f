"""What tables, figures and sentences share: pooled accuracies, the best arm's gain, which comparisons are fair."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from capgap_ray.core import chance
from capgap_ray.core.recommendation import shows_difference
from capgap_ray.records import Accuracy, Comparison, Confound, FilterReport, Findings, Recommendation, Verdict
from capgap_ray.report import formats
from capgap_ray.results import Checkpoint, Results

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
    parameters: float
    n: int
    right: float
    """Whole, but where only the mean over tasks is known."""
    low: float
    """95 % Wilson interval over items, in shares."""
    high: float
    tokens: float
    """Mean length of an answer in tokens; 0 where not known."""

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

    @property
    def where(self) -> str:
        """The tasks in words; all of them where the comparison pooled over tasks is among them."""
        return "all tasks" if POOLED in self.tasks else ", ".join(self.tasks)

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


def wilson(right: float, n: float) -> tuple[float, float]:
    """Return the 95 % Wilson interval of right/n in shares; unlike the normal one it holds at 0 and 1."""
    share, z2 = right / n, _Z95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # At 0 and 1 one end is the share itself, which rounding may put beyond it: no figure draws a negative bar.
    return min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))


def pooled_tasks(results: Results) -> tuple[str, ...]:
    """Return the tasks that pooled accuracies sum over: tested ones, and selected where a rule selected."""
    if results.findings and not results.accuracies:
        return results.findings.tasks
    tested = dict.fromkeys(a.task for a in results.accuracies if a.part == "test")
    selected = {s.task for s in results.selection if s.selected}
    return tuple(task for task in tested if task in selected or not results.selection)


def counted_tasks(results: Results, n: int) -> str:
    """Return `6 tasks`, or `6 selected tasks` where a rule selected: of results made elsewhere all are there."""
    return formats.count(n, "selected task" if results.selection and results.accuracies else "task")


def pooled_accuracies(results: Results) -> tuple[tuple[PooledAccuracy, ...], tuple[str, ...]]:
    """Return every arm's pooled accuracy, and the arms left out because a task's score is missing.

    An arm without all the tasks would be measured on other items than the rest, so it is not pooled.
    """
    if results.findings and not results.accuracies:
        return _found_accuracies(results), ()
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
        first, alike = parts[0], _answers_per_item(parts)
        low, high = wilson(right / alike, n / alike)
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


def _answers_per_item(parts: Sequence[Accuracy]) -> float:
    """How many answers are worth one item: 1 with one answer each, up to all samples of an item where they agree.

    It is the clustered variance over that of as many independent answers (Kish's design effect).
    """
    alone = sum(a.right * (1 - a.right / a.n) for a in parts)
    if alone == 0:
        return max((float(a.at_k.samples) for a in parts if a.at_k), default=1.0)
    shares = [(a.n, a.right / a.n, a.standard_error) for a in parts]
    clustered = sum(n**2 * (p * (1 - p) if error is None else error**2) for n, p, error in shares)
    return max(1.0, clustered / alone)


def _found_accuracies(results: Results) -> tuple[PooledAccuracy, ...]:
    """The same of results made elsewhere, from both sides of their gains."""
    compared = [c for c in completed(results).comparisons if c.kind == "gain" and c.n]
    task, known = widest_task(compared), sizes(results)
    lengths: dict[str, list[float]] = {}
    for each in results.findings.arms if results.findings else ():
        if each.tokens is not None:
            trained = " / ".join(filter(None, (each.student, each.teacher, each.recipe)))
            lengths.setdefault(trained, []).append(each.tokens)
    arms: dict[str, PooledAccuracy] = {}
    for c in compared:
        for role, arm, share in (("baseline", c.student, c.left_acc), ("distilled", c.right, c.right_acc)):
            name = arm if role == "baseline" else f"{c.student} / {short(arm, c.student)}"
            if c.task != task or c.student not in known or share is None or name in arms:
                continue
            low, high = wilson(share * c.n, c.n)
            mixture, setting = split_arm(arm, c.student) if role == "distilled" else (None, "")
            arms[name] = PooledAccuracy(
                arm=name,
                role=role,
                student=c.student,
                mixture=mixture,
                setting=setting,
                parameters=known[c.student],
                n=c.n,
                right=share * c.n,
                low=low,
                high=high,
                tokens=fmean(lengths.get(name, (0.0,))),
            )
    return tuple(arms.values())


def arm_of(checkpoint: Checkpoint) -> str:
    """Return the checkpoint's arm, `mix / 5x4`; made from its recipe where it was not kept."""
    recipe = checkpoint.recipe
    batch = f"{recipe.per_device_batch_size}x{recipe.gradient_accumulation_steps}"
    return checkpoint.arm or f"{checkpoint.mixture} / {batch}"


def setting_of_checkpoint(checkpoint: Checkpoint) -> str:
    """Return what tells the checkpoint from others of its student and mixture: batch, matching and so on."""
    return arm_of(checkpoint).removeprefix(f"{checkpoint.mixture} / ")


def trained_arms(results: Results) -> tuple[tuple[PooledAccuracy, Checkpoint], ...]:
    """Return every distilled arm with its checkpoint, in order of updates.

    Where several checkpoints have one label, nothing tells which is whose: they are left out.
    """
    found: dict[str, list[Checkpoint]] = {}
    for checkpoint in results.checkpoints:
        found.setdefault(f"{checkpoint.student} / {arm_of(checkpoint)}", []).append(checkpoint)
    arms = [arm for arm in pooled_accuracies(results)[0] if arm.role == "distilled"]
    pairs = [(arm, found[arm.arm][0]) for arm in arms if len(found.get(arm.arm, ())) == 1]
    return tuple(sorted(pairs, key=lambda pair: pair[1].recipe.updates))


def fates(report: FilterReport) -> tuple[int, int, int, int, int]:
    """Return what became of rationales: kept, wrong, unparsable, truncated, dropped by another rule of the filter."""
    by_outcome = tuple(report.dropped.get(reason, 0) for reason in ("wrong", "unparsable", "truncated"))
    return (report.kept, *by_outcome, sum(report.dropped.values()) - sum(by_outcome))  # type: ignore[return-value]


def parsed(accuracy: Accuracy) -> tuple[float | None, float | None]:
    """Return the share of outputs that an answer was read from, and the share of right ones among those.

    Their product is the accuracy: a student may gain by learning the format alone, which only the first shows.
    """
    read = accuracy.right + accuracy.wrong
    return (read / accuracy.n if accuracy.n else None, accuracy.right / read if read else None)


def below_chance(results: Results) -> tuple[str, ...]:
    """Return a sentence on each cell that is significantly below its task's chance level; cells of which the same is
    to be said share one."""
    cells: dict[tuple[str, str], list[str]] = {}
    for a in results.accuracies:
        if chance.below_chance(a):
            read, right = map(formats.points, parsed(a))
            said = (
                f"{formats.points(a.flexible)} % is below chance ({formats.points(a.chance)} %); an answer was read "
                f"from {read} % of the outputs, right in {right} % of those, and "
                f"{formats.points(a.truncated / a.n)} % were cut off."
            )
            cells.setdefault((f"{a.task} ({a.part})", said), []).append(a.arm)
    return tuple(f"{', '.join(arms)} on {where}: {said}" for (where, said), arms in cells.items())


def best_gain(results: Results, verdict: Verdict) -> Comparison | None:
    """Return the gain behind a verdict: of the best mixture's arms, the largest without confounds; of those that are
    shown, where the verdict says so."""
    ranked = [
        (c.delta, c)
        for c in results.comparisons
        if c.kind == "gain"
        and not c.confounds
        and (c.student, c.task) == (verdict.student, verdict.task)
        and c.delta is not None
        and verdict.best_mixture in (short(c.right, c.student), split_arm(c.right, c.student)[0])
        and (verdict.helps != "improved" or shows_difference(c))
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


def completed(results: Results) -> Results:
    """Return the results with comparisons from their findings where they have none of their own.

    Results made elsewhere have findings only; what they compare is then drawn and listed like our own.
    """
    found = results.findings
    if found is None or results.comparisons:
        return results
    compared = (
        *(e.comparison for e in found.efficacy),
        *(a.comparison for a in found.advantages if a.student != POOLED),
        *found.declared,
    )
    return dataclasses.replace(results, comparisons=compared)


def sizes(results: Results) -> dict[str, float]:
    """Return the parameters of every student whose size is known."""
    known: dict[str, float] = {a.student: a.parameters for a in results.accuracies if a.student and a.parameters > 0}
    if results.findings:
        known |= {name: 1e9 * size for name, size in results.findings.students.items() if size and name not in known}
    return known


def widest_task(comparisons: Iterable[Comparison]) -> str | None:
    """Return the task name that stands for everything: `all`, or the one task there is; else None."""
    tasks = {c.task for c in comparisons}
    return POOLED if POOLED in tasks else tasks.pop() if len(tasks) == 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What the head of the page says of one student."""

    student: str
    status: Literal["improved", "harmed", "undetermined"]
    sentence: str
    gain: Comparison | None
    """Behind it: of the best fair arm, over all tasks."""
    arm: str | None
    reasons: tuple[str, ...]
    surer: tuple[str, ...]
    """What would make it surer."""


def advice(results: Results) -> tuple[Advice, ...]:
    """Return the recommendation per student: from the findings, or from the pooled verdicts where there are none."""
    if results.findings:
        return tuple(_recommended(results.findings, each) for each in results.findings.recommendations)
    return tuple(_decided(results, verdict) for verdict in results.verdicts if verdict.task == POOLED)


def _recommended(found: Findings, advised: Recommendation) -> Advice:
    mine = [e for e in found.efficacy if e.student == advised.student]
    task = widest_task(e.comparison for e in mine)
    fair = [e for e in mine if e.task == task and not e.comparison.confounds and e.comparison.delta is not None]
    meant = [e for e in fair if advised.teacher in (None, e.teacher) and advised.recipe in (None, e.recipe)]
    if advised.distil == "yes":
        meant = [e for e in meant if e.status == "improved"]
    best = max(meant or fair, key=lambda e: e.comparison.delta or 0.0, default=None)
    return Advice(
        student=advised.student,
        status={"yes": "improved", "no": "harmed", "undetermined": "undetermined"}[advised.distil],  # type: ignore[arg-type]
        sentence=advised.sentence,
        gain=best.comparison if best else None,
        arm=short(best.comparison.right, advised.student) if best else None,
        reasons=advised.reasons,
        surer=advised.surer,
    )


def _decided(results: Results, verdict: Verdict) -> Advice:
    gain = best_gain(results, verdict)
    if verdict.teacher_to_use:
        teacher = f"Teacher to use: {verdict.teacher_to_use}."
    elif verdict.helps == "improved":
        teacher = "No teacher is recommended before the others."
    else:
        teacher = "No teacher is shown to help this student."
    unknown = "No fair comparison with the untouched student names a best arm. "
    unseen = ""
    if verdict.helps == "undetermined" and gain and gain.mde is not None:
        size = formats.points(gain.mde)
        unseen = f" This many items find a true difference of {size} points or more: the smallest detectable one."
    return Advice(
        student=verdict.student,
        status=verdict.helps,
        sentence=("" if gain else unknown) + teacher + unseen,
        gain=gain,
        arm=short(gain.right, gain.student) if gain else None,
        reasons=verdict.reasons,
        surer=(),
    )


def headline(results: Results) -> str:
    """Return the answer over all students in a few words."""
    told = advice(results)
    if not told:
        return "No answer yet"
    if results.findings and not results.findings.teachers:
        return "No student is distilled yet"
    count = {word: sum(each.status == word for each in told) for word in ("improved", "harmed", "undetermined")}
    of = formats.count(len(told), "student")
    if count["improved"]:
        harm = f", and harms {count['harmed']}" if count["harmed"] else ""
        if count["improved"] == len(told):
            return f"Distillation helps {f'all {of}' if len(told) > 1 else 'this student'}"
        return f"Distillation helps {count['improved']} of {of}{harm}"
    if count["harmed"]:
        return f"Distillation harms {count['harmed']} of {of} and is not shown to help any"
    return "Distillation is not shown to help"


def gap_sentences(results: Results) -> tuple[str, ...]:
    """Return what the findings say of a capacity gap over all tasks, one sentence per two teachers and recipe."""
    gaps = results.findings.capacity_gap if results.findings else ()
    tasks = {gap.task for gap in gaps}
    sentences = []
    for gap in gaps:
        if gap.task != POOLED and len(tasks) > 1:
            continue
        with_recipe = f" ({gap.recipe})" if gap.recipe else ""
        lead = formats.change(gap.advantages.get(gap.smallest), gap.small_low, gap.small_high)
        shrinks = formats.change(gap.contrast, gap.contrast_low, gap.contrast_high)
        numbers = (
            f"its lead over {gap.stronger} is {lead} points for {gap.smallest}, "
            f"and {shrinks} points more there than for {gap.largest} (95 % intervals)"
        )
        said = {
            "pattern": f"Capacity gap{with_recipe}: {gap.weaker} is the better teacher for the smallest student, "
            "less so with size",
            "none": f"No capacity gap{with_recipe}: that {gap.weaker} is 5 points ahead for the smallest student "
            "is excluded",
            "undetermined": f"Open{with_recipe}: whether {gap.weaker} is the better teacher for small students",
        }
        unknown = "" if gap.ordered else "; which of the two teachers is the weaker is not known"
        sentences.append(f"{said[gap.status]}; {numbers}{unknown}.")
    return tuple(sentences)


def answer(results: Results) -> str:
    """Return the plain answer in one sentence over all students."""
    told = advice(results)
    if not told:
        return (
            "There is no answer: no distilled student was compared with its untouched self over all tasks, "
            "and nothing is averaged over nothing."
        )
    if results.findings and not results.findings.teachers:
        return "No student is distilled yet; what follows is known before training, and promises nothing."
    words = {"improved": "helps", "harmed": "harms", "undetermined": "has no proven effect on"}
    parts = []
    for status, word in words.items():
        names = [each.student for each in told if each.status == status]
        if names:
            parts.append(f"{word} {len(names)} of {formats.count(len(told), 'student')} ({', '.join(names)})")
    tasks = results.findings.tasks if results.findings else pooled_tasks(results)
    over = f"{counted_tasks(results, len(tasks))} together" if len(tasks) != 1 else f"the task {tasks[0]}"
    return f"Over {over}, chain-of-thought distillation {' and '.join(parts)}."
