"""Builds the steps of a plan, each stage in one go, with what it needs started once and only if needed."""

from __future__ import annotations

import dataclasses
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from functools import cached_property
from types import MappingProxyType, TracebackType
from typing import Any

import ray

from capgap_ray.accounts import all_engines_devices, training_devices
from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
from capgap_ray.catalog.models import Model
from capgap_ray.choice import Log
from capgap_ray.core.metering import Meter
from capgap_ray.experiment import Experiment
from capgap_ray.plan import Cell, Plan, Scored, resolve_models
from capgap_ray.progress import Progress
from capgap_ray.stages import metrics
from capgap_ray.stages.cluster import ResourcesError, cluster, fits_both, refuse_training
from capgap_ray.stages.curate import build_mixture
from capgap_ray.stages.engine import Decoding, Layout
from capgap_ray.stages.engine_pool import EnginePool
from capgap_ray.stages.grid import Outcome, Training, run_grid, run_search
from capgap_ray.stages.inference import UNIT_ROWS, run_slices
from capgap_ray.stages.judge import audit_slice, commit_audit, commit_judged, judge_slices
from capgap_ray.stages.known_rows import made_by
from capgap_ray.stages.landing import Landing, Wanted
from capgap_ray.stages.loss_line import LossLine
from capgap_ray.stages.scoring import Scorer, requests_table
from capgap_ray.stages.search import Candidates, Watched
from capgap_ray.stages.slices import Landed, Receipt, Slice, check_quarantine, commit_completions
from capgap_ray.stages.surprisal import Drawn, commit_surprisal, draw_all
from capgap_ray.stages.train import compiler_note

Say = Callable[[str], None]


class Session:
    """Use as a context. Ray, the engines and the scorer start with the first step that is missing."""

    def __init__(self, experiment: Experiment, store: Store, say: Say) -> None:
        self._experiment = experiment
        self._store = store
        self._say = say
        self._stack = ExitStack()
        self._pool: EnginePool | None = None
        self._workers = max(point.sft.workers for point in experiment.grid())
        self._meter = Meter(experiment.budget.gpu_hours if experiment.budget else None, time.monotonic)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    # --- what runs things --------------------------------------------------------------------------

    @cached_property
    def _ray(self) -> Mapping[str, float]:
        """Starts Ray or joins a cluster, once; CPUs and GPUs that others hold there."""
        begun = time.monotonic()
        taken = self._stack.enter_context(cluster(self._experiment.resources, self._workers, self._store, self._say))
        self._say(f"ray         ready in {time.monotonic() - begun:.0f} s")
        return taken

    @cached_property
    def _scorer(self) -> Any:
        assert self._ray
        return Scorer.options(name="scorer").remote(self._store.root, self._experiment.places())  # type: ignore[attr-defined]

    def _engines(self) -> EnginePool:
        assert self._ray
        if self._pool is None:
            resources = self._experiment.resources
            self._pool = EnginePool(self._experiment.engine, resources)
            self._stack.callback(self._close_engines)
            self._hold_engines([])
        return self._pool

    def _run_slices(self, slices: Sequence[Slice]) -> Iterator[Landed]:
        if not slices:
            return
        pool = self._engines()
        self._hold_engines(slices)
        for landed in run_slices(self._store, pool, slices):
            metrics.count_landed(landed)
            yield landed

    def _hold_engines(self, slices: Iterable[Slice]) -> None:
        """Count the engines that run these slices, each as the largest of them."""
        own = [each.layout.gpus for each in slices if each.layout]
        self._meter.hold("engines", all_engines_devices(self._experiment.resources, own))

    @cached_property
    def _layouts(self) -> dict[str, Layout]:
        """Identity of a model -> how its engine is spread, of those in `resources.parallel`."""
        parallel = self._experiment.resources.parallel
        models = resolve_models(self._experiment) if parallel else {}
        return {models[name].identity: Layout(**each.model_dump()) for name, each in parallel.items()}

    def _close_engines(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None
            self._meter.release("engines")

    # --- stages, in the order of the flow ------------------------------------------------------------

    def examples(self, steps: Iterable[Step]) -> None:
        todo = self._missing(steps)
        if todo:
            with _timed(self._say, "examples", f"{len(todo)} tasks"):
                self._engines()  # their imports take longer than this stage
                ray.get([self._scorer.build_examples.remote(step) for step in todo])

    def published(self, steps: Iterable[Step]) -> None:
        todo = self._missing(steps)
        if todo:
            with _timed(self._say, "published", f"{len(todo)} sets"):
                ray.get([self._scorer.build_published.remote(step) for step in todo])

    def predict(self, wanted: Wanted, what: str, readers: Iterable[tuple[Step, Model]] = ()) -> None:
        """Complete and rule-score: pairs of steps and the source of the model that each runs.

        `readers`: `surprisal` steps, each with the untouched student that reads. Each model does all that is wanted of
        it, one model after the other.
        """
        unscored, owners = self._todo(wanted)
        asked = {step: student for step, student in readers if not self._store.built(step)}
        drawn = draw_all(
            self._store,
            (
                (step, student.source, student.name, self._layouts.get(student.identity))
                for step, student in asked.items()
            ),
        )
        if drawn:
            owners |= {each: step for step, found in drawn.items() for each in found.slices}
            owners = dict(sorted(owners.items(), key=lambda pair: pair[0].source))
        if unscored or drawn:
            rows = sum(each.rows for each in owners)
            said = f"{rows} rows, {len(unscored) + len(drawn)} steps"
            with _timed(self._say, what, said), Progress(what, rows, "rows") as progress:
                self._complete(unscored, owners, progress, what, drawn)

    def _predict_beside(self, wanted: Wanted) -> None:
        """As `predict`, beside another stage, which has the progress lines."""
        unscored, owners = self._todo(wanted)
        if unscored:
            self._complete(unscored, owners, lambda rows: None, "evaluate")

    def _todo(self, wanted: Wanted) -> tuple[list[Scored], dict[Slice, Step]]:
        """What is not scored yet, and the slices to be completed for it, each with its step."""
        each_once = dict.fromkeys(wanted)
        owners = {
            each: scored.complete
            for scored, source in each_once
            if not self._store.built(scored.complete)
            for each in self._slices(scored.complete, source)
        }
        return [scored for scored, _ in each_once if not self._store.built(scored.score)], owners

    def _complete(
        self,
        unscored: Iterable[Scored],
        owners: Mapping[Slice, Step],
        progress: Callable[[float], None],
        what: str,
        drawn: Mapping[Step, Drawn] = MappingProxyType({}),
    ) -> None:
        """Run the slices, commit each step whose last one has landed, and score what is complete."""
        scores = {scored.complete: scored.score for scored in unscored}
        scoring = [self._scorer.build_score.remote(score) for step, score in scores.items() if self._store.built(step)]
        wanted_of: defaultdict[Step, list[Slice]] = defaultdict(list)
        for each, step in owners.items():
            wanted_of[step].append(each)
        for step, found in drawn.items():
            if not found.slices:
                commit_surprisal(self._store, step, found, [], 0.0)
        self._meter.check(what)
        receipts: dict[Slice, Receipt] = {}
        spent: defaultdict[Step, float] = defaultdict(float)
        for landed in self._run_slices(list(owners)):
            unit_rows = sum(each.rows for each in landed.slices)
            receipts |= dict(zip(landed.slices, landed.receipts, strict=True))
            progress(unit_rows)
            for each in landed.slices:
                spent[owners[each]] += landed.seconds * each.rows / unit_rows
            for step in dict.fromkeys(owners[each] for each in landed.slices):
                mine = wanted_of[step]
                if not all(each in receipts for each in mine):
                    continue
                done = [(each, receipts[each]) for each in mine]
                if step in drawn:
                    commit_surprisal(self._store, step, drawn[step], done, spent[step])
                    continue
                commit_completions(self._store, step, done, spent[step], self._experiment.max_error_share)
                if step in scores:
                    scoring.append(self._scorer.build_score.remote(scores[step]))
            if len(receipts) < len(owners):
                self._meter.check(what)
        ray.get(scoring)

    def _slices(self, step: Step, source: str) -> list[Slice]:
        params = step.params
        size = max(1, UNIT_ROWS // params["sampling"]["samples"])
        untouched = params["model"] or step.inputs[1].params["student"]
        weights = params["model"] or f"{step.inputs[1].key} {params.get('update')} {params.get('adapter')}"
        maker = made_by(weights, params["engine"], step.inputs[0].params["task"])
        template = (step if params["model"] else step.inputs[1]).params.get("chat_template")
        return [
            Slice(
                address=step.address,
                shard=f"rows/{start:09d}-{min(start + size, params['stop']):09d}.parquet",
                source=source,
                model=_who(step),
                requests=requests_table(self._store, step.inputs[0], params["part"]),
                start=start,
                stop=min(start + size, params["stop"]),
                decoding=Decoding(
                    **{**params["sampling"], "stop": tuple(params["sampling"]["stop"])},
                    plain=step.inputs[0].params["prompt"]["chat"] == "plain",
                    template=template,
                ),
                # The record's canary is the final export's; those on the way have theirs in a file.
                trained_by=step.inputs[1].address if len(step.inputs) > 1 and "update" not in params else None,
                layout=self._layouts.get(untouched),
                maker=maker,
            )
            for start in range(params["start"], params["stop"], size)
        ]

    def mixtures(self, steps: Iterable[Step]) -> None:
        todo = self._missing(steps)
        if todo:
            with _timed(self._say, "mixtures", f"{len(todo)}"):
                for step in todo:
                    self._say(f"  mixture   {build_mixture(self._store, step)}")
                    record = self._store.record(step)
                    assert record is not None
                    metrics.count_filters(record.summary["filters"].values())

    def train(
        self,
        cells: Sequence[Cell],
        ready: Callable[[Cell], Sequence[Wanted]] | None = None,
        watched: Callable[[Cell], Watched | None] = lambda cell: None,
    ) -> dict[str, str]:
        """Returns, for every cell that could not be trained, its step's key and why; not those that are given up.

        `ready`: what of a cell can be scored by now, as `Landing` takes it. It is scored beside the training, where the
        cluster can hold the engines and the training together. `watched`: how a cell is looked at, for which it has to
        hold them.
        """
        todo = {cell.train.key: cell for cell in cells if not self._store.built(cell.train)}
        trainings = [
            Training(step=cell.train, source=cell.student.source, watched=watched(cell)) for cell in todo.values()
        ]
        trainings = [each for each in trainings if not each.given_up(self._store)]
        if not trainings:
            return {}
        resources = self._experiment.resources
        return self._trials(
            [todo[each.step.key] for each in trainings],
            len(trainings),
            ready,
            lambda watch, until: run_grid(self._store, trainings, resources, watch, until),
            must_score=any(each.watched for each in trainings),
        )

    def search(
        self,
        made: Plan,
        student: str,
        mixture: str,
        ready: Callable[[Cell], Sequence[Wanted]],
        watched: Callable[[Cell], Watched | None],
    ) -> dict[str, str]:
        """Try cells of one student and mixture as the experiment's search says. Returns what `train` does."""
        step = made.search(student, mixture)
        settings = self._experiment.search
        assert settings
        if self._store.built(step):
            return {}
        log = Log(self._store, step)
        cells = made.candidates(student, mixture)
        entries = log.entries()
        candidates = Candidates(
            settings=settings,
            axes=made.axes_in_words(cells),
            begun=[key for key, each in entries.items() if each["outcome"] not in ("trained", "stopped")],
            known={key: each["accuracy"] for key, each in entries.items() if each["outcome"] in ("trained", "stopped")},
        )
        trials = min(settings.trials, len(cells)) - len(candidates.known)
        failed: dict[str, str] = {}
        begun = time.monotonic()
        if trials > 0:
            trainings = [Training(step=cell.train, source=cell.student.source, watched=watched(cell)) for cell in cells]
            failed = self._trials(
                cells,
                trials,
                ready,
                lambda watch, until: run_search(
                    self._store, trainings, candidates, self._experiment.resources, watch, until
                ),
                must_score=True,
                log=log,
            )
        if not failed:
            tried = log.entries()
            attempt = self._store.new_attempt(step)
            self._store.commit(step, attempt, {"tried": len(tried), "trials": tried}, time.monotonic() - begun)
        return failed

    def _trials(
        self,
        cells: Sequence[Cell],
        trials: int,
        ready: Callable[[Cell], Sequence[Wanted]] | None,
        run: Callable[[Trials, float | None], dict[str, str]],
        must_score: bool,
        log: Log | None = None,
    ) -> dict[str, str]:
        """Run trials of the cells, as many as `trials`, with what has landed scored beside them."""
        assert self._ray
        resources = self._experiment.resources
        refuse_training(resources, self._workers)
        fits = fits_both(resources, self._workers, self._ray)
        if must_score and not fits:
            raise ResourcesError(
                "resources: search and development.early_stop look at trainings while they run, and the cluster cannot "
                "hold the engines and the training workers together; ask for less, or enlarge it; of an autoscaling "
                "one only the nodes that are up count, unless resources.grows_to: {cpus: N, gpus: N} says what it may "
                "have"
            )
        landing = Landing(ready or (lambda cell: ()), self._predict_beside, resources.engines if must_score else None)
        beside = ready is not None and fits
        if beside:
            self._engines()
        elif not fits:
            self._close_engines()
        devices = resources.trials * training_devices(self._workers, resources)
        left = self._meter.seconds_left(devices)
        self._meter.hold("training", devices)
        metrics.tell_cells(trials, 0, 0)
        if (note := compiler_note(resources.worker_gpus)) is not None:
            self._say(f"  train     {note}")
        with landing if beside else nullcontext():
            with _timed(self._say, "train", f"{trials} cells"), LossLine(self._store, [each.train for each in cells]):
                watch = Trials(cells, trials, landing, self._say, log)
                failed = run(watch, None if left is None else time.time() + left)
            self._meter.release("training")
        if landing.scored:
            self._say(f"evaluate    {landing.scored} steps were scored while the grid trained")
        for cell in cells:
            if cell.train.key in failed:
                self._store.note_failure(cell.train, failed[cell.train.key])
        metrics.tell_cells(trials, trials - len(failed), len(failed))
        if failed:
            self._meter.check(f"train, {len(failed)} of {trials} cells")
        return failed

    def judge(self, wanted: Iterable[Scored], audits: Iterable[Step], source: str) -> None:
        todo = self._missing(scored.judge for scored in wanted if scored.judge)
        auditing = self._missing(audits)
        if not todo and not auditing:
            return
        slices = judge_slices(self._store, todo, source)
        asked = sum(each.rows for each in slices)
        with _timed(self._say, "judge", f"{asked} rejected answers, {len(todo)} steps, {len(auditing)} audits"):
            for step in auditing:
                slices.append(audit_slice(self._store, step, ray.get(self._scorer.probes.remote(step)), source))
            self._meter.check("judge")
            slices = [dataclasses.replace(each, layout=self._layouts.get(each.model)) for each in slices]
            answered: list[tuple[Slice, Receipt]] = []
            for landed in self._run_slices(slices):
                answered += zip(landed.slices, landed.receipts, strict=True)
                metrics.add(
                    "capgap_judge_calls", sum(each.rows for each in landed.slices), judge=landed.slices[0].model
                )
            # Of all together: a step may ask about one answer only.
            check_quarantine(self._store, "judge", answered, self._experiment.max_error_share)
            for step in todo:
                commit_judged(self._store, step)
            for step in auditing:
                commit_audit(self._store, step)

    def _missing(self, steps: Iterable[Step]) -> list[Step]:
        return [step for step in dict.fromkeys(steps) if not self._store.built(step)]


class Trials:
    """Says each trial's end, and tells the landing and a search's log."""

    def __init__(self, cells: Iterable[Cell], trials: int, landing: Landing, say: Say, log: Log | None) -> None:
        self._cells = {cell.train.key: cell for cell in cells}
        self._trials, self._landing, self._say, self._log = trials, landing, say, log
        self._ended: set[str] = set()

    def began(self, step: Step) -> None:
        if self._log is not None:
            self._log.note(step.key)
        self._landing.began(self._cells[step.key])

    def ended(self, step: Step, outcome: Outcome, accuracy: float | None) -> None:
        if self._log is not None and not self.broken():
            self._log.note(step.key, outcome, accuracy)
        self._ended.add(step.key)
        told = "" if outcome == "trained" else ": FAILED" if outcome == "failed" else f": {outcome}"
        seen = "" if accuracy is None else f", {100 * accuracy:.1f} % on development items"
        self._say(f"  trial     {len(self._ended)}/{self._trials} {step.label}{seen}{told}")
        self._landing.ended(self._cells[step.key], outcome == "trained")

    def broken(self) -> bool:
        return self._landing.error is not None


def _who(step: Step) -> str:
    """The model or arm that a completion step runs: its label less the slice."""
    return step.label.partition(f"-{step.inputs[0].params['task']}-{step.params['part']}-")[0]


class _timed:
    """Says a stage's line when it ends well."""

    def __init__(self, say: Say, stage: str, what: str) -> None:
        self._say, self._stage, self._what = say, stage, what

    def __enter__(self) -> None:
        self._begun = time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._say(f"{self._stage:<11} {self._what}, {time.monotonic() - self._begun:.0f} s")
