"""Experiment -> steps. THE MAIN FLOW: read this first, top to bottom.

    examples -> few-shot accuracy of every model on training items -> task selection
             -> teacher rationales -> own-correct filter (-> read by the untouched students: proxies of the gain)
             -> mixtures -> SFT over the grid
             (-> development items, if cells are searched or given up on the way)
             -> predictions of untouched and distilled students on the test items
             -> rule score -> judge, and the judge audited -> (analysis.py) comparisons -> verdicts -> report

Nothing here runs anything: steps are identities. Equal steps are one step, so a grid shares every
rationale, baseline and mixture, and whatever a store already holds is never built again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from types import MappingProxyType
from typing import Any

from capgap_ray.artifacts.step import Step, unique
from capgap_ray.catalog.chat_templates import read_template
from capgap_ray.catalog.judges import JUDGE_PROMPTS
from capgap_ray.catalog.models import MODELS, Endpoint, Model, ModelSpec, resolve
from capgap_ray.catalog.tasks import check_shots, data_of, find_task, not_ours, read_yaml
from capgap_ray.core.task_spec import TaskError
from capgap_ray.experiment import Experiment, Point
from capgap_ray.mistakes import ExperimentError, did_you_mean
from capgap_ray.settings import LARGEST_SERVED_RANK, DeclaredComparison, Filter, Match, ModelEntry, Sft, Split
from capgap_ray.tasks import Parts, fingerprint, source_of, tables
from capgap_ray.tasks.published import published_source

VERSIONS = {
    "examples": 2,
    "published": 1,
    "complete": 3,
    "score": 7,
    "surprisal": 1,
    "mix": 2,
    "train": 2,
    "stop": 1,
    "search": 1,
    "judge": 2,
    "audit": 1,
}
"""Raised when a stage's code changes what it computes; old results then stay, unread."""

RENDERING = ("cutoff_tokens", "overlength", "system", "loss_on_final_newline")
"""Fields of `sft` that say how an example becomes tokens."""


def examples_version(task: str) -> int:
    """3 where gold answers are no longer read as they were: tasks of lm-eval, and YAML files of a person."""
    return 3 if not_ours(task) else VERSIONS["examples"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One model's completions of one slice of one task, with their scores."""

    complete: Step
    score: Step
    judge: Step | None = None
    """Only for what is reported: test items."""

    @property
    def last(self) -> Step:
        return self.judge or self.score

    def after(self, update: int) -> Scored:
        """The same of the checkpoint's export after that update, not judged."""
        label = f"{self.complete.label}-update-{update}"
        complete = replace(self.complete, params={**self.complete.params, "update": update}, label=label)
        return Scored(complete=complete, score=self.score.on((self.score.inputs[0], complete), label))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One point of the grid, or a control arm: a student, a mixture, a recipe."""

    student: Model
    mixture: str
    """A key of `Plan.mixtures`."""
    sft: Sft
    train: Step
    filter: Filter
    notes: tuple[str, ...] = ()
    """Beside the batch, in what it is not as the experiment's `sft` says, e.g. `seed 2`."""
    matched: tuple[Match, Cell] | None = None
    """Of a control arm: in what it equals which cell."""

    @property
    def arm(self) -> str:
        """What differs from other cells of the student, e.g. `mix / 5x4`."""
        return " / ".join([self.mixture, str(self.sft.batch), *self.notes])

    @property
    def recipe(self) -> str:
        """The arm without its mixture and its training seed, which is a run of it, e.g. `5x4 / equal updates`."""
        notes = [note for note in self.notes if note != f"seed {self.sft.seed}"]
        return " / ".join([str(self.sft.batch), *notes])


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two cells of one student that the experiment sets side by side."""

    name: str
    left: Cell
    right: Cell
    treatment: tuple[str, ...]
    """Axes that are meant to differ."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything an experiment is made of."""

    experiment: Experiment
    models: Mapping[str, Model]
    """Name -> model, of students, teachers and judge."""
    tasks: tuple[str, ...]
    """Tasks that go on after selection, and those that only test."""
    left_out: Mapping[str, Sequence[str]]
    """As `analysis.left_out` tells it: what never trains. Empty before the items are read."""
    examples: dict[str, Step] = field(default_factory=dict)
    measured: dict[tuple[str, str], Scored] = field(default_factory=dict)
    """(model, task) -> few-shot on the first training items: what selection rests on."""
    rationales: dict[tuple[str, str], tuple[Scored, ...]] = field(default_factory=dict)
    """(teacher role, task) -> all training items; the first slice is the measured one."""
    published: dict[str, Step] = field(default_factory=dict)
    """Teacher role -> ready-made rationales in place of its own."""
    surprisals: dict[tuple[str, str, str, str], Step] = field(default_factory=dict)
    """(student, mixture, teacher role, task) -> the untouched student reads traces that the mixture's filter keeps;
    empty where `proxies.traces` asks for none. Mixtures of one filter share steps."""
    mixtures: dict[str, Step] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    """The grid, then the control arms that comparisons ask for."""
    pairs: list[Pair] = field(default_factory=list)
    """The declared comparisons, each followed by those with its control arms."""
    baselines: dict[tuple[str, str], Scored] = field(default_factory=dict)
    """(model, task) -> few-shot on the test items, untouched students and teachers."""
    predictions: dict[tuple[str, str], Scored] = field(default_factory=dict)
    """(train step's key, task) -> the distilled student on the same items with the same prompt."""
    developed: dict[tuple[str, str], Scored] = field(default_factory=dict)
    """(student's name or train step's key, task) -> few-shot on the development items; empty without them. Those of
    cells are no part of `steps`: a search decides which are needed."""
    audit: Step | None = None
    """The judge's answers to probes with known verdicts; None where no audit is asked for."""

    def measuring(self) -> list[Step]:
        """What has to be built before tasks can be selected."""
        return unique(scored.score for scored in self.measured.values())

    def steps(self) -> list[Step]:
        """All unique steps, inputs first."""
        return unique(
            [*self.measuring()]
            + [scored.score for slices in self.rationales.values() for scored in slices]
            + [*self.surprisals.values()]
            + [cell.train for cell in self.cells]
            + [scored.last for scored in (*self.baselines.values(), *self.predictions.values())]
            + [scored.score for scored in self.untouched_developed()]
            + ([self.audit] if self.audit else [])
        )

    @property
    def trained(self) -> tuple[str, ...]:
        """Of `tasks` those that are trained on."""
        names = self.experiment.trained_names()
        return tuple(task for task in self.tasks if task in names)

    def sizes(self, task: str) -> tuple[int, int]:
        """The task's items in (train, test)."""
        split = self.examples[task].params["split"]
        return split["train"], split["test"]

    def training_items(self, task: str) -> int:
        """Items that train: those of the training part without the development items, which are its last ones."""
        development = self.experiment.development
        return self.sizes(task)[0] - (development.items if development else 0)

    def untouched_developed(self, student: str | None = None) -> list[Scored]:
        """The untouched students, or one of them, on the development items."""
        names = self.experiment.students if student is None else (student,)
        return [scored for (who, _), scored in self.developed.items() if who in names]

    def on_development(self, cell: Cell) -> list[Scored]:
        """The cell's end on the development items, one step per task."""
        return [scored for (who, _), scored in self.developed.items() if who == cell.train.key]

    def stop(self, cell: Cell) -> Step:
        """Built if and only if the cell was given up by `development.early_stop`."""
        development = self.experiment.development
        assert development and development.early_stop
        return Step(
            stage="stop",
            version=VERSIONS["stop"],
            params=development.early_stop.model_dump(),
            inputs=(cell.train, *(scored.score for scored in self.untouched_developed(cell.student.name))),
            label=cell.train.label,
        )

    def search(self, student: str, mixture: str) -> Step:
        """Which cells of a student and a mixture were tried, and the best of them."""
        settings = self.experiment.search
        assert settings
        return Step(
            stage="search",
            version=VERSIONS["search"],
            params={
                **settings.model_dump(),
                "cells": [cell.train.key for cell in self.candidates(student, mixture)],
                "early_stop": self.experiment.model_dump(mode="json")["development"]["early_stop"],
            },
            inputs=tuple(scored.score for scored in self.untouched_developed(student)),
            label=f"{student}-{mixture}",
        )

    def axes_in_words(self, cells: Iterable[Cell]) -> dict[str, dict[str, str]]:
        """Train step's key -> axis of `sft` that the grid varies -> the cell's value, for a searcher."""
        axes = [axis for axis in self.experiment.varied() if axis.startswith("sft.")]
        points = {
            cell.train.key: Point(student=cell.student.name, mixture=cell.mixture, filter=cell.filter, sft=cell.sft)
            for cell in cells
        }
        return {key: {axis: str(point.value(axis)) for axis in axes} for key, point in points.items()}

    def candidates(self, student: str, mixture: str) -> list[Cell]:
        """The cells of one student and mixture."""
        return [cell for cell in self.cells if (cell.student.name, cell.mixture) == (student, mixture)]

    def teachers(self) -> dict[str, Model]:
        """Role -> model."""
        return {role: self.models[name] for role, name in self.experiment.teachers.items()}

    def before_training(self) -> Plan:
        """What can be told of before any cell is trained: no cells, and no test item."""
        return replace(self, cells=[], pairs=[], baselines={}, predictions={}, developed={}, audit=None)

    def without(self, arms: Collection[tuple[str, str]]) -> Plan:
        """The plan without some cells, given as (student, arm), and without the pairs that they are in."""
        cells = [cell for cell in self.cells if (cell.student.name, cell.arm) not in arms]
        kept = {cell.train.key for cell in cells}
        return replace(
            self,
            cells=cells,
            pairs=[pair for pair in self.pairs if {pair.left.train.key, pair.right.train.key} <= kept],
            predictions={name: scored for name, scored in self.predictions.items() if name[0] in kept},
        )

    def on_the_way(self, cell: Cell, updates: Iterable[int]) -> dict[tuple[int, str], Scored]:
        """(update, task) -> the cell's export after that update on the test items, scored by the rules.

        Which updates have exports is known once the cell is trained (`sft.checkpoints`, the train step's summary), so
        these steps are no part of `steps`.
        """
        return {
            (update, task): self.predictions[cell.train.key, task].after(update)
            for task in self.tasks
            for update in updates
        }

    def students(self) -> list[Model]:
        return [self.models[name] for name in self.experiment.students]


def resolve_models(experiment: Experiment) -> dict[str, Model]:
    """Look up every model the experiment names. Raises ExperimentError on one that is unknown or unusable."""
    specs = {**MODELS, **{name: _spec(name, each) for name, each in experiment.models.items()}}
    found = {}
    for field_name, names in (
        ("students", experiment.students),
        ("teachers", tuple(experiment.teachers.values())),
        ("judge.model", (experiment.judge.model,)),
    ):
        for name in names:
            if name not in specs:
                raise ExperimentError(
                    f"{field_name}: model {name!r} is unknown; describe it under `models`, or use one that is known"
                    f"{did_you_mean(name, specs)}"
                )
            try:
                found[name] = resolve(name, specs[name])
            except ValueError as error:
                raise ExperimentError(f"{field_name}: {error}") from None
    for name, template in experiment.chat_templates.items():
        try:
            found[name] = replace(found[name], chat_template=read_template(template))
        except ValueError as error:
            raise ExperimentError(f"chat_templates.{name}: {error}") from None
    for first, second in combinations(experiment.teachers, 2):
        one, other = (
            (found[experiment.teachers[role]].weights, experiment.rationales.of(role), experiment.published.get(role))
            for role in (first, second)
        )
        if one == other:
            raise ExperimentError(
                f"teachers.{second}: {experiment.teachers[second]} would write the same rationales as {first}, "
                f"{experiment.teachers[first]}; name another model, or give one of them settings of its own in "
                "rationales.per_teacher"
            )
    judge = found[experiment.judge.model]
    for name in (*experiment.students, *experiment.teachers.values()):
        if found[name].weights == judge.weights:
            raise ExperimentError(
                f"judge.model: {judge.name!r} has the weights of {name!r}, which is under test; choose another judge"
            )
    for student in experiment.students:
        if not found[student].has_weights:
            raise ExperimentError(
                f"students: {student!r} is an endpoint, whose weights cannot be trained; give `source`"
            )
        for role, teacher in experiment.teachers.items():
            if found[student].parameters >= found[teacher].parameters and not experiment.allow_larger_student:
                raise ExperimentError(
                    f"students: {student} ({found[student].parameters:,} parameters) is not smaller than teacher "
                    f"{role}, {teacher} ({found[teacher].parameters:,}); remove it or set allow_larger_student: true"
                )
    return found


def _spec(name: str, entry: ModelEntry) -> ModelSpec:
    if entry.of_catalogue:
        if name not in MODELS:
            raise ExperimentError(
                f"models.{name}: is not in the catalogue; give source or endpoint, too{did_you_mean(name, MODELS)}"
            )
        return replace(MODELS[name], revision=entry.revision)
    source = entry.source if entry.endpoint is None else _endpoint(entry)
    assert source is not None, "a model has weights or an endpoint"
    return ModelSpec(source=source, revision=entry.revision, parameters=entry.parameters)


def _endpoint(entry: ModelEntry) -> Endpoint:
    assert entry.endpoint is not None
    assert entry.model is not None
    return Endpoint(
        url=entry.endpoint,
        model=entry.model,
        key_env=entry.key_env,
        requests_per_minute=entry.requests_per_minute,
        concurrency=entry.concurrency,
        timeout_s=entry.timeout_s,
        retries=entry.retries,
    )


def plan(
    experiment: Experiment,
    models: Mapping[str, Model],
    selected: Iterable[str] | None = None,
    left_out: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Plan:
    """Expand the experiment; `selected` are the tasks that passed selection, None before it is known.

    `left_out` are the training items that must not train, as in `Plan`.
    Raises ExperimentError on an unknown task or judge prompt.
    """
    if experiment.judge.prompt not in JUDGE_PROMPTS:
        known = ", ".join(JUDGE_PROMPTS)
        raise ExperimentError(f"judge.prompt: {experiment.judge.prompt!r} is unknown; known: {known}")
    trained = set(experiment.trained_names() if selected is None else selected)
    only_tested = set(experiment.task_names()) - set(experiment.trained_names())
    tasks = tuple(task for task in experiment.task_names() if task in trained | only_tested)
    made = Plan(experiment=experiment, models=models, tasks=tasks, left_out=left_out)

    # 1. Items and prompts of every task: both parts, few-shot for evaluation and bare for training.
    for task in experiment.task_names():
        made.examples[task] = _examples(experiment, task)
        if task in trained and made.training_items(task) < 1:
            assert experiment.development
            raise ExperimentError(
                f"development.items: {experiment.development.items} are all {made.sizes(task)[0]} training items of "
                f"{task}, or more"
            )

    # 2. Few-shot accuracy of every model on the first training items. Selection sees nothing else.
    candidates = [*made.teachers().values(), *made.students()]
    first = experiment.selection.items
    for task in experiment.trained_names():
        for model in candidates:
            stop = min(first, made.training_items(task))
            made.measured[model.name, task] = _score(experiment, made.examples[task], model, "train", 0, stop)

    # 3. Teacher rationales: the rest of the training items, and the measured ones again for free. A teacher with
    #    settings of its own (k samples, another temperature) generates them all.
    for task in made.trained:
        items = made.training_items(task)
        for role, model in made.teachers().items():
            if role in experiment.published:
                continue
            own = _own_sampling(experiment, role)
            slices = [] if own else [made.measured[model.name, task]]
            begin = 0 if own else first
            if items > begin:
                slices.append(_score(experiment, made.examples[task], model, "train", begin, items, own))
            made.rationales[role, task] = tuple(slices)

    for role, name in experiment.published.items():
        made.published[role] = _published(experiment, name)

    # 4. Filter and mix. A mixture reads its own teachers' rationales, or all of them if the filter does.
    grid = experiment.grid()
    for point in grid:
        if _mixture_name(experiment, point) not in made.mixtures:
            made.mixtures[_mixture_name(experiment, point)] = _mix(made, point)

    #    Before that, every untouched student reads some of what each teacher keeps under the mixture's filter.
    readers = {(point.student, _mixture_name(experiment, point)): point for point in grid}
    for (student, mixture), point in readers.items() if experiment.traces() else ():
        for role in experiment.shares()[point.mixture]:
            for task in made.trained:
                made.surprisals[student, mixture, role, task] = _surprisal(made, point, role, task)

    # 5. The grid: students x mixtures x the axes' product, or the listed points; then the control arms.
    made.cells.extend(_cell(made, point) for point in grid)
    for comparison in experiment.comparisons:
        for left, right in experiment.pairs(comparison, grid):
            _compare(made, comparison, grid[left], made.cells[left], grid[right], made.cells[right])

    # 6. Development items: the last training items, which nothing trains on. Cells are chosen or given up by them.
    for task in made.trained if experiment.development else ():
        begin, end = made.training_items(task), made.sizes(task)[0]
        for model in made.students():
            made.developed[model.name, task] = _score(experiment, made.examples[task], model, "train", begin, end)
        for cell in made.cells:
            scored = _score(experiment, made.examples[task], cell.train, "train", begin, end)
            made.developed[cell.train.key, task] = scored

    # 7. Test items, opened here and nowhere else: every untouched model, then every distilled student,
    #    with the same prompt, budget and engine (pitfall 1), scored by rules and by the judge.
    judge = models[experiment.judge.model]
    for task in tasks:
        for model in candidates:
            scored = _score(experiment, made.examples[task], model, "test", 0, made.sizes(task)[1])
            made.baselines[model.name, task] = _judged(experiment, scored, judge)
        firsts: dict[str, Scored] = {}  # of each training method; the other cells' steps differ by their training only
        for cell in made.cells:
            if cell.sft.method not in firsts:
                scored = _score(experiment, made.examples[task], cell.train, "test", 0, made.sizes(task)[1])
                firsts[cell.sft.method] = _judged(experiment, scored, judge)
            made.predictions[cell.train.key, task] = _of_student(firsts[cell.sft.method], cell.train)

    # 8. What the judge's word is worth: probes from the golds and from answers that the rules accept.
    return replace(made, audit=_audit(made, judge)) if experiment.judge.audit else made


def _mixture_name(experiment: Experiment, point: Point) -> str:
    """The mixture's name, with the filter's arm where that is an axis and not the experiment's own."""
    if point.filter == experiment.filter:
        return point.mixture
    return " ".join([point.mixture, *(str(point.value(a)) for a in experiment.varied() if a.startswith("filter."))])


def _mix(made: Plan, point: Point, least: Step | None = None) -> Step:
    """The point's training rows; with `least` no more of them than that mixture has."""
    shares = made.experiment.shares()[point.mixture]
    params, inputs = _pools(made, point.filter, shares, made.trained)
    return Step(
        stage="mix",
        version=VERSIONS["mix"],
        params={
            "mixture": dict(shares),
            "mixing": made.experiment.mixing.model_dump(mode="json"),
            "seed": made.experiment.sft.seed,
            **params,
            **({"rows": "least"} if least else {}),
        },
        inputs=(*inputs, *([least] if least else ())),
        label=_mixture_name(made.experiment, point),
    )


def _pools(
    made: Plan, rules: Filter, shares: Collection[str], tasks: Collection[str]
) -> tuple[dict[str, Any], tuple[Step, ...]]:
    """Params and inputs from which `curate.pools` makes the kept rationales of the roles in `shares`."""
    ready = sorted(set(shares) & set(made.published))
    roles = list(made.experiment.teachers) if rules.all_teachers else sorted(set(shares) - set(ready))
    sources = [*(tasks if roles else ()), *(f"published/{made.experiment.published[role]}" for role in ready)]
    left_out = sorted({item for source in sources for item in made.left_out.get(source, ())})
    params = {
        "slices": [[role, task, len(made.rationales[role, task])] for role in roles for task in tasks],
        "filter": rules.model_dump(mode="json"),
        **({"published": ready} if ready else {}),
        **({"left_out": left_out} if left_out else {}),
        **({"tests": len(made.examples)} if rules.decontaminate else {}),
        **({"development": made.experiment.development.items} if made.experiment.development else {}),
    }
    return params, (
        *(
            step
            for role in roles
            for task in tasks
            for step in (made.examples[task], *(scored.score for scored in made.rationales[role, task]))
        ),
        *(made.published[role] for role in ready),
        *(made.examples.values() if rules.decontaminate else ()),
    )


def _surprisal(made: Plan, point: Point, role: str, task: str) -> Step:
    """The point's untouched student reads the role's kept rationales of a task; of ready-made ones, which are of no
    task here, all. They are rendered as the experiment's own `sft` says, whatever its axes: proxies know no recipe.
    """
    experiment, student = made.experiment, made.models[point.student]
    ready = role in made.published
    params, inputs = _pools(made, point.filter, [role], [task])
    return Step(
        stage="surprisal",
        version=VERSIONS["surprisal"],
        params={
            "student": student.identity,
            "teacher": role,
            "traces": experiment.traces(),
            "seed": experiment.proxies.seed,
            "engine": experiment.engine.of_all(),
            "rendering": {name: getattr(experiment.sft, name) for name in RENDERING},
            **_template(student),
            **params,
        },
        inputs=inputs,
        label="-".join([student.name, role, *([] if ready else [task])]),
    )


def _cell(made: Plan, point: Point, matched: tuple[Match, Cell] | None = None, mixture: Step | None = None) -> Cell:
    """The grid's cell at the point; a control arm's if it is `matched`, on the rows of `mixture` if given."""
    student, name = made.models[point.student], _mixture_name(made.experiment, point)
    rank = point.sft.lora.rank
    if point.sft.method == "lora" and made.experiment.engine.lora == "adapters" and rank > LARGEST_SERVED_RANK:
        raise ExperimentError(
            f"sft.lora.rank: {rank} is more than the {LARGEST_SERVED_RANK} of an adapter that vLLM serves; "
            "set engine.lora: merged"
        )
    own = replace(point, sft=made.experiment.sft, filter=made.experiment.filter)
    notes = [
        f"{axis.rpartition('.')[2].replace('_', ' ')} {value}"
        for axis in made.experiment.varied()
        if not axis.startswith(("sft.batch", "filter."))
        for value in [point.value(axis)]
        if value != own.value(axis)
    ]
    params: dict[str, Any] = {
        "student": student.identity,
        "sft": point.sft.model_dump(mode="json"),
        **_template(student),
    }
    inputs = [mixture or made.mixtures[name]]
    if matched:
        kind, other = matched
        notes.append(f"equal {kind}")
        if kind in ("updates", "tokens"):
            params["match"] = kind
            inputs.append(other.train)
    label = "-".join([student.name, name, str(point.sft.batch), *notes])
    train = Step(stage="train", version=VERSIONS["train"], params=params, inputs=tuple(inputs), label=label)
    return Cell(
        student=student,
        mixture=name,
        sft=point.sft,
        train=train,
        filter=point.filter,
        notes=tuple(notes),
        matched=matched,
    )


def _compare(
    made: Plan, comparison: DeclaredComparison, left_at: Point, left: Cell, right_at: Point, right: Cell
) -> None:
    """Add the declared pair, and for each kind of `match` the control arm and its pair with the right arm."""

    def pair(name: str, control: Cell, against: Cell) -> None:
        made.pairs.append(Pair(name=name, left=control, right=against, treatment=comparison.treatment))

    pair(comparison.name, left, right)
    control_at = right_at.replaced({axis: left_at.value(axis) for axis in comparison.treatment})
    for kind in comparison.match:
        against, rows = right, None
        if kind == "examples":
            natural = made.mixtures[_mixture_name(made.experiment, control_at)], right.train.inputs[0]
            rows = _mix(made, control_at, least=natural[1])
            against = _control(made, _cell(made, right_at, (kind, left), _mix(made, right_at, least=natural[0])))
        control = _control(made, _cell(made, control_at, (kind, right), rows))
        pair(f"{comparison.name}, equal {kind}", control, against)


def _control(made: Plan, cell: Cell) -> Cell:
    """The cell that is trained the same way if there is one, else this one, added: under a name of its own, where
    another comparison's control arm is equal to another cell."""
    same = next((each for each in made.cells if each.train == cell.train), None)
    if same is not None:
        return same
    if cell.matched and any((each.student, each.arm) == (cell.student, cell.arm) for each in made.cells):
        other = cell.matched[1]
        as_other = f"{cell.notes[-1]} as {other.mixture} / {other.recipe}"
        label = f"{cell.train.label} as {other.train.label}"
        cell = replace(cell, notes=(*cell.notes[:-1], as_other), train=replace(cell.train, label=label))
    made.cells.append(cell)
    return cell


def _of_student(first: Scored, train: Step) -> Scored:
    """What `first` is for one checkpoint, for another one."""
    assert first.judge
    label = first.score.label.replace(first.complete.inputs[1].label, train.label, 1)
    complete = first.complete.on((first.complete.inputs[0], train), label)
    score = first.score.on((first.score.inputs[0], complete), label)
    return Scored(complete=complete, score=score, judge=first.judge.on((score,), label))


def _examples(experiment: Experiment, task: str) -> Step:
    """The task's items and prompts. Files are read and checked here; the Hub is asked when the step is built."""
    split = experiment.split
    if len(splits := experiment.over_splits()) > 1:
        raise ExperimentError(f"split: stands for {len(splits)} splits, and a plan is of one")
    trains = task in experiment.trained_names()
    own = trains and split.train_from == "train"
    try:
        spec = find_task(task)
        found = tables(spec, data_of(experiment.places(), task), train=own)
        source = source_of(spec, found)
        declared, files = read_yaml(spec.yaml)
        check_shots(spec, declared, experiment.shots(task))
        if own and spec.train_split is None:
            raise TaskError(f"task {task} has no training split; set split.train_from: test")
        rows, train_rows = (
            (len(found[part].rows) if part in found else known)
            for part, known in ((spec.split, spec.rows), (spec.train_split, spec.train_rows))
        )
        if trains:
            train, test = split.sizes(rows, train_rows)
        else:
            split = Split(train=1, test=split.test if rows is None else rows, seed=split.seed)
            train, test = 0, split.sizes(None, None)[1]
    except TaskError as error:
        raise ExperimentError(f"tasks: {error}") from None
    except ValueError as error:
        raise ExperimentError(f"tasks: {task}: {error}") from None
    parts = Parts(
        train=train, test=test, seed=split.seed, crossfit=split.crossfit, fold=split.fold, train_from=split.train_from
    )
    return Step(
        stage="examples",
        version=examples_version(task),
        params={
            "task": task,
            "fingerprint": fingerprint(files),
            "source": source,
            "split": asdict(parts),
            "prompt": {**experiment.prompt.model_dump(), "shots": experiment.shots(task)},
        },
        label=task,
    )


def _published(experiment: Experiment, name: str) -> Step:
    try:
        source = published_source(name, experiment.data.get(f"published/{name}"))
    except TaskError as error:
        raise ExperimentError(f"published: {error}") from None
    return Step(stage="published", version=VERSIONS["published"], params={"set": name, "source": source}, label=name)


def _own_sampling(experiment: Experiment, role: str) -> dict[str, Any]:
    """In what a teacher's rationales are generated otherwise than it is measured."""
    settings = experiment.rationales.of(role)
    # Under parity each task is measured with stop strings of its own.
    measured = {**experiment.sampling.model_dump(), **({"stop": None} if experiment.parity else {})}
    changed = {k: v for k, v in settings.applied().items() if v != measured[k]}
    return {**changed, "samples": settings.samples} if changed or settings.samples > 1 else {}


def _score(
    experiment: Experiment,
    examples: Step,
    runs: Model | Step,
    part: str,
    start: int,
    stop: int,
    sampling: Mapping[str, Any] = MappingProxyType({}),
) -> Scored:
    """Completions of one slice by a model, or by the checkpoint that a train step makes, and their rule scores.

    `sampling` goes before the experiment's.
    """
    task = str(examples.params["task"])
    who, inputs = (runs.label, (examples, runs)) if isinstance(runs, Step) else (runs.name, (examples,))
    lora = isinstance(runs, Step) and runs.params["sft"]["method"] == "lora"
    adapter = lora and experiment.engine.lora == "adapters"
    label = f"{who}-{task}-{part}-{start}-{stop}"
    own = {
        "stop": experiment.stop(task),
        # `task:k` asks for k samples of what is reported; selection takes one.
        "samples": experiment.samples(task) if part == "test" else 1,
        # A rationale without text teaches nothing and is quarantined; anywhere else it is an answer, and unreadable.
        "text_needed": part == "train" and isinstance(runs, Model) and runs.name in experiment.teachers.values(),
        **sampling,
    }
    complete = Step(
        stage="complete",
        version=VERSIONS["complete"],
        params={
            "model": None if isinstance(runs, Step) else runs.identity,
            "part": part,
            "start": start,
            "stop": stop,
            "sampling": experiment.sampling.model_dump() | own,
            "engine": experiment.engine.of_all(),
            **({"adapter": True} if adapter else {}),
            **(_template(runs) if isinstance(runs, Model) else {}),
        },
        inputs=inputs,
        label=label,
    )
    score = Step(stage="score", version=VERSIONS["score"], params={}, inputs=(examples, complete), label=label)
    return Scored(complete=complete, score=score)


def _template(model: Model) -> dict[str, str]:
    """A chat template that is not the model's own, as text: its name is a label. A checkpoint has its student's."""
    return {} if model.chat_template is None else {"chat_template": model.chat_template}


def _judged(experiment: Experiment, scored: Scored, judge: Model) -> Scored:
    step = Step(
        stage="judge",
        version=VERSIONS["judge"],
        params={**_judging(experiment, judge), "when": experiment.judge.when},
        inputs=(scored.score,),
        label=scored.score.label,
    )
    return Scored(complete=scored.complete, score=scored.score, judge=step)


def _audit(made: Plan, judge: Model) -> Step:
    """Probes come from the test items and from the untouched models' answers, so a wider grid asks nothing anew."""
    experiment = made.experiment
    return Step(
        stage="audit",
        version=VERSIONS["audit"],
        params={
            **_judging(experiment, judge),
            "per_kind": experiment.judge.audit,
            "seed": experiment.sampling.seed,
            "tasks": len(made.tasks),
        },
        inputs=(
            *(made.examples[task] for task in made.tasks),
            *(scored.score for scored in made.baselines.values()),
        ),
        label=judge.name,
    )


def _judging(experiment: Experiment, judge: Model) -> dict[str, Any]:
    """What a judge's verdict depends on beside the answer. The prompt's name is a label; its text counts."""
    prompt = JUDGE_PROMPTS[experiment.judge.prompt]
    return {
        "judge": judge.identity,
        "system": prompt.system,
        "user_template": prompt.user_template,
        "max_tokens": prompt.max_tokens,
        "engine": experiment.engine.of_all(),
    }
