"""Score models, made here or elsewhere, on tasks with their own prompts: what `jobs/evaluate.py --model` does.

All measured items of each task are answered, as lm-eval does; results are steps of the store like any other, so a
second run answers only what the first did not.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store, StoreError
from capgap_ray.catalog.models import (
    MODELS,
    ModelSpec,
    content_hash,
    is_hub_id,
    known_configs,
    positions_of,
    resolve,
    too_long,
)
from capgap_ray.catalog.tasks import check_shots, data_of, expand, find_task, not_ours, of_no_task, own_files, read_yaml
from capgap_ray.core.answers import outcome, same_answer
from capgap_ray.core.passk import Sample, k_samples
from capgap_ray.core.task_spec import TaskError
from capgap_ray.experiment import from_overrides
from capgap_ray.mistakes import ExperimentError
from capgap_ray.plan import VERSIONS, examples_version
from capgap_ray.records import Completion, Request
from capgap_ray.rows import from_row, to_row
from capgap_ray.settings import Engine, Prompt, Resources, Sampling, check_budget
from capgap_ray.stages.engine import refusal
from capgap_ray.stages.weights import ON, check_adapter, known_shapes
from capgap_ray.tasks import Task, fingerprint, load, source_of, tables
from capgap_ray.tasks.hub import HubError, check_models, check_reachable

if TYPE_CHECKING:
    from capgap_ray.stages.engine_pool import EnginePool


class EvaluationSettings(BaseModel):
    """What `--set FIELD=VALUE` can change; the fields are those of an experiment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: Prompt = Prompt()
    sampling: Sampling = Sampling()
    engine: Engine = Engine()
    resources: Resources = Resources()
    data: dict[str, str] = {}
    parity: Literal["lm-eval"] | None = None
    max_error_share: float = Field(default=0.05, ge=0, lt=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """One task to score one model on."""

    model: str
    source: str
    name: str
    samples: int
    examples: Step
    complete: Step


def evaluate(argv: Sequence[str] | None = None) -> None:
    """Run the command. A mistake is one line on standard error and exit status 2, before anything starts."""
    arguments = _parser().parse_args(argv)
    try:
        settings = from_overrides(EvaluationSettings, arguments.set)
        if arguments.adapter and settings.engine.lora == "merged":
            raise ValueError(
                "engine.lora: merged is for experiments; give merged weights as --model, without --adapter"
            )
        labels = _labels(arguments.model)
        for name in settings.resources.parallel:
            if name not in labels.values():
                raise ValueError(f"resources.parallel: {name!r} is none of the models: {', '.join(labels.values())}")
        if (why := refusal(settings.resources, labels.values())) is not None:
            raise ValueError(why)
        bases = [_base(name, label, arguments.revision) for name, label in labels.items()]
        sources = {label: source for source, _, label in bases}
        configs = known_configs(sources) | check_models(sources)
        models = [each for base in bases for each in _on_base(base, arguments.adapter)]
        for config in configs.values():
            settings = _fitted(settings, config)
        if (why := too_long(settings.engine.max_model_len, configs)) is not None:
            raise ValueError(why)
        check_budget("sampling", settings.sampling.model_dump(), settings.engine.max_model_len)
        asked = _asked(arguments.tasks, settings)
        settings = settings.model_copy(update={"data": own_files(name for name, _ in asked) | settings.data})
        wanted = _wanted(asked, arguments.limit, settings, models)
        store = Store(arguments.store)
        store.check_writable()
        specs = {each.name: find_task(each.name) for each in wanted}
        check_reachable(spec for name, spec in specs.items() if data_of(settings.data, name) is None)
        for name, spec in specs.items():
            if not_ours(name):
                load(spec, data_of(settings.data, name), settings.prompt.version)
    except (ExperimentError, HubError, TaskError, StoreError, ValueError) as error:
        _stop(f"error: {' '.join(str(error).split())}", 2)
    from capgap_ray.stages.cluster import LostError, ResourcesError
    from capgap_ray.stages.slices import InferenceError

    try:
        _run(arguments, settings, wanted, store)
    except ResourcesError as error:
        _stop(f"error: {error}", 2)
    except (InferenceError, LostError, StoreError, TaskError) as error:
        _stop(str(error), 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Score models on tasks.")
    known = "known names, folders in Hugging Face layout, or Hub ids; those of one architecture share an engine"
    parser.add_argument("--model", required=True, nargs="+", help=known)
    parser.add_argument("--revision", help="Hub commit; or a name for the content of a folder too large to hash")
    parser.add_argument(
        "--adapter", nargs="+", default=[], help="folders of LoRA adapters on each model; they are served together"
    )
    parser.add_argument("--tasks", required=True, help="such as bbh/snarks,math500:4; task:k takes k samples per item")
    parser.add_argument("--limit", type=int, help="only the first items of each task")
    parser.add_argument("--log-samples", metavar="DIR", help="write samples_<task>_<time>.jsonl as lm-eval does")
    parser.add_argument("--store", default="store", help="folder or URI of all results (default: ./store)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="e.g. sampling.max_tokens=512"
    )
    return parser


def _stop(line: str, status: int) -> NoReturn:
    print(line, file=sys.stderr)
    raise SystemExit(status)


# --- what to do ------------------------------------------------------------------------------------------


def _labels(names: Sequence[str]) -> dict[str, str]:
    """What each model is called: the end of its name, or all of it where others end alike."""
    ends = Counter(Path(name).name for name in dict.fromkeys(names))
    return {name: Path(name).name if ends[Path(name).name] == 1 else name for name in names}


def _base(name: str, label: str, revision: str | None) -> tuple[str, str, str]:
    """(source, identity, label) of the model. Raises ValueError that names the model and the mend."""
    if name in MODELS or Path(name).is_dir():
        spec = MODELS.get(name) or ModelSpec(source=name)
        found = resolve(name, spec if revision is None else replace(spec, revision=revision))
        return found.source, found.identity, label
    if is_hub_id(name):
        return f"{name}@{revision or 'main'}", f"{name}@{revision or 'main'}", label
    raise ValueError(f"--model: {name!r} is no known model, no folder and no Hub id; known: {', '.join(MODELS)}")


def _on_base(base: tuple[str, str, str], adapters: Sequence[str]) -> list[tuple[str, str, str]]:
    """The model or, in its place, each adapter on it. Raises AdapterError."""
    if not adapters:
        return [base]
    source, identity, label = base
    shapes = known_shapes(source)
    places = list(dict.fromkeys(Path(adapter).resolve() for adapter in adapters))
    # Those of one store are all named `adapter`: what tells them apart lies above.
    above = places[0].parent if len(places) == 1 else Path(os.path.commonpath(places))
    made = []
    for place in places:
        check_adapter(str(place), source, shapes)
        made.append(
            (f"{source}{ON}{place}", f"{identity}+{content_hash(place)}", f"{label}+{place.relative_to(above)}")
        )
    return made


def _fitted(settings: EvaluationSettings, config: Mapping[str, Any]) -> EvaluationSettings:
    """With the context of the model where it is shorter than the default. A length that was asked for stays."""
    longest = positions_of(config)
    asked_for = "max_model_len" in settings.engine.model_fields_set
    if asked_for or longest is None or longest >= settings.engine.max_model_len:
        return settings
    print(f"engine      max_model_len {longest}, all that the model has", flush=True)
    return settings.model_copy(update={"engine": settings.engine.model_copy(update={"max_model_len": longest})})


def _asked(tasks: str, settings: EvaluationSettings) -> list[tuple[str, int]]:
    """Tasks with the samples per item, groups not expanded. Raises ValueError on a number that cannot be."""
    asked = []
    for entry in tasks.split(","):
        name, _, k = (
            entry.strip().rpartition(":") if entry.strip().rpartition(":")[2].isdigit() else (entry.strip(), "", "1")
        )
        if int(k) < 1:
            raise ValueError(f"--tasks: {entry!r}: samples per item must be at least 1")
        if int(k) > 1 and settings.sampling.temperature == 0:
            raise ValueError(f"--tasks: {entry!r} needs --set sampling.temperature above 0")
        asked.append((name, int(k)))
    return asked


def _wanted(
    asked: Sequence[tuple[str, int]],
    limit: int | None,
    settings: EvaluationSettings,
    models: Sequence[tuple[str, str, str]],
) -> list[_Wanted]:
    """Raises TaskError or ValueError on a task that cannot be run as asked."""
    if limit is not None and limit < 1:
        raise ValueError(f"--limit: must be at least 1, not {limit}")
    tasks = [(task, k) for name, k in asked for task in expand(name)]
    names = list(dict.fromkeys(task for task, _ in tasks))
    for place in of_no_task(settings.data, names):
        raise ValueError(f"data: {place!r} is none of the tasks: {', '.join(names)}")
    made = [_steps(task, k, limit, settings, model) for task, k in tasks for model in models]
    # One model after the other: each is loaded once.
    return sorted(made, key=lambda each: [model[0] for model in models].index(each.source))


def _steps(
    task: str, samples: int, limit: int | None, settings: EvaluationSettings, model: tuple[str, str, str]
) -> _Wanted:
    source, identity, label = model
    spec = find_task(task)
    found = tables(spec, data_of(settings.data, task), train=False)
    shots = spec.shots if settings.prompt.shots is None else settings.prompt.shots
    declared, files = read_yaml(spec.yaml)
    check_shots(spec, declared, shots)
    stop = spec.stop if settings.parity == "lm-eval" else settings.sampling.stop
    examples = Step(
        stage="examples",
        version=examples_version(task),
        params={
            "task": task,
            "fingerprint": fingerprint(files),
            "source": source_of(spec, found),
            "every": limit or True,
            "prompt": {**settings.prompt.model_dump(), "shots": shots},
        },
        label=task,
    )
    complete = Step(
        stage="complete",
        version=VERSIONS["complete"],
        params={
            "model": identity,
            "part": "test",
            "sampling": settings.sampling.model_dump() | {"stop": stop, "samples": samples, "text_needed": False},
            "engine": settings.engine.of_all(),
        },
        inputs=(examples,),
        label=f"{label}-{task}",
    )
    return _Wanted(model=label, source=source, name=task, samples=samples, examples=examples, complete=complete)


# --- doing it --------------------------------------------------------------------------------------------


def _run(arguments: Any, settings: EvaluationSettings, wanted: Sequence[_Wanted], store: Store) -> None:
    begun = time.monotonic()
    missing = [each for each in wanted if not store.built(each.complete)]
    tasks: dict[str, Task] = {}
    failures: list[str] = []
    if missing:
        from capgap_ray.stages.cluster import cluster
        from capgap_ray.stages.engine_pool import EnginePool

        def prepare() -> None:
            for each in missing:
                tasks[each.name] = _prepare(store, each, settings, arguments.limit)

        # The prompts are made while Ray and the engine start, which is mostly waiting.
        with ThreadPoolExecutor(1) as beside:
            prepared = beside.submit(prepare)
            with (
                cluster(settings.resources, 0, store),
                closing(EnginePool(settings.engine, settings.resources)) as pool,
            ):
                prepared.result()
                failures = _complete(store, pool, missing, settings)
    done = [each for each in wanted if store.built(each.complete)]
    for each in done:
        task = tasks.get(each.name) or _task(each, settings)
        _say_scores(store, each, task)
        if arguments.log_samples:
            _log(store, each, task, Path(arguments.log_samples))
    print(f"done        {len(done)} scores, {time.monotonic() - begun:.0f} s", flush=True)
    if failures:
        _stop("\n".join(failures), 1)


def _task(wanted: _Wanted, settings: EvaluationSettings) -> Task:
    task = load(find_task(wanted.name), data_of(settings.data, wanted.name), settings.prompt.version)
    task.check_source(wanted.examples.params["source"])
    return task


def _prepare(store: Store, wanted: _Wanted, settings: EvaluationSettings, limit: int | None) -> Task:
    """Write the items and, beside them, the prompts."""
    task, prompt = _task(wanted, settings), wanted.examples.params["prompt"]
    if not store.built(wanted.examples):
        begun = time.monotonic()
        examples = task.every()[:limit]
        attempt = store.new_attempt(wanted.examples)
        requests = task.requests(examples, prompt["shots"], prompt["chat"])
        store.write_rows(f"{attempt}/requests-test.parquet", [to_row(each) for each in requests])
        table = f"{attempt}/rows.parquet"
        store.write_rows(table, [to_row(each) for each in examples])
        store.commit(wanted.examples, attempt, {"rows": len(examples)}, time.monotonic() - begun, [table])
    return task


def _complete(
    store: Store,
    pool: EnginePool,
    missing: Sequence[_Wanted],
    settings: EvaluationSettings,
) -> list[str]:
    """Returns why some have no score, a line each; those of others are not lost by it."""
    from capgap_ray.stages.engine import Decoding, Layout
    from capgap_ray.stages.inference import UNIT_ROWS, run_slices
    from capgap_ray.stages.known_rows import made_by
    from capgap_ray.stages.slices import InferenceError, Receipt, Slice, commit_completions

    slices: dict[str, list[Slice]] = {}
    """Step's key -> its slices."""
    for each in missing:
        record = store.record(each.examples)
        assert record is not None
        rows, size = record.summary["rows"], max(1, UNIT_ROWS // each.samples)
        sampling, identity = each.complete.params["sampling"], each.complete.params["model"]
        spread = settings.resources.parallel.get(each.model.partition("+")[0])
        slices[each.complete.key] = [
            Slice(
                address=each.complete.address,
                shard=f"rows/{start:09d}-{min(start + size, rows):09d}.parquet",
                source=each.source,
                model=each.model,
                requests=f"{store.folder(each.examples)}/requests-test.parquet",
                start=start,
                stop=min(start + size, rows),
                decoding=Decoding(
                    **{**sampling, "stop": tuple(sampling["stop"])}, plain=settings.prompt.chat == "plain"
                ),
                layout=None if spread is None else Layout(**spread.model_dump()),
                maker=made_by(identity, settings.engine.of_all(), each.name),
            )
            for start in range(0, rows, size)
        ]
    receipts: dict[Slice, Receipt] = {}
    seconds, failures = 0.0, []
    try:
        for landed in run_slices(store, pool, [one for each in slices.values() for one in each]):
            receipts |= dict(zip(landed.slices, landed.receipts, strict=True))
            seconds += landed.seconds
    except InferenceError as error:
        failures.append(str(error))
    for each in missing:
        if not receipts.keys() >= set(slices[each.complete.key]):
            continue
        pairs = [(one, receipts[one]) for one in slices[each.complete.key]]
        try:
            commit_completions(store, each.complete, pairs, seconds / len(missing), settings.max_error_share)
        except InferenceError as error:
            failures.append(str(error))
    return failures


# --- what came of it -------------------------------------------------------------------------------------


def _say_scores(store: Store, wanted: _Wanted, task: Task) -> None:
    from capgap_ray.equivalence import MathVerify

    examples = {each.id: each for each in task.every()}
    completions = [from_row(Completion, row) for row in store.rows(wanted.complete)]
    label, family, prove = wanted.model, find_task(wanted.name).family, MathVerify()
    strict = task.strict([each.example_id for each in completions], [each.text for each in completions])
    if task.unreadable is not None:
        print(
            f"strict      {label} on {wanted.name}: {100 * sum(strict) / len(strict):.1f} % of {len(strict)} "
            f"(our own rules cannot read the gold answers: {task.unreadable})",
            flush=True,
        )
        return
    counts: Counter[str] = Counter()
    samples: dict[str, list[Sample]] = {}
    for each in completions:
        item = examples[each.example_id]
        answer, decided = outcome(each.text, each.finish_reason, item.target, item.choices, family, prove)
        counts[decided] += 1
        samples.setdefault(item.id, []).append(Sample(answer, float(decided == "right")))
    n = len(completions)
    record = store.record(wanted.complete)
    assert record is not None
    lost = sum(record.summary["quarantined"].values())
    others = ", ".join(f"{counts[name]} {name}" for name in ("wrong", "unparsable", "truncated") if counts[name])
    notes = [f"strict {100 * sum(strict) / n:.1f} %", *([others] if others else [])]
    notes += [f"{lost} quarantined"] if lost else []
    print(
        f"accuracy    {label} on {wanted.name}: {100 * counts['right'] / n:.1f} % of {n} ({'; '.join(notes)})",
        flush=True,
    )
    if wanted.samples > 1:
        padded = {item: own + [Sample(None, None)] * (wanted.samples - len(own)) for item, own in samples.items()}

        def same(item: str, one: str, other: str) -> bool:
            known = examples[item]
            return same_answer(one, other, known.target, known.choices, family)

        found = k_samples(padded, same)
        shown = {"avg": found.avg, "maj": found.maj, **{f"pass@{k}": value for k, value in found.passes.items()}}
        parts = [f"{name} {100 * value.value:.1f} %" for name, value in shown.items() if value]
        print(f"samples     {label} on {wanted.name}, {found.samples} per item: {', '.join(parts)}", flush=True)


def _log(store: Store, wanted: _Wanted, task: Task, folder: Path) -> None:
    completions = [from_row(Completion, row) for row in store.rows(wanted.complete)]
    texts: dict[str, list[str]] = {}
    for each in completions:
        texts.setdefault(each.example_id, []).append(each.text)
    path = f"{store.folder(wanted.examples)}/requests-test.parquet"
    requests = [from_row(Request, row) for row in store.read_rows(path)]
    asked = [each for each in requests if each.example_id in texts]
    sampling = wanted.complete.params["sampling"]
    settings = {
        "until": list(sampling["stop"]),
        "max_gen_toks": sampling["max_tokens"],
        "temperature": sampling["temperature"],
        "do_sample": sampling["temperature"] > 0,
    }
    lines = task.sample_log(asked, [texts[each.example_id] for each in asked], settings)
    moment = datetime.datetime.now().isoformat().replace(":", "-")  # as lm-eval names them
    folder = folder / wanted.model.replace("/", "__")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"samples_{wanted.name.replace('/', '_')}_{moment}.jsonl"
    file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    print(f"samples     {file}", flush=True)
