"""A plan's cost, fit, fairness and power, told before anything runs: needs no GPU, weights or network."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, product
from typing import Any, NamedTuple

from capgap_ray.analysis import form_notes, recipe_card, revision_notes
from capgap_ray.artifacts.step import Step, unique
from capgap_ray.catalog.accelerators import ACCELERATORS, Accelerator
from capgap_ray.catalog.models import Endpoint, Model, known_config, vocabulary_of
from capgap_ray.core.budget import count_updates
from capgap_ray.core.confounds import YIELD_TOLERANCE, find_confounds, treated_fields
from capgap_ray.core.cost import (
    ASSUMED,
    GIGABYTE,
    checkpoint_bytes,
    engine_memory,
    generation_hours,
    training_flops,
    training_hours,
    training_memory,
)
from capgap_ray.core.design import DISCORDANT, PERSISTENT, Design, cheapest, detectable
from capgap_ray.core.recommendation import SIGNIFICANCE
from capgap_ray.experiment import Experiment
from capgap_ray.plan import Cell, Plan, Scored
from capgap_ray.records import Confound, RecipeCard
from capgap_ray.scored_arms import claims, key_of
from capgap_ray.settings import Batch, Filter, Sft
from capgap_ray.tasks.published import PUBLISHED

Summary = Callable[[Step], Mapping[str, Any] | None]
"""A step's summary in the store; None where it is not built."""
Have = Mapping[str, Mapping[str, Any]]
"""Key of a step that is built -> its summary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCost:
    """What one stage has, and what is still to come of it."""

    stage: str
    steps: int
    exist: int
    prompt_tokens: int
    output_tokens: int
    output_tokens_at_most: int
    measured: float
    """Share of the tokens written, read or trained on that rests on lengths of answers in the store, not assumed."""
    updates: int
    training_tokens: int
    device_hours: float | None
    """None: the accelerator is not named, so its speed is not known."""
    device_hours_at_most: float | None
    disk_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CellForecast:
    """One training run as far as it can be told."""

    student: str
    arm: str
    samples_per_update: int
    """Places of a batch: rows, or packs of rows with `sft.packing`."""
    packed: bool
    updates: int
    updates_at_most: int
    """Were every rationale right."""
    trained: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Whether a model fits the accelerators that it would run on."""

    what: str
    devices: float
    gigabytes: float
    """Needed on each."""
    available: float
    fits: bool
    mend: str
    """What would make it fit; empty where it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an API is asked for, which is paid for by token and not by device-hour."""

    model: str
    requests: int
    prompt_tokens: int
    output_tokens: int
    output_tokens_at_most: int
    hours: float | None
    """As `requests_per_minute` allows; None: it is not set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpus:
    """How many are at work at once."""

    least: int
    """Without so many, the run is refused or waits."""
    why: str
    """What needs these."""
    most: int
    """With all engines and trials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lint:
    """One comparison: in what its arms differ beyond the treatment."""

    comparison: str
    student: str
    left: str
    right: str
    confounds: tuple[Confound, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detectable:
    """The smallest difference between two arms that the design finds."""

    task: str
    items: int
    samples: int
    seeds: int
    points: float | None
    """At the 5 % level, were it the only question."""
    points_corrected: float | None
    """After the correction for all claims of the family, as verdicts have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The cheapest design for a difference, pooled over tasks, that a person wants to see after the correction."""

    points: float
    design: Design | None
    detectable: float | None
    """In points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """All that is known of an experiment before it runs."""

    experiment: str
    cells: int
    splits: int
    unique_steps: int
    existing_steps: int
    tasks: tuple[str, ...]
    selected: bool
    """Whether selection is measured; if not, all tasks count."""
    models: dict[str, int]
    """Name -> number of weights."""
    stages: tuple[StageCost, ...]
    device_hours: float | None
    device_hours_at_most: float | None
    budget_hours: float | None
    gpus: Gpus | None
    """None: the experiment asks for none."""
    asked: tuple[Asked, ...]
    arms: tuple[CellForecast, ...]
    fits: tuple[Fit, ...]
    lints: tuple[Lint, ...]
    """Of every declared comparison, and of those teachers under one recipe that are known to be confounded."""
    compared: str
    """What the findings will compare, in words."""
    notes: tuple[str, ...]
    """Where training and evaluation differ in form, and what is not pinned."""
    claims: int
    """Of the family that the error rate of 5 % is shared among."""
    detectable: tuple[Detectable, ...]
    wanted: Wanted
    assumptions: tuple[str, ...]


def forecast(plans: Sequence[Plan], summary: Summary, *, selected: bool, wanted_points: float = 5.0) -> Forecast:
    """Tell what the plans of an experiment's splits would do; `summary` says what of it exists."""
    experiment, first = plans[0].experiment, plans[0]
    device = ACCELERATORS.get(experiment.resources.accelerator or "")
    steps = first.steps() if len(plans) == 1 else unique(step for made in plans for step in made.steps())
    have = {step.key: found for step in steps if (found := summary(step)) is not None}
    costs = _Costs(device)
    known = [_Known(made, have) for made in plans]
    cards: dict[str, RecipeCard] = {}
    """Of every plan's cells, by the train step's key."""
    for each in known:
        cards |= _cards(each)
        _count(each, cards, costs)
    uneven = tuple(_uneven(first, cards))
    stages = costs.stages(steps, have)
    hours = [each.device_hours for each in stages if each.device_hours is not None]
    most = [each.device_hours_at_most for each in stages if each.device_hours_at_most is not None]
    tasks = tuple(task for task in experiment.task_names() if any(task in made.tasks for made in plans))
    return Forecast(
        experiment=experiment.name,
        cells=sum(len(made.cells) for made in plans),
        splits=len(plans),
        unique_steps=len(steps),
        existing_steps=len(have),
        tasks=tasks,
        selected=selected,
        models={name: model.parameters for name, model in first.models.items()},
        stages=stages,
        device_hours=sum(hours) if device else None,
        device_hours_at_most=sum(most) if device else None,
        budget_hours=experiment.budget.gpu_hours if experiment.budget else None,
        gpus=_gpus(first),
        asked=costs.asked(first.models),
        arms=tuple(_arm(known[0], cell, cards[cell.train.key]) for cell in first.cells),
        fits=tuple(_fits(first, device)) if device else (),
        lints=(*lints(first, cards), *uneven),
        compared=_compared(first),
        notes=(
            *form_notes(first),
            *revision_notes(first),
            *_yield_notes(known[0], uneven),
            *_idle_notes(first),
        ),
        claims=sum(claims(first)),
        detectable=tuple(_detectable(experiment, plans, tasks)),
        wanted=_wanted(plans, known[0], tasks, wanted_points),
        assumptions=(
            *ASSUMED.words(),
            "measured: the mean of the store's answers of the same model, task and token budget; a distilled student "
            "is taken to write as much as its teachers",
            *_search_words(experiment),
            f"detectable: the smallest true difference that is found with 80 % power; {100 * DISCORDANT:.0f} % of "
            f"items discordant between two arms, {100 * PERSISTENT:.0f} % of that variance the items' own; pooled over "
            "tasks as one set of items; what training runs differ by comes on top",
        ),
    )


def _search_words(experiment: Experiment) -> Iterable[str]:
    if experiment.search:
        yield (
            f"search: at most {experiment.search.trials} cells of each student and mixture are trained, as "
            f"{experiment.search.searcher} proposes; the grid's first ones stand for them"
        )


# --- lengths -------------------------------------------------------------------------------------------


class _Length(NamedTuple):
    """A mean number of tokens, and the share of it that is measured and not assumed."""

    tokens: float
    measured: float


class _Known:
    """A plan, what of it is built, and how long answers are: measured where the store has any of the same model, task
    and token budget (another budget cuts them off elsewhere)."""

    def __init__(self, made: Plan, have: Have) -> None:
        self.made, self.have = made, have
        self.training = [task for task in made.tasks if made.sizes(task)[0]]
        """Tasks that train: what only tests has no training part."""
        experiment = made.experiment
        self.sampling = {
            role: {**experiment.sampling.model_dump(), **experiment.rationales.of(role).applied()}
            for role in experiment.teachers
        }
        """Role -> how its rationales are drawn."""
        sums: defaultdict[tuple[str, str, int], list[int]] = defaultdict(lambda: [0, 0])
        for scored, model in {scored.complete.key: (scored, model) for scored, model in _untouched(made)}.values():
            if found := have.get(scored.complete.key):
                of = sums[model.name, _task(scored), _budget(scored.complete.params["sampling"])]
                of[0] += found["rows"]
                of[1] += found["tokens"]
        self._means = {key: tokens / rows for key, (rows, tokens) in sums.items() if rows}
        self._mixed: dict[tuple[str, tuple[str, ...]], _Length] = {}

    def items(self) -> list[int]:
        """Those that train, of every task that does."""
        return [self.made.training_items(task) for task in self.training]

    def answer(self, model: str, task: str, sampling: Mapping[str, Any]) -> _Length:
        """Of an untouched model."""
        mean = self._means.get((model, task, _budget(sampling)))
        return _Length(min(ASSUMED.output_tokens, sampling["max_tokens"]), 0.0) if mean is None else _Length(mean, 1.0)

    def rationale(self, role: str, tasks: Sequence[str]) -> _Length:
        """The mean over tasks."""
        if role in self.made.published or not tasks:
            return _Length(ASSUMED.output_tokens, 0.0)
        model = self.made.experiment.teachers[role]
        return _mean([(1.0, self.answer(model, task, self.sampling[role])) for task in tasks])

    def written(self, mixture: str, tasks: Sequence[str]) -> _Length:
        """Of a mixture's rationales, and so of a student that has learnt from them."""
        key = mixture, tuple(tasks)
        if key not in self._mixed:
            shares: Mapping[str, float] = self.made.mixtures[mixture].params["mixture"]
            self._mixed[key] = _mean([(share, self.rationale(role, tasks)) for role, share in shares.items()])
        return self._mixed[key]

    def row(self, mixture: str) -> _Length:
        """Of a training row, with its prompt."""
        found = self.written(mixture, self.training)
        return _Length(ASSUMED.prompt_tokens + found.tokens, found.measured)


def _mean(weighted: Sequence[tuple[float, _Length]]) -> _Length:
    whole = sum(weight for weight, _ in weighted)
    return _Length(
        sum(weight * length.tokens for weight, length in weighted) / whole,
        sum(weight * length.measured for weight, length in weighted) / whole,
    )


def _task(scored: Scored) -> str:
    return str(scored.complete.inputs[0].params["task"])


# --- fairness ------------------------------------------------------------------------------------------


def lints(made: Plan, cards: Mapping[str, RecipeCard]) -> tuple[Lint, ...]:
    """Every declared comparison and its confounds; `cards` by the train step's key."""
    return tuple(
        Lint(
            comparison=pair.name,
            student=pair.left.student.name,
            left=pair.left.arm,
            right=pair.right.arm,
            confounds=find_confounds(
                cards[pair.left.train.key], cards[pair.right.train.key], treated_fields(pair.treatment)
            ),
        )
        for pair in made.pairs
    )


def _uneven(made: Plan, cards: Mapping[str, RecipeCard]) -> Iterable[Lint]:
    """Teachers under one recipe whose yields, as far as they are known, put the updates too far apart."""
    groups: defaultdict[tuple[str, str], dict[str, Cell]] = defaultdict(dict)
    for cell in made.cells:
        student, mixture, recipe = key_of(cell)
        groups[student, recipe].setdefault(mixture, cell)
    for (student, _), cells in groups.items():
        for left, right in combinations(cells.values(), 2):
            first, second = (cards[cell.train.key] for cell in (left, right))
            few, many = sorted((first.updates, second.updates))
            if many < YIELD_TOLERANCE * few or left.filter != right.filter:
                continue  # looked at first: grids of thousands of cells have many pairs
            yield Lint(
                comparison="teachers under one recipe",
                student=student,
                left=left.arm,
                right=right.arm,
                confounds=find_confounds(first, second, {"mixture"}),
            )


def _yield_notes(known: _Known, uneven: Sequence[Lint]) -> Iterable[str]:
    """A warning where a comparison of teachers depends on what they yield, which is not known yet, or is apart."""
    cells = known.made.cells
    levelled = any(cell.filter.size is not None or cell.matched for cell in cells)
    unknown = any(cell.train.inputs[0].key not in known.have for cell in cells)
    if not levelled and (uneven or (unknown and len({cell.mixture for cell in cells}) > 1)):
        yield (
            f"two teachers get a verdict only if their arms' updates are less than {YIELD_TOLERANCE:g} times apart, as "
            "they are not where one teacher keeps so many more rationales than the other; with the axis "
            "`filter.size: [null, smallest]` they are compared with all of their data and with equally much"
        )


def _idle_notes(made: Plan) -> Iterable[str]:
    """Teachers whose rationales are written for nothing."""
    used = {role for step in made.mixtures.values() for role in step.params["mixture"]}
    if any(cell.filter.all_teachers for cell in made.cells):
        return
    for role in (each for each in made.experiment.teachers if each not in used):
        yield (
            f"teacher {role} is in no mixture of the grid: its rationales are written and train nobody; name it in "
            "mixtures, or remove it"
        )


def _compared(made: Plan) -> str:
    mixtures = list(dict.fromkeys(cell.mixture for cell in made.cells))
    words = "each arm with its untouched student"
    if len(mixtures) > 1:
        words += f"; {', '.join(mixtures)} with each other, student and recipe being the same"
    if len(made.students()) > 1 and len(mixtures) > 1:
        words += "; their differences between students"
    if made.pairs:
        return f"{words}; declared: {', '.join(dict.fromkeys(pair.name for pair in made.pairs))}"
    several = len({cell.recipe for cell in made.cells}) > 1
    return f"{words}; the recipes of a mixture with each other" if several else words


def predicted(made: Plan, have: Have) -> dict[str, RecipeCard]:
    """Train step's key -> the cell's recipe card: the real one where it is trained, else what follows from rows as
    assumed.

    Which rows are longer than the cut-off is known only in training, so none are counted here.
    """
    return _cards(_Known(made, have))


def _cards(known: _Known) -> dict[str, RecipeCard]:
    return {cell.train.key: _card(known, cell) for cell in known.made.cells}


def _card(known: _Known, cell: Cell) -> RecipeCard:
    found = known.have.get(cell.train.key)
    return recipe_card(known.made.experiment, cell, found if found is not None else _predicted_training(known, cell))


def _predicted_training(known: _Known, cell: Cell) -> dict[str, Any]:
    sft, row_tokens = cell.sft, known.row(cell.mixture).tokens
    rows = _rows(known, cell)
    held = math.ceil(sft.validation.share * rows) if sft.validation else 0
    rows = max(1, rows - held)
    slots = rows if sft.packing == "none" else max(1, math.ceil(rows * row_tokens / sft.cutoff_tokens))
    places = _places(sft)
    updates, epochs = count_updates(slots, places, sft.epochs), float(sft.epochs)
    if cell.matched and cell.matched[0] in ("updates", "tokens"):
        other = _card(known, cell.matched[1])
        updates, epochs = other.updates, other.updates * places / slots
    return {
        "rows": rows,
        "rows_held_out": held,
        "rows_dropped": 0,
        "rows_cut": 0,
        "slots": slots,
        "updates": updates,
        "epochs": epochs,
        "warmup_updates": int(sft.warmup_ratio * updates),
        "supervised_tokens": round(epochs * rows * (row_tokens - ASSUMED.prompt_tokens)),
        "template_hash": "",
    }


def _places(sft: Sft) -> int:
    return sft.batch.per_device * sft.batch.accumulation * sft.workers


def _rows(known: _Known, cell: Cell, right: float = ASSUMED.right) -> int:
    """Of the cell's mixture: as built, or as they are where so large a share of rationales is right.

    Teachers are taken to solve the same items, so that a mixture has no more rows than one of them gives.
    """
    made = known.made
    found = known.have.get(cell.train.inputs[0].key)
    if found is not None:
        return int(found["mixture"]["rows"])
    shares: Mapping[str, float] = made.mixtures[cell.mixture].params["mixture"]
    kept = {role: _kept(known, cell.filter, role, right) for role in shares}
    rows = min(max(kept.values()), *(kept[role] / share for role, share in shares.items()))
    mixing = made.experiment.mixing
    if mixing.total is not None:
        written = known.written(cell.mixture, known.training).tokens
        rows = min(rows, mixing.total if mixing.by == "rows" else mixing.total / written)
    return max(1, round(rows))


def _kept(known: _Known, rules: Filter, role: str, right: float) -> float:
    """Rationales of one teacher that train."""
    made = known.made
    if role in made.published:
        rows = PUBLISHED[made.experiment.published[role]].rows
        return sum(known.items()) * right if rows is None else rows
    share = (
        1.0
        if rules.keep == "finished"
        else right ** (len(made.experiment.teachers) if rules.keep == "intersection" else 1)
    )
    of_item = made.experiment.rationales.of(role).samples * share
    of_item = of_item if rules.samples is None else min(of_item, rules.samples)
    of_tasks = [of_item * items for items in known.items()]
    return sum(min(each, rules.size) if isinstance(rules.size, int) else each for each in of_tasks)


def _longest_row(known: _Known) -> int:
    """Tokens where a rationale is as long as its budget."""
    return ASSUMED.prompt_tokens + max(map(_budget, known.sampling.values()))


def _budget(sampling: Mapping[str, Any]) -> int:
    """The longest answer, in tokens."""
    return int(max(sampling["max_tokens"], sampling["retry_truncated"] or 0))


def _arm(known: _Known, cell: Cell, card: RecipeCard) -> CellForecast:
    places = _places(cell.sft)
    longest = cell.matched[1] if cell.matched and cell.matched[0] in ("updates", "tokens") else cell
    at_most = count_updates(_rows(known, longest, right=1.0), _places(longest.sft), longest.sft.epochs)
    return CellForecast(
        student=cell.student.name,
        arm=cell.arm,
        samples_per_update=places,
        packed=cell.sft.packing != "none",
        updates=card.updates,
        updates_at_most=max(at_most, card.updates),
        trained=cell.train.key in known.have,
    )


# --- cost ------------------------------------------------------------------------------------------------


class _Costs:
    """Sums by stage of what is still to come."""

    def __init__(self, device: Accelerator | None) -> None:
        self._teraflops = device.teraflops if device else None
        self._sums: dict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._asked: dict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))

    def generation(
        self,
        stage: str,
        model: Model,
        rows: float,
        expected: tuple[float, float],
        at_most: tuple[float, float],
        measured: float = 0.0,
    ) -> None:
        """Both are (tokens of prompts, new tokens). `measured`: the share of the new tokens that is."""
        self._lengths(stage, expected[1], measured)
        sums = self._sums[stage]
        sums["prompt"] += expected[0]
        sums["output"] += expected[1]
        sums["output_at_most"] += at_most[1]
        sums["disk"] += sum(expected) * ASSUMED.bytes_per_token
        if self._teraflops and model.has_weights:
            sums["hours"] += generation_hours(model.parameters, *expected, self._teraflops)
            sums["hours_at_most"] += generation_hours(model.parameters, *at_most, self._teraflops)
        if not model.has_weights:
            asked = self._asked[model.name]
            asked["requests"] += rows
            asked["prompt"] += expected[0]
            asked["output"] += expected[1]
            asked["output_at_most"] += at_most[1]

    def asked(self, models: Mapping[str, Model]) -> tuple[Asked, ...]:
        """Of every API."""
        made = []
        for name, sums in self._asked.items():
            allowed = Endpoint.from_source(models[name].source).requests_per_minute
            made.append(
                Asked(
                    model=name,
                    requests=round(sums["requests"]),
                    prompt_tokens=round(sums["prompt"]),
                    output_tokens=round(sums["output"]),
                    output_tokens_at_most=round(sums["output_at_most"]),
                    hours=sums["requests"] / allowed / 60 if allowed else None,
                )
            )
        return tuple(made)

    def _lengths(self, stage: str, tokens: float, measured: float) -> None:
        self._sums[stage]["counted"] += tokens
        self._sums[stage]["measured"] += measured * tokens

    def answers(self, model: Model, scored: Scored, length: _Length, times: int = 1) -> None:
        """Of one step's requests, each `times` over."""
        sampling = scored.complete.params["sampling"]
        rows, prompt = times * _answers(scored), _prompt_tokens(scored)
        again = sampling["retry_truncated"] or 0  # of all that the first budget cuts off
        short, long = min(length.tokens, _budget(sampling)), sampling["max_tokens"] + again
        both = (rows * prompt, rows * short), (rows * prompt * (2 if again else 1), rows * long)
        self.generation("complete", model, rows, *both, length.measured)

    def reading(self, stage: str, model: Model, rows: float, length: _Length, at_most: float) -> None:
        """Texts that are given: no new token. `at_most`: tokens."""
        tokens = rows * length.tokens
        self._lengths(stage, tokens, length.measured)
        sums = self._sums[stage]
        sums["prompt"] += tokens
        if self._teraflops:
            sums["hours"] += generation_hours(model.parameters, tokens, 0, self._teraflops)
            sums["hours_at_most"] += generation_hours(model.parameters, at_most, 0, self._teraflops)

    def training(self, cell: Cell, card: RecipeCard, row: _Length, at_most: float) -> None:
        """`at_most`: how many times the tokens there may be."""
        sums, sft = self._sums["train"], cell.sft
        tokens = card.epochs * card.rows * row.tokens
        self._lengths("train", tokens, row.measured)
        exports = 1 + _exports(sft, card.updates)
        sums["updates"] += card.updates
        sums["training"] += tokens
        sums["disk"] += checkpoint_bytes(cell.student.parameters, exports)
        if self._teraflops:
            flops = training_flops(
                cell.student.parameters, tokens, lora=sft.method == "lora", recompute=sft.gradient_checkpointing
            )
            hours = training_hours(flops, self._teraflops)
            sums["hours"] += hours
            sums["hours_at_most"] += hours * max(1.0, at_most)

    def stages(self, steps: Sequence[Step], have: Mapping[str, Any]) -> tuple[StageCost, ...]:
        count: defaultdict[str, int] = defaultdict(int)
        exist: defaultdict[str, int] = defaultdict(int)
        for step in steps:
            count[step.stage] += 1
            exist[step.stage] += step.key in have
        return tuple(self._stage(stage, count[stage], exist[stage]) for stage in count)

    def _stage(self, stage: str, steps: int, exist: int) -> StageCost:
        sums = self._sums[stage]
        return StageCost(
            stage=stage,
            steps=steps,
            exist=exist,
            prompt_tokens=round(sums["prompt"]),
            output_tokens=round(sums["output"]),
            output_tokens_at_most=round(sums["output_at_most"]),
            measured=sums["measured"] / sums["counted"] if sums["counted"] else 0.0,
            updates=round(sums["updates"]),
            training_tokens=round(sums["training"]),
            device_hours=sums["hours"] if self._teraflops else None,
            device_hours_at_most=sums["hours_at_most"] if self._teraflops else None,
            disk_bytes=round(sums["disk"]),
        )


def _count(known: _Known, cards: Mapping[str, RecipeCard], costs: _Costs) -> None:
    """Add what is still to come of one plan."""
    made, have = known.made, known.have
    judge = made.models[made.experiment.judge.model]
    longest = _longest_row(known)
    seen: set[str] = set()
    for scored, model, length in _scored(known):
        if scored.complete.key not in have and scored.complete.key not in seen:
            seen.add(scored.complete.key)
            costs.answers(model, scored, length)
        if scored.judge and scored.judge.key not in have and scored.judge.key not in seen:
            seen.add(scored.judge.key)
            rows, asked = _answers(scored), _answers(scored) * ASSUMED.rejected  # the judge reads short answers only
            reads = ASSUMED.prompt_tokens, ASSUMED.judge_tokens
            both = (asked * reads[0], asked * reads[1]), (rows * reads[0], rows * reads[1])
            costs.generation("judge", judge, asked, *both)
    for (student, _, role, task), step in made.surprisals.items():
        if step.key not in have and step.key not in seen:
            seen.add(step.key)
            written = made.training_items(task) * made.experiment.rationales.of(role).samples
            read, most = (min(made.experiment.traces(), rows) for rows in (written * ASSUMED.right, written))
            length = known.rationale(role, [task])
            length = length._replace(tokens=ASSUMED.prompt_tokens + length.tokens)
            costs.reading("surprisal", made.models[student], read, length, most * longest)
    for cell in made.cells:
        if cell.train.key not in have and cell.train.key not in seen:
            seen.add(cell.train.key)
            card = cards[cell.train.key]
            row = known.row(cell.mixture)
            longer = min(longest, cell.sft.cutoff_tokens) / row.tokens  # those beyond are dropped or cut
            costs.training(cell, card, row, longer * _rows(known, cell, right=1.0) / card.rows)
            exports = _exports(cell.sft, card.updates)
            for scored in made.on_development(cell):
                costs.answers(cell.student, scored, known.written(cell.mixture, [_task(scored)]), 1 + exports)
            for task in made.tasks if exports else ():
                scored = made.predictions[cell.train.key, task]
                costs.answers(cell.student, scored, known.written(cell.mixture, [task]), exports)


def _scored(known: _Known) -> Iterable[tuple[Scored, Model, _Length]]:
    """Every step of answers, with the mean length of one."""
    made = known.made
    for scored, model in _untouched(made):
        yield scored, model, known.answer(model.name, _task(scored), scored.complete.params["sampling"])
    trained = {cell.train.key: cell for cell in made.cells}
    for (key, task), scored in made.predictions.items():
        yield scored, trained[key].student, known.written(trained[key].mixture, [task])


def _untouched(made: Plan) -> Iterable[tuple[Scored, Model]]:
    students = made.experiment.students
    untouched = [(who, scored) for who, scored in made.developed.items() if who[0] in students]
    for (name, _), scored in (*made.measured.items(), *made.baselines.items(), *untouched):
        yield scored, made.models[name]
    teachers = made.teachers()
    for (role, _), slices in made.rationales.items():
        for scored in slices:
            yield scored, teachers[role]


def _exports(sft: Sft, updates: int) -> int:
    """Exports on the way, beside the final one."""
    return sum(sft.checkpoints.wanted(n) for n in range(1, updates)) if sft.checkpoints else 0


def _prompt_tokens(scored: Scored) -> int:
    shots: int = scored.complete.inputs[0].params["prompt"]["shots"]
    return ASSUMED.prompt_tokens + shots * ASSUMED.prompt_tokens_per_shot


def _answers(scored: Scored) -> int:
    params = scored.complete.params
    return int((params["stop"] - params["start"]) * params["sampling"]["samples"])


# --- fit ---------------------------------------------------------------------------------------------------


def _gpus(made: Plan) -> Gpus | None:
    resources = made.experiment.resources
    engines = {
        f"engine {name}": resources.engine_gpus_of(name) for name in made.models if made.models[name].has_weights
    }
    workers = max((cell.sft.workers for cell in made.cells), default=0)
    training = resources.worker_gpus * workers
    needs = {**engines, "training": min(training, resources.worker_gpus * resources.least_workers(workers))}
    what = max(needs, key=needs.__getitem__)
    if not needs[what]:
        return None
    beside = resources.kept_engines * resources.engine_gpus + resources.trials * training
    most = max(beside, *(resources.engines * each for each in engines.values()))
    return Gpus(least=int(needs[what]), why=what, most=int(most))


def misfits(made: Plan) -> list[str]:
    """A line on each model that does not fit the accelerators that the experiment names."""
    device = ACCELERATORS.get(made.experiment.resources.accelerator or "")
    return [_fit_line(fit) for fit in _fits(made, device) if not fit.fits] if device else []


def _fits(made: Plan, device: Accelerator) -> Iterable[Fit]:
    resources, width = made.experiment.resources, 4 if made.experiment.engine.dtype == "float32" else 2
    usable = 0.9 * device.gigabytes
    engines_own = (resources.engine_memory_share or 0.9) * device.gigabytes
    for name, model in made.models.items():
        if model.has_weights:
            gpus = resources.engine_gpus_of(name)
            engine = engine_memory(model.parameters, gpus, width).total / GIGABYTE
            # A power of two: it has to divide the attention heads.
            least = 1 << max(
                0, math.ceil(math.log2(engine_memory(model.parameters, 1, width).total / GIGABYTE / engines_own))
            )
            mend = f"resources.parallel: {{{name}: {{tensor: {least}}}}}"
            yield _fit(f"engine {name}", max(gpus, 1), engine, engines_own, mend)
    words = {student.name: vocabulary_of(known_config(student.source) or {}) for student in made.students()}
    for student, sft in {(cell.student, _shape(cell.sft)): (cell.student, cell.sft) for cell in made.cells}.values():
        vocabulary = words[student.name] or ASSUMED.vocabulary
        what = f"training {student.name} ({sft.method}, batch {sft.batch}, rows of {sft.cutoff_tokens} tokens)"
        need = _training_gigabytes(student, vocabulary, sft)
        mend = "" if need <= usable else _smaller(student, vocabulary, sft, usable)
        yield _fit(what, sft.workers, need, usable, mend)
        fewest = resources.least_workers(sft.workers)
        if need <= usable and fewest < sft.workers:
            # Each then holds more of the state: a training that has lost a node would be given up for want of memory.
            need_of = {
                workers: _training_gigabytes(student, vocabulary, sft.model_copy(update={"workers": workers}))
                for workers in range(fewest, sft.workers + 1)
            }
            least = next(workers for workers, need in need_of.items() if need <= usable)
            yield _fit(f"{what}, at the least", fewest, need_of[fewest], usable, f"resources.min_workers: {least}")


def _training_gigabytes(student: Model, vocabulary: int, sft: Sft) -> float:
    """On each device."""
    memory = training_memory(
        student.parameters,
        workers=sft.workers,
        lora=sft.method == "lora",
        bits=16 if sft.precision == "bfloat16" else 32,
        tokens=sft.batch.per_device * sft.cutoff_tokens,
        recompute=sft.gradient_checkpointing,
        vocabulary=vocabulary,
    )
    return memory.total / GIGABYTE


def _smaller(student: Model, vocabulary: int, sft: Sft, usable: float) -> str:
    """The first change that makes it fit. Those that leave the updates as they are go first, and LoRA last."""
    per_device, accumulation = sft.batch.per_device, sft.batch.accumulation
    smaller = [n for n in range(per_device - 1, 0, -1) if per_device % n == 0]
    ways: list[dict[str, Any]] = [
        {},
        *({"batch": Batch(per_device=n, accumulation=accumulation * per_device // n)} for n in smaller),
    ]
    cutoffs = [{"cutoff_tokens": n} for n in (8192, 4096) if n < sft.cutoff_tokens]
    workers = [{"workers": n} for n in (2, 4, 8, 16, 32, 64, 128) if n > sft.workers]
    both = [one | other for one, other in product(cutoffs, workers)]
    ways += [ways[-1] | more for more in (*cutoffs, *workers, *both)]

    def first(method: str) -> str | None:
        for way in ways:
            change = {"method": method, "gradient_checkpointing": True, **way}
            if _training_gigabytes(student, vocabulary, sft.model_copy(update=change)) <= usable:
                told = {name: value for name, value in change.items() if value != getattr(sft, name)}
                return ", ".join(f"sft.{name}: {'true' if value is True else value}" for name, value in told.items())
        return None

    if mend := first(sft.method):
        return mend
    mend = first("lora")
    return "larger GPUs" if mend is None else f"larger GPUs, or {mend}"


def _shape(sft: Sft) -> tuple[Any, ...]:
    """What the memory of training depends on."""
    per_device = sft.batch.per_device
    return sft.method, sft.precision, sft.workers, per_device, sft.cutoff_tokens, sft.gradient_checkpointing


def _fit(what: str, devices: float, need: float, usable: float, mend: str) -> Fit:
    fits = need <= usable
    return Fit(
        what=what, devices=devices, gigabytes=need, available=usable, fits=fits, mend="" if fits else f"needs {mend}"
    )


# --- power -------------------------------------------------------------------------------------------------


def _seeds(experiment: Experiment) -> int:
    return len(experiment.axes.get("sft.seed", (None,)))


def _test_items(plans: Sequence[Plan], task: str) -> int:
    """Under crossfit every item is tested once; repeats draw from the same items, so the largest part counts."""
    sizes = [made.sizes(task)[1] for made in plans if task in made.tasks]
    return sum(sizes) if plans[0].experiment.split.crossfit else max(sizes)


def _detectable(experiment: Experiment, plans: Sequence[Plan], tasks: Sequence[str]) -> Iterable[Detectable]:
    seeds = _seeds(experiment)
    sizes = {task: _test_items(plans, task) for task in tasks}
    least = min((experiment.samples(task) for task in tasks), default=1)
    rows = [(task, n, experiment.samples(task)) for task, n in sizes.items()] + [("all", sum(sizes.values()), least)]
    pooled, single = _levels(plans[0])

    @cache
    def points(design: Design, level: float) -> float | None:
        share = detectable(design, level=level)
        return None if share is None else 100 * share

    for number, (task, items, samples) in enumerate(rows):
        design = Design(items=items, samples=samples, seeds=seeds)
        yield Detectable(
            task=task,
            items=items,
            samples=samples,
            seeds=seeds,
            points=points(design, SIGNIFICANCE),
            points_corrected=points(design, single if number < len(sizes) else pooled),
        )


def _levels(made: Plan) -> tuple[float, float]:
    """What a claim gets of the error rate before any other is shown: (pooled over tasks, on single tasks)."""
    counts = claims(made)
    halves = 2 if all(counts) else 1
    pooled, single = (SIGNIFICANCE / halves / max(1, count) for count in counts)
    return (pooled, single) if counts[0] else (single, single)  # one task stands for all


def _wanted(plans: Sequence[Plan], known: _Known, tasks: Sequence[str], points: float) -> Wanted:
    """Costs are counted in operations: one training of each student per seed, its answers per seed and sample."""
    made = plans[0]
    weights = sum(student.parameters for student in made.students())
    written = _mean([(1.0, known.rationale(role, known.training)) for role in made.experiment.teachers]).tokens
    row = ASSUMED.prompt_tokens + written
    training = 6 * weights * sum(known.items()) * ASSUMED.right * made.experiment.sft.epochs * row
    answer = 2 * weights * (written / ASSUMED.decode_utilisation) * ASSUMED.training_utilisation

    def cost(design: Design) -> float:
        return design.seeds * (training + design.items * design.samples * answer)

    items = sum(_test_items(plans, task) for task in tasks)
    found = cheapest(points / 100, items, cost, level=_levels(made)[0])
    return Wanted(points=points, design=found[0] if found else None, detectable=100 * found[1] if found else None)


# --- in words ------------------------------------------------------------------------------------------------

_MOST_LINES = 40
"""Of one kind; the JSON has them all."""


def lines(told: Forecast) -> Iterable[str]:
    """The forecast for people."""
    splits = f" over {told.splits} splits" if told.splits > 1 else ""
    yield (
        f"experiment  {told.experiment}: {told.cells:,} cells{splits}, {told.unique_steps:,} unique steps, "
        f"{told.existing_steps:,} exist"
    )
    yield f"tasks       {', '.join(told.tasks)}{'' if told.selected else ' (selection not measured yet: all counted)'}"
    for name, parameters in told.models.items():
        yield f"model       {name}: {parameters:,} parameters"
    yield from (_stage_line(each) for each in told.stages)
    yield _hours_line(told)
    if told.gpus:
        yield f"gpus        {told.gpus.least} at once at the least ({told.gpus.why}); up to {told.gpus.most} are used"
    yield from (_asked_line(each) for each in told.asked)
    yield from _short(
        f"cell        {c.student} / {c.arm}: {c.samples_per_update} {'packs' if c.packed else 'samples'} per update, "
        f"about {c.updates} updates, "
        f"at most {c.updates_at_most}{', trained' if c.trained else ''}"
        for c in told.arms
    )
    yield from map(_fit_line, told.fits)
    yield f"compares    {told.compared}: {_count_of(told.claims, 'claim')}, among which 5 % of error are shared"
    yield from _short(_lint_lines(told.lints))
    yield from (f"note        {each}" for each in told.notes)
    yield from _short(_detectable_lines(told))
    yield _wanted_line(told.wanted)
    yield from (f"assumed     {each}" for each in told.assumptions)


def _detectable_lines(told: Forecast) -> Iterable[str]:
    """One line per design; tasks of the same share it."""
    tasks: defaultdict[Detectable, list[str]] = defaultdict(list)
    for each in told.detectable:
        tasks[replace(each, task="all" if each.task == "all" else "")].append(each.task)
    for d, names in tasks.items():
        least = "no difference"
        if d.points is not None:
            among = "none" if d.points_corrected is None else f"{d.points_corrected:.1f}"
            among = f"{among} among all {_count_of(told.claims, 'claim')}"
            least = f"a difference of {d.points:.1f} points or more as the only question, {among}"
        of = ", ".join(_count_of(n, word) for n, word in ((d.items, "item"), (d.samples, "sample"), (d.seeds, "seed")))
        yield f"detectable  {names[0] if len(names) == 1 else f'each of {len(names)} tasks'}: {of}: {least}" + (
            "" if len(names) == 1 else f" [{', '.join(names)}]"
        )


def _count_of(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _fit_line(fit: Fit) -> str:
    return (
        f"memory      {fit.what}: {fit.gigabytes:.1f} GB on each of {fit.devices:g}, {fit.available:.0f} usable: "
        f"{'fits' if fit.fits else 'DOES NOT FIT, ' + fit.mend}"
    )


def _asked_line(asked: Asked) -> str:
    tokens = map(_short_number, (asked.prompt_tokens, asked.output_tokens, asked.output_tokens_at_most))
    line = (
        f"endpoint    {asked.model}: {_short_number(asked.requests)} requests; "
        "{} prompt and {} output tokens (at most {})".format(*tokens)
    )
    return line if asked.hours is None else f"{line}; {_hours(asked.hours)} hours at the rate that is set"


def _short(found: Iterable[str]) -> Iterable[str]:
    every = list(found)
    yield from every[:_MOST_LINES]
    if len(every) > _MOST_LINES:
        yield f"{every[0].split(' ')[0]:<11} and {len(every) - _MOST_LINES:,} more; --json has them all"


def _stage_line(cost: StageCost) -> str:
    line = f"stage       {cost.stage:<9} {cost.steps:>5} steps, {cost.exist} exist, {cost.steps - cost.exist} to build"
    how = "" if not cost.measured else " measured" if cost.measured > 0.999 else " partly measured"
    if cost.prompt_tokens and not cost.output_tokens:
        line += f"; {_short_number(cost.prompt_tokens)}{how} tokens read"
    if cost.output_tokens:
        line += (
            f"; {_short_number(cost.prompt_tokens)} prompt and {_short_number(cost.output_tokens)}{how} output tokens "
            f"(at most {_short_number(cost.output_tokens_at_most)})"
        )
    if cost.updates:
        line += f"; {_short_number(cost.training_tokens)}{how} tokens in {cost.updates:,} updates"
    if cost.device_hours is not None and cost.device_hours_at_most:
        line += f"; {_hours(cost.device_hours)} device-hours (at most {_hours(cost.device_hours_at_most)})"
    return line + (f"; {cost.disk_bytes / GIGABYTE:.1f} GB on disk" if cost.disk_bytes >= GIGABYTE / 20 else "")


def _hours_line(told: Forecast) -> str:
    if told.device_hours is None or told.device_hours_at_most is None:
        return "hours       not known: name the GPU in resources.accelerator"
    line = f"hours       {_hours(told.device_hours)} device-hours (at most {_hours(told.device_hours_at_most)})"
    if told.budget_hours is None:
        return line
    verdict = "within" if told.device_hours <= told.budget_hours else "MORE THAN"
    return f"{line}, {verdict} the budget of {told.budget_hours:g}"


def _lint_lines(found: Sequence[Lint]) -> Iterable[str]:
    """One line per comparison and finding; students with the same finding share it."""
    by_text: dict[str, list[str]] = {}
    for lint in found:
        notes = "; ".join(confound.note for confound in lint.confounds)
        verdict = f"CONFOUNDED, no verdict: {notes}" if notes else "fair as far as is known before training"
        by_text.setdefault(f"{lint.comparison} ({lint.right} against {lint.left}): {verdict}", []).append(lint.student)
    for text, students in by_text.items():
        yield f"lint        {text} [{', '.join(dict.fromkeys(students))}]"


def _wanted_line(wanted: Wanted) -> str:
    if wanted.design is None or wanted.detectable is None:
        return f"design      {wanted.points:g} points are detectable by no design with these test items; add items"
    d = wanted.design
    return (
        f"design      cheapest for {wanted.points:g} points: {_count_of(d.items, 'item')} x "
        f"{_count_of(d.samples, 'sample')} x {_count_of(d.seeds, 'seed')} "
        f"({wanted.detectable:.1f} are detectable)"
    )


def _hours(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def _short_number(value: float) -> str:
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:g}"
