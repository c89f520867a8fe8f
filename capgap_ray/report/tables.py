"""Every table of the report as text: one source for the page, the CSV files and the terminal."""

from __future__ import annotations

import csv
import io
import json
import re
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from capgap_ray.records import Accuracy, Comparison, Findings
from capgap_ray.report import findings, formats
from capgap_ray.report.formats import number, p_value, plain, points, signed, significant
from capgap_ray.report.items import CHANGES, Items
from capgap_ray.results import Checkpoint, Results

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")
_LONGEST = 200
"""Characters of a gold or an answer that are shown; the middle of a longer one is cut out."""
_ROLES = ("teacher", "baseline", "distilled")


class Table(NamedTuple):
    """A header and rows of the same width, all text."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def _table(header: str, rows: Sequence[Sequence[str]]) -> Table:
    names = tuple(header.split(" | "))
    assert all(len(row) == len(names) for row in rows), header
    return Table(names, tuple(tuple(row) for row in rows))


def as_csv(table: Table) -> str:
    """Return the table as CSV. A cell that a spreadsheet would run as a formula gets a leading apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for row in (table.header, *table.rows):
        writer.writerow([_inert(cell) for cell in row])
    return out.getvalue()


def _inert(cell: str) -> str:
    risky = cell[:1] in ("\t", "\r", "\n") or cell.lstrip()[:1] in ("=", "+", "-", "@")
    return f"'{cell}" if risky and not _NUMBER.fullmatch(cell) else cell


def verdicts(results: Results) -> Table:
    """Verdict per student and task, pooled ones first, with the gain behind it in points."""
    rows = []
    for v in findings.pooled_first(results.verdicts):
        gain = findings.best_gain(results, v)
        rows.append(
            (
                v.student,
                v.task,
                v.helps,
                formats.DASH if gain is None else findings.short(gain.right, gain.student),
                signed(gain.delta if gain else None),
                signed(gain.ci_low if gain else None),
                signed(gain.ci_high if gain else None),
                p_value(gain.p_adjusted if gain else None),
                formats.optional(v.teacher_to_use),
                number(v.data_ratio, 2),
                formats.optional("; ".join(v.reasons)),
            )
        )
    header = "student | task | verdict | best arm | gain | 95 % low | 95 % high | adjusted p | teacher to use"
    return _table(f"{header} | data ratio | reasons", rows)


def pooled(results: Results) -> Table:
    """Accuracy over all selected tasks per arm, in points: the table behind the first figure."""
    rows = [
        (
            a.arm,
            a.role,
            f"{a.parameters:.0f}",
            str(a.n),
            f"{a.right:.10g}",
            points(a.accuracy),
            points(a.low),
            points(a.high),
        )
        for a in findings.pooled_accuracies(results)[0]
    ]
    return _table("arm | role | parameters | n | right | accuracy | 95 % low | 95 % high", rows)


def gains(results: Results) -> Table:
    """Gain over the untouched student per task and arm, in points: the table behind the second figure."""
    rows = [
        (
            c.student,
            c.task,
            *findings.split_arm(c.right, c.student),
            str(c.n),
            signed(c.delta),
            signed(c.ci_low),
            signed(c.ci_high),
            formats.yes_no(bool(c.confounds)),
        )
        for c in results.comparisons
        if c.kind == "gain"
    ]
    return _table("student | task | mixture | batch | n | gain | 95 % low | 95 % high | confounded", rows)


def advantages(results: Results) -> Table:
    """How far one mixture is ahead of another per student, in points: the table behind the advantage figure."""
    rows = [
        (
            c.student,
            c.task,
            findings.short(c.right, c.student),
            findings.short(c.left, c.student),
            str(c.n),
            *map(signed, (c.delta, c.ci_low, c.ci_high)),
            p_value(c.p_adjusted),
            points(c.mde),
            formats.yes_no(bool(c.confounds)),
        )
        for c in results.comparisons
        if c.kind == "teacher"
    ]
    header = "student | task | arm | against | n | advantage | 95 % low | 95 % high | adjusted p"
    return _table(f"{header} | detectable alone | confounded", rows)


def updates(results: Results) -> Table:
    """Pooled accuracy of each distilled arm and the training it had: the table behind accuracy against updates."""
    rows = [
        (
            *(str(arm.student), str(arm.mixture), arm.setting),
            *map(str, (c.recipe.updates, c.recipe.supervised_tokens)),
            significant(c.recipe.lr_integral),
            *map(points, (arm.accuracy, arm.low, arm.high)),
        )
        for arm, c in findings.trained_arms(results)
    ]
    return _table(
        "student | mixture | batch | updates | supervised tokens | lr integral | accuracy | 95 % low | 95 % high", rows
    )


def progress(results: Results) -> Table:
    """Accuracy of exports on the way through training, by the rules, in points."""
    rows = [
        (
            *(p.student, p.arm, p.task, *map(str, (p.update, p.updates, p.samples, p.n, p.right))),
            *map(points, (p.right / p.n, *findings.wilson(p.right, p.n)) if p.n else (None,) * 3),
        )
        for p in results.progress
    ]
    header = "student | arm | task | update | of updates | training rows seen | n | right"
    return _table(f"{header} | accuracy | 95 % low | 95 % high", rows)


def teacher_costs(results: Results) -> Table:
    """What each teacher's rationales cost, and how many of their tokens train nothing."""
    rows = [
        (
            *(t.teacher, *map(str, (t.rationales, t.right, t.tokens))),
            *map(str, (t.tokens_wrong, t.tokens_unparsable, t.tokens_cut, t.tokens_duplicate)),
            *map(significant, (t.device_hours, t.tokens_per_right, t.device_seconds_per_right)),
        )
        for t in (results.ledger.teachers if results.ledger else ())
    ]
    header = "teacher | rationales | right | tokens | tokens: wrong | unparsable | cut off | duplicate"
    return _table(f"{header} | device-hours | tokens per right one | device-seconds per right one", rows)


def student_costs(results: Results) -> Table:
    """What each distilled arm cost to train, what it gained, and what it costs to serve."""
    rows = [
        (
            *(c.student, c.arm, significant(c.device_hours), number(c.gain_points)),
            *(significant(c.device_hours_per_point), number(c.mean_tokens), number(c.untouched_mean_tokens)),
        )
        for c in (results.ledger.students if results.ledger else ())
    ]
    header = "student | arm | device-hours of training | gain (points) | device-hours per point"
    return _table(f"{header} | tokens per answer | untouched student's", rows)


def device_hours(results: Results) -> Table:
    """Device-hours per stage."""
    ledger = results.ledger
    rows = [(stage, significant(hours)) for stage, hours in ledger.device_hours.items()] if ledger else []
    return _table(f"stage | {ledger.device if ledger else 'device'}-hours", rows)


def costs(results: Results) -> Table:
    """What an answer of each arm takes to write, and its pooled accuracy: the table behind cost against accuracy."""
    rows = [
        (
            a.arm,
            a.role,
            str(a.parameters),
            number(a.tokens),
            formats.flops(a.flops),
            f"{a.flops:.4g}",
            points(a.accuracy),
        )
        for a in findings.pooled_accuracies(results)[0]
    ]
    return _table("arm | role | parameters | tokens per answer | compute per answer | FLOP | accuracy", rows)


def flips(items: Items) -> Table:
    """What became of the items of every distilled arm, per task and over all tasks."""
    rows = []
    for arm in dict.fromkeys(f.arm for f in items.flips):
        mine = [(f.task, f.counts) for f in items.flips if f.arm == arm]
        if len(mine) > 1:
            mine.insert(0, ("all", {name: sum(counts[name] for _, counts in mine) for name in CHANGES}))
        for task, counts in mine:
            row = (formats.optional(arm.student), formats.optional(arm.mixture), formats.optional(arm.setting), task)
            rows.append((*row, str(sum(counts.values())), *(str(counts[name]) for name in CHANGES)))
    return _table(f"student | mixture | batch | task | items | {' | '.join(CHANGES)}", rows)


def losses(results: Results) -> Table:
    """Training loss per arm at five moments: the table behind the loss curves."""
    rows = []
    for c in results.checkpoints:
        last = len(c.losses) - 1
        moments = [c.losses[round(last * part / 4)] if c.losses else None for part in range(5)]
        rows.append((_arm(c), str(len(c.losses)), *map(significant, moments)))
    return _table("arm | losses logged | first | at 25 % | at 50 % | at 75 % | last", rows)


def selection(results: Results) -> Table:
    """The in-context gap rule per task, measured on training items, in points."""
    rows = [
        (
            s.task,
            str(s.n),
            points(s.teacher_acc),
            points(s.student_acc),
            number(s.gap_points),
            number(s.ci_low),
            number(s.ci_high),
            number(s.threshold_points),
            formats.yes_no(s.selected),
        )
        for s in results.selection
    ]
    return _table(
        "task | n | teacher accuracy | student accuracy | gap | 95 % low | 95 % high | threshold | selected", rows
    )


def searches(results: Results) -> Table:
    """How many cells were tried for each that is reported."""
    rows = [
        (
            s.student,
            s.mixture,
            s.searcher + ("" if s.scheduler == "none" else f", {s.scheduler}"),
            str(s.cells),
            str(s.tried),
            str(s.trained),
            str(s.stopped),
            str(s.failed),
            ", ".join(s.kept) or formats.DASH,
            ", ".join(points(each) for each in s.development) or formats.DASH,
            str(s.items),
        )
        for s in results.searches
    ]
    return _table(
        "student | mixture | search | cells | tried | trained | stopped | failed | kept | "
        "accuracy on development items, best of those tried | development items",
        rows,
    )


def given_up(results: Results) -> Table:
    """Cells that early stop has ended; they are no results."""
    rows = [
        (
            g.student,
            g.arm,
            f"{g.update} of {g.updates}",
            signed(g.difference_points / 100),
            signed(g.low_points / 100),
            signed(g.high_points / 100),
            f"{100 * (1 - g.alpha):.2f} %",
            str(g.items),
        )
        for g in results.given_up
    ]
    return _table(
        "student | arm | stopped after update | points from the untouched student | low | high | "
        "each bound holds with | development items",
        rows,
    )


def accuracies(results: Results, part: str) -> Table:
    """Scores of every arm per task on one part (`train` or `test`), shares in points."""
    order = {role: rank for rank, role in enumerate(_ROLES)}
    chosen = [a for a in results.accuracies if a.part == part]
    tasks = {task: rank for rank, task in enumerate(dict.fromkeys(a.task for a in chosen))}
    chosen.sort(key=lambda a: (tasks[a.task], order.get(a.role, len(order))))
    header = "task | role | arm | n | strict | flexible | judged | standard error | chance | parsed | right when parsed"
    outcomes = "right | wrong | unparsable | truncated | unjudged"
    return _table(
        f"{header} | truncated (%) | ended by stop string | {outcomes} | mean tokens", [_accuracy(a) for a in chosen]
    )


def _accuracy(a: Accuracy) -> tuple[str, ...]:
    shares = (a.strict, a.flexible, a.judged, a.standard_error, a.chance, *findings.parsed(a))
    cut = points(a.truncated / a.n if a.n else None)
    counts = (a.right, a.wrong, a.unparsable, a.truncated, a.unjudged)
    hits = ", ".join(f"{_quoted(stop)} {n}" for stop, n in a.stop_hits.items()) or "0"
    return (a.task, a.role, a.arm, str(a.n), *map(points, shares), cut, hits, *map(str, counts), number(a.mean_tokens))


def _quoted(stop: str) -> str:
    """Return a stop string as JSON, so that blank lines and spaces can be seen."""
    return json.dumps(stop, ensure_ascii=False)


def protocols(results: Results) -> Table:
    """How every task was asked: prompt, stop strings, token budget and chance level."""
    rows = [
        (p.task, p.prompt, ", ".join(map(_quoted, p.stop)) or "none", str(p.max_tokens), points(p.chance))
        for p in results.protocols
    ]
    return _table("task | prompt | stop strings | max tokens | chance", rows)


def samples(results: Results) -> Table:
    """avg@k, pass@k and maj@k of arms with several samples per item, in points, with standard errors over items."""
    rows = []
    for a in results.accuracies:
        if a.at_k is not None:
            several = ((f"avg@{a.at_k.samples}", a.at_k.avg), *((f"pass@{k}", e) for k, e in a.at_k.passes.items()))
            for metric, e in (*several, (f"maj@{a.at_k.samples}", a.at_k.maj)):
                known = (points(e.value), points(e.standard_error), str(e.items), str(e.unscored)) if e else None
                rows.append((a.task, a.part, a.arm, metric, *(known or (formats.DASH,) * 4)))
    return _table("task | part | arm | metric | value | standard error | items | unscored items", rows)


def judge_errors(results: Results) -> Table:
    """The judge's error rates on probes with known verdicts, in points."""
    rows = [
        (e.kind, str(e.n), str(e.errors), points(e.rate), points(e.low), points(e.high), str(e.unparsable))
        for e in (results.judge_audit.errors if results.judge_audit else ())
    ]
    return _table("probes | readable verdicts | wrong | error rate | 95 % low | 95 % high | unreadable verdicts", rows)


def judge_corrected(results: Results) -> Table:
    """Accuracy as judged, and corrected for the judge's errors, in points."""
    rows = [
        (
            *(c.task, c.arm, str(c.n), str(c.accepted_by_rules), str(c.asked)),
            *map(points, (c.judged, c.corrected, c.low, c.high)),
            formats.optional(c.note),
        )
        for c in (results.judge_audit.corrected if results.judge_audit else ())
    ]
    return _table(
        "task | arm | n | accepted by rules | judged items | as judged | corrected | 95 % low | 95 % high | note", rows
    )


def disagreements(results: Results) -> Table:
    """Answers on which rules and judge differ."""
    rows = [
        (d.task, d.arm, d.example_id, plain(d.target, _LONGEST), plain(d.answer, _LONGEST), d.rules, d.judge)
        for d in (results.judge_audit.disagreements if results.judge_audit else ())
    ]
    return _table("task | arm | item | gold | answer | rules | judge", rows)


def yields(results: Results) -> Table:
    """What the filter kept and dropped per teacher and task; `balanced` checks seen = kept + drops."""
    rows = []
    others = (reason for f in results.filters for reason in f.dropped)
    reasons = list(dict.fromkeys(["wrong", "unparsable", "truncated", *others]))
    for f in results.filters:
        drops = [f.dropped.get(reason, 0) for reason in reasons]
        kept = points(f.kept / f.seen if f.seen else None)
        balanced = formats.yes_no(f.seen == f.kept + sum(drops))
        rows.append((f.teacher, f.task, str(f.seen), str(f.kept), kept, *map(str, drops), balanced))
    header = "teacher | task | seen | kept | kept % | dropped: " + " | ".join(reasons)
    return _table(f"{header} | balanced", rows)


def mixtures(results: Results) -> Table:
    """Exact composition per mixture and teacher: shares asked for and got, rows, and the rows to choose from."""
    rows = []
    for m in results.mixtures:
        for teacher in dict.fromkeys((*m.shares, *m.rows_by_teacher, *m.kept_by_teacher)):
            got = m.rows_by_teacher.get(teacher)
            kept = m.kept_by_teacher.get(teacher)
            asked = points(m.shares.get(teacher))
            share = points(got / m.rows if got is not None and m.rows else None)
            rows.append((m.mixture, teacher, asked, share, _whole(got), str(m.rows), _whole(kept), str(m.seed)))
    header = "mixture | teacher | share asked (%) | share got (%) | rows | rows of mixture"
    return _table(f"{header} | rows kept by filter | seed", rows)


def mixture_tasks(results: Results) -> Table:
    """Training rows per mixture and task."""
    rows = [(m.mixture, task, str(n)) for m in results.mixtures for task, n in m.rows_by_task.items()]
    return _table("mixture | task | rows", rows)


def _whole(value: int | None) -> str:
    return formats.DASH if value is None else str(value)


def recipes(results: Results) -> Table:
    """The recipe card of every trained student, what most often differs first."""
    header = (
        "student | mixture | batch | updates | samples per update | supervised tokens | tokens per update"
        " | lr integral | learning rate | rows | epochs | rows dropped | rows cut | method | schedule"
        " | warmup updates | workers | packing | over-length | cutoff tokens | token budget | seed"
        " | chat template | prompt | engine | seconds"
    )
    return _table(header, [_recipe(c) for c in results.checkpoints])


def _recipe(checkpoint: Checkpoint) -> tuple[str, ...]:
    r = checkpoint.recipe
    return (
        checkpoint.student,
        checkpoint.mixture,
        findings.setting_of_checkpoint(checkpoint),
        *map(str, (r.updates, r.samples_per_update, r.supervised_tokens)),
        number(r.supervised_tokens_per_update),
        *map(significant, (r.lr_integral, r.learning_rate)),
        str(r.rows),
        significant(r.epochs),
        *map(str, (r.rows_dropped, r.rows_cut, r.method, r.schedule, r.warmup_updates, r.workers)),
        formats.yes_no(r.packing),
        *map(str, (r.overlength, r.cutoff_tokens, r.token_budget, r.seed)),
        *(f"{r.chat_template} {r.template_hash}", r.prompt_hash, r.engine),
        number(checkpoint.seconds),
    )


def _arm(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.student} / {findings.arm_of(checkpoint)}"


def split_constant(table: Table, keep: int) -> tuple[Table, Table]:
    """Return the table without the columns that hold one value throughout, and those columns as a list.

    The first `keep` columns stay in any case.
    """
    columns = list(zip(*table.rows, strict=True))
    varying = [i for i in range(len(table.header)) if i < keep or len(set(columns[i] if columns else ())) != 1]
    fixed = [(table.header[i], columns[i][0]) for i in range(len(table.header)) if i not in varying]
    rows = [tuple(row[i] for i in varying) for row in table.rows]
    return Table(tuple(table.header[i] for i in varying), tuple(rows)), _table("setting | value", fixed)


def comparisons(results: Results) -> Table:
    """Every comparison, right minus left in points, the worst degradation first, unmeasured ones last."""
    worst_first = sorted(results.comparisons, key=lambda c: (c.delta is None, c.delta or 0.0))
    header = "kind | student | task | left | right | n | unscored | left accuracy | right accuracy | change"
    columns = (
        f"{header} | 95 % low | 95 % high | p | adjusted p | detectable alone | test | confounds (right against left)"
    )
    return _table(columns, [_comparison(c) for c in worst_first])


def _comparison(c: Comparison) -> tuple[str, ...]:
    return (
        *(c.kind, c.student, c.task, findings.short(c.left, c.student), findings.short(c.right, c.student)),
        *(str(c.n), str(c.unscored), points(c.left_acc), points(c.right_acc)),
        *(signed(c.delta), signed(c.ci_low), signed(c.ci_high), p_value(c.p), p_value(c.p_adjusted)),
        *(points(c.mde), c.test, "; ".join(map(findings.difference, c.confounds)) or "none"),
    )


def clean(results: Results) -> Table:
    """Pairs of arms that differ only in what they are compared for, with the tasks they are compared on."""
    rows = [
        (p.student, p.kind, p.right, p.left, ", ".join(p.tasks))
        for p in findings.pairs(results.comparisons, confounded=False)
    ]
    return _table("student | kind | arm | against | tasks", rows)


def recommendations(results: Results) -> Table:
    """What to do with each student, why, and what would make it surer."""
    rows = [
        (
            each.student,
            each.status,
            formats.optional(each.arm),
            each.sentence,
            *map("; ".join, (each.reasons, each.surer)),
        )
        for each in findings.advice(results)
    ]
    return _table("student | verdict | best arm | recommendation | reasons | what would make it surer", rows)


def efficacy(found: Findings | None) -> Table:
    """Gain of every arm with where it comes from, in points, degradations first."""
    rows = []
    for e in found.efficacy if found else ():
        c, parts = e.comparison, e.parts
        rows.append(
            (
                *(
                    e.task,
                    e.student,
                    e.teacher,
                    formats.optional(e.recipe),
                    e.status,
                    *map(str, (c.n, c.unscored, c.runs)),
                ),
                *(points(c.left_acc), points(c.right_acc), signed(c.delta), signed(c.ci_low), signed(c.ci_high)),
                *(
                    p_value(c.p),
                    p_value(c.p_adjusted),
                    points(c.mde_adjusted),
                    signed(c.bound_low),
                    signed(c.bound_high),
                ),
                *map(signed, (parts.format, parts.truncation, parts.reasoning) if parts else (None,) * 3),
            )
        )
    header = "task | student | teacher | recipe | verdict | n | unscored | runs | before | after | gain | 95 % low"
    more = "95 % high | p | adjusted p | detectable | lowest if unscored | highest if unscored"
    return _table(f"{header} | {more} | by format | by truncation | by reasoning", rows)


def arms(found: Findings | None) -> Table:
    """What each arm scored on each task, with the bounds that unscored items leave, in points."""
    rows = [
        (
            *(a.task, a.student, formats.optional(a.teacher), formats.optional(a.recipe)),
            *(str(a.n), str(a.unscored), str(a.runs), *map(points, (a.accuracy, a.low, a.high)), number(a.tokens)),
        )
        for a in (found.arms if found else ())
    ]
    header = "task | student | teacher | recipe | n | unscored | runs | accuracy"
    return _table(f"{header} | if all unscored were wrong | if right | mean tokens", rows)


def teacher_advantages(found: Findings | None) -> Table:
    """The weaker teacher's student minus the stronger one's, in points."""
    rows = []
    for a in found.advantages if found else ():
        c = a.comparison
        rows.append(
            (
                *(a.task, a.student, significant(a.size), formats.optional(a.recipe), a.weaker, a.stronger),
                *(
                    formats.optional(a.better),
                    str(c.n),
                    str(c.runs),
                    signed(c.delta),
                    signed(c.ci_low),
                    signed(c.ci_high),
                ),
                *(p_value(c.p), p_value(c.p_adjusted), points(c.mde_adjusted)),
                "; ".join(map(findings.difference, c.confounds)) or "none",
            )
        )
    header = "task | student | size (B) | recipe | weaker teacher | stronger teacher | better | n | runs"
    return _table(
        f"{header} | advantage of the weaker | 95 % low | 95 % high | p | adjusted p | detectable | confounds", rows
    )


def capacity_gap(found: Findings | None) -> Table:
    """Whether the weaker teacher leads for the smallest student and loses that lead with size, in points."""
    rows = [
        (
            *(g.task, formats.optional(g.recipe), g.weaker, g.stronger, g.status, g.smallest, g.largest),
            *map(signed, (g.advantages.get(g.smallest), g.small_low, g.small_high)),
            *map(signed, (g.contrast, g.contrast_low, g.contrast_high)),
            *(p_value(g.p), p_value(g.p_adjusted), points(g.mde_adjusted), formats.optional("; ".join(g.reasons))),
        )
        for g in (found.capacity_gap if found else ())
    ]
    header = "task | recipe | weaker teacher | stronger teacher | verdict | smallest student | largest student"
    ends = "lead, smallest | lead 95 % low | lead 95 % high | contrast | contrast 95 % low | contrast 95 % high"
    return _table(f"{header} | {ends} | p | adjusted p | detectable | reasons", rows)


def chance_patterns(found: Findings | None) -> Table:
    """Capacity-gap patterns observed, and expected if the teachers were equal."""
    rows = [
        (
            *(c.rule, c.weaker, c.stronger, formats.optional(c.recipe), str(c.tasks), str(c.observed)),
            *(number(c.expected), str(c.low), str(c.high), p_value(c.p)),
        )
        for c in (found.chance_patterns if found else ())
    ]
    header = "rule | weaker teacher | stronger teacher | recipe | tasks | patterns observed | expected by chance"
    return _table(f"{header} | 5th percentile | 95th percentile | p", rows)


def random_effects(found: Findings | None) -> Table:
    """Differences pooled over tasks as random effects, in points."""
    rows = [
        (
            *(r.kind, r.student, r.left, r.right, str(r.tasks), signed(r.mean), points(r.standard_error)),
            *(signed(r.estimate), signed(r.ci_low), signed(r.ci_high), points(r.between_tasks)),
        )
        for r in (found.random_effects if found else ())
    ]
    header = "kind | student | left | right | tasks | plain mean | its standard error | random-effects mean"
    return _table(f"{header} | 95 % low | 95 % high | sd between tasks", rows)


def thresholds(found: Findings | None) -> Table:
    """Tasks that each threshold of the gap would select."""
    rows = [
        (f"{t.threshold_points:g}", str(t.selected), str(t.surely_selected), str(t.surely_dropped))
        for t in (found.thresholds if found else ())
    ]
    return _table("threshold | tasks selected | surely selected | surely dropped", rows)


def proxies(found: Findings | None) -> Table:
    """How well numbers known before training foretold the gains."""
    rows = [
        (
            *(q.proxy, q.prefers, str(q.cells), number(q.rank_correlation, 2), p_value(q.p), str(q.choices)),
            *map(points, (q.regret, q.regret_of_chance)),
        )
        for q in (found.proxies if found else ())
    ]
    header = "known before training | better if | cells | rank correlation with the gain | p | choices of a teacher"
    return _table(f"{header} | regret (points) | regret of chance (points)", rows)


def quantity(found: Findings | None) -> Table:
    """What of a teacher's lead is quality of its rationales, and what their number: points, 95 % intervals, adjusted p
    in the family of all claims."""
    rows = [
        (
            *(each.student, each.right, each.left, each.equal, str(each.n)),
            *map(signed, (each.lead, each.lead_low, each.lead_high)),
            *map(signed, (each.quality, each.quality_low, each.quality_high)),
            p_value(each.quality_p),
            *map(signed, (each.quantity, each.quantity_low, each.quantity_high)),
            p_value(each.quantity_p),
            " and ".join(each.shown) or "neither",
        )
        for each in (found.quantity if found else ())
    ]
    header = "student | arm | against | equal | n | lead on all rows | lead low | lead high | quality | quality low"
    header += " | quality high | quality p | quantity | quantity low | quantity high | quantity p | shown"
    return _table(header, rows)


def leads(found: Findings | None) -> Table:
    """What each number known before training says of every student's teachers."""
    rows = [
        (
            *(lead.student, lead.proxy, lead.prefers, teacher, significant(each.value), significant(each.error)),
            *(formats.yes_no(teacher == lead.leader), formats.yes_no(lead.sure), str(lead.tasks)),
        )
        for lead in (found.leads if found else ())
        for teacher, each in lead.values.items()
    ]
    header = "student | known before training | better if | teacher | value | standard error | preferred | beyond noise"
    return _table(f"{header} | tasks", rows)


def rules(found: Findings | None) -> Table:
    """What the plain-reading rules say, for parity with published readings."""
    rows = [
        (r.rule, r.formula, r.task, r.weaker, r.stronger, formats.optional(r.recipe), formats.yes_no(r.holds))
        for r in (found.rules if found else ())
    ]
    return _table("rule | formula | task | weaker teacher | stronger teacher | recipe | holds", rows)


def everything(results: Results) -> dict[str, Table]:
    """Return every table that depends on the results alone, by the name of its file."""
    found = results.findings
    return {
        "recommendations": recommendations(results),
        "efficacy": efficacy(found),
        "arms": arms(found),
        "teacher_advantages": teacher_advantages(found),
        "capacity_gap": capacity_gap(found),
        "chance_patterns": chance_patterns(found),
        "random_effects": random_effects(found),
        "thresholds": thresholds(found),
        "quantity": quantity(found),
        "proxies": proxies(found),
        "leads": leads(found),
        "rules": rules(found),
        "verdicts": verdicts(results),
        "fair": clean(results),
        "pooled": pooled(results),
        "gains": gains(results),
        "advantages": advantages(results),
        "updates": updates(results),
        "progress": progress(results),
        "losses": losses(results),
        "yields": yields(results),
        "costs": costs(results),
        "selection": selection(results),
        "searches": searches(results),
        "given_up": given_up(results),
        "accuracies_train": accuracies(results, "train"),
        "accuracies": accuracies(results, "test"),
        "samples": samples(results),
        "protocols": protocols(results),
        "judge_errors": judge_errors(results),
        "judge_corrected": judge_corrected(results),
        "disagreements": disagreements(results),
        "mixtures": mixtures(results),
        "mixture_tasks": mixture_tasks(results),
        "recipes": recipes(results),
        "comparisons": comparisons(results),
        "teacher_costs": teacher_costs(results),
        "student_costs": student_costs(results),
        "device_hours": device_hours(results),
        "stages": stages(results),
        "versions": versions(results),
    }


def stages(results: Results) -> Table:
    """Work time per stage, summed over steps."""
    rows = [(name, number(s), formats.duration(s)) for name, s in results.stage_seconds.items()]
    return _table("stage | seconds | time", rows)


def versions(results: Results) -> Table:
    """Versions of what made the results."""
    return _table("package | version", list(results.versions.items()))


def verdict_text(results: Results, width: int = 100) -> str:
    """Return the verdicts for a terminal: at most `width` columns, aligned, no colour, no control characters."""
    title = f"{results.experiment}: verdict per student, all tasks pooled (gain in points, 95 % interval)"
    lines = [plain(title, width)]
    pooled_rows, task_rows = [], []
    for v in findings.pooled_first(results.verdicts):
        gain = findings.best_gain(results, v)
        arm = formats.DASH if gain is None else findings.short(gain.right, gain.student)
        text = formats.DASH if gain is None else formats.change(gain.delta, gain.ci_low, gain.ci_high)
        if v.task == findings.POOLED:
            pooled_rows.append((v.student, v.helps, arm, text, formats.optional(v.teacher_to_use)))
        else:
            task_rows.append((v.task, v.student, v.helps, arm, text, p_value(gain.p_adjusted if gain else None)))
    if results.findings:
        told = findings.advice(results)
        rows = [
            (
                each.student,
                each.status,
                formats.optional(each.arm),
                formats.change(each.gain.delta, each.gain.ci_low, each.gain.ci_high) if each.gain else formats.DASH,
                p_value(each.gain.p_adjusted if each.gain else None),
            )
            for each in told
        ]
        lines += _aligned(("student", "verdict", "best arm", "gain", "adjusted p"), rows, width)
        for each in told:
            lines += textwrap.wrap(plain(each.sentence), width, initial_indent="  ", subsequent_indent="    ")
    elif pooled_rows:
        lines += _aligned(("student", "verdict", "best arm", "gain", "teacher to use"), pooled_rows, width)
    else:
        lines.append("No pooled verdict: no distilled student was compared with its untouched self.")
    declared = [c for c in results.comparisons if c.kind == "declared"]
    unfair = findings.pairs(declared, confounded=True)
    if unfair:
        lines += ["", "No verdict is drawn from these declared comparisons:"]
    for pair in unfair:
        sentence = plain(f"{pair.student}: {pair.sentence()}")
        lines += textwrap.wrap(sentence, width, initial_indent="  ", subsequent_indent="    ")
    for warning in findings.below_chance(results):
        lines += textwrap.wrap(plain(f"Warning: {warning}"), width, subsequent_indent="  ")
    if task_rows:
        lines += [
            "",
            "Per task:",
            *_aligned(("task", "student", "verdict", "best arm", "gain", "adjusted p"), task_rows, width),
        ]
    return "\n".join(lines) + "\n"


def _aligned(header: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    cells = [[plain(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    while sum(widths) + 2 * len(widths) > width:
        widths[widths.index(max(widths))] -= 1
    return [
        "  " + "  ".join(plain(cell, size).ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
