"""Requests -> completions, streamed by Ray Data through a pool of vLLM engines that grows and shrinks with the work.

A unit is what one engine call generates: slices of one or several steps for one model, or for LoRA adapters on one
model. Ray Data runs one task per unit, or threads of the driver do where there are few. It reads its prompts from the
store, and of its rows what other steps have; has the desk find an engine for the rest (one that holds the model
already, if it can); and writes each slice's rows as a shard, those without a completion as a quarantine table, and last
a receipt that counts both. A restart finds the receipts and does only the rest; of a shard in which rows failed for a
reason that may be gone, it asks these.

An engine whose rows run out takes those of the next unit meanwhile, if it is for the same model without adapters: the
few longest answers of a unit would keep it as long as many.

What dies is done again: an engine process that is killed comes back, and its unit goes to whichever is free. A
unit that kills its engine again and again is halved until the row that does it is alone, and quarantined.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from typing import Any, TypeGuard

import ray
from ray.exceptions import ObjectLostError

from capgap_ray.artifacts.store import RECORD, Store
from capgap_ray.records import (
    Completion,
    Quarantined,
    QuarantineReason,
    Request,
    TraceReading,
    TrainingExample,
    content_id,
)
from capgap_ray.rows import from_row, to_row
from capgap_ray.settings import Resources
from capgap_ray.stages.endpoint import EndpointError, is_endpoint
from capgap_ray.stages.engine import Ask, Canaries, Canary, Decoding, Output, Refusal
from capgap_ray.stages.engine_desk import Answer, Call
from capgap_ray.stages.engine_pool import EnginePool
from capgap_ray.stages.known_rows import find_rows, note_rows, row_id, rows_of_shard
from capgap_ray.stages.slices import InferenceError, Landed, Receipt, Slice, land, read_receipt

UNIT_ROWS = 512
"""Rows of one engine call: enough to fill an engine's batch several times over."""
_MOST_UNIT_ROWS, _UNIT_TOKENS = 8 * UNIT_ROWS, 1 << 24
"""Rows of a call to an engine on GPUs, at most, and the tokens that they may come to, which go with the engine if it
goes."""
_TRANSIENT: tuple[QuarantineReason, ...] = ("engine error", "unavailable", "bad answer")
"""What another run may not meet: shards with such rows are done again until their step is committed."""

_Row = dict[str, Any]
"""A unit, or what it came to, as Ray Data carries it."""
_Run = Callable[[_Row], _Row]


class _Interrupted(InferenceError):
    """The same for a call of which something came back."""

    def __init__(self, why: str, outputs: list[Any], engine: str) -> None:
        super().__init__(why)
        self.outputs, self.engine = outputs, engine


def unit_rows(rows: int, budget: int, engines: int) -> int:
    """Rows of a call to one of `engines` engines on GPUs, where `rows` of `budget` tokens at most are wanted.

    A call ends with its few longest answers, and a step of few rows takes a GPU about as long as one of many: the
    larger the calls, the fewer such ends. But each engine is to have two calls or more.
    """
    return max(UNIT_ROWS, min(rows // (2 * engines), _UNIT_TOKENS // budget, _MOST_UNIT_ROWS))


def pack(slices: Iterable[Slice], resources: Resources | None = None) -> list[list[Slice]]:
    """Group slices into units that one engine call can serve, of at most `UNIT_ROWS` rows, on the GPUs of `resources`
    of `unit_rows` (or one longer slice)."""
    groups: dict[tuple[Any, ...], list[Slice]] = {}
    for each in slices:
        # Rows with and without an adapter need engines of two kinds.
        served_by = each.base, each.adapter is None, each.decoding, each.layout
        groups.setdefault(served_by, []).append(each)
    units: list[list[Slice]] = []
    for (base, _, decoding, layout), group in groups.items():
        most = UNIT_ROWS
        if resources and (layout or resources.engine_gpus) and not (is_endpoint(base) or decoding.reading):
            most = unit_rows(sum(each.rows for each in group), decoding.budget, resources.engines)
        rows = most
        for each in group:
            if rows + each.rows > most:
                units.append([])
                rows = 0
            units[-1].append(each)
            rows += each.rows
    return units


def run_slices(store: Store, pool: EnginePool, slices: Sequence[Slice]) -> Iterator[Landed]:
    """Generate every slice that has no receipt; yield slices when their shards are written. What an earlier run
    wrote comes first, unless a row failed there for a reason that may be gone.

    Raises InferenceError where no row can be done: an engine that does not start or does not answer, an endpoint that
    refuses the key.
    """
    todo: list[Slice] = []
    done: list[tuple[Slice, Receipt]] = []
    for each in slices:
        receipt = read_receipt(store, each)
        if receipt is None or any(reason in receipt.quarantined for reason in _TRANSIENT):
            todo.append(each)
        else:
            done.append((each, receipt))
    if done:
        yield Landed(slices=[each for each, _ in done], receipts=[receipt for _, receipt in done], seconds=0.0)
    units = pack(todo, pool.resources)
    if not units:
        return
    try:
        pool.connect({each.base for each in todo if is_endpoint(each.base)})
    except EndpointError as error:
        raise InferenceError(str(error)) from error
    rows = [
        {"index": index, "unit": json.dumps([dataclasses.asdict(each) for each in unit])}
        for index, unit in enumerate(units)
    ]
    run = _run_unit(store, pool.desk)
    for row in _beside(pool, run, rows) if len(rows) <= pool.at_once else _streamed(pool, run, rows):
        if row["failed"]:
            raise InferenceError(row["failed"])
        receipts = [from_row(Receipt, each) for each in json.loads(row["receipts"])]
        yield Landed(slices=units[row["index"]], receipts=receipts, seconds=row["seconds"])


def _beside(pool: EnginePool, run: _Run, rows: Sequence[_Row]) -> Iterator[_Row]:
    """In this process, where all are at work at once and nothing needs to be streamed: those that Ray Data would start
    for it share the cores with the engine that everybody waits for."""
    for each in as_completed([pool.callers.submit(run, row) for row in rows]):
        yield each.result()


def _streamed(pool: EnginePool, run: _Run, rows: Sequence[_Row]) -> Iterator[_Row]:
    from ray.data import DataContext, TaskPoolStrategy, from_items

    # Ray Data logs its plans as warnings and above too; what matters comes back as exceptions.
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.issue_detectors_config.detectors = []
    # For its first second Ray Data 2.60 knows of no resources, and its budgets let one task run at a time; here `size`
    # bounds them, and what they hand back is small.
    context.op_resource_reservation_enabled = False
    dataset = from_items(rows, override_num_blocks=len(rows)).map(
        run, num_cpus=0.01, compute=TaskPoolStrategy(size=pool.at_once)
    )
    dataset.set_name("completions")
    # With a batch fetched ahead, as is the default, what has landed would wait for the next to land.
    for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        yield from batch.to_pylist()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """One completion that a slice asks for."""

    request: Request
    sample: int
    seed: int | None
    id: str | None = None
    """As in `known_rows`; None where the slice shares no rows."""
    had: tuple[Output, str] | None = None
    """What another step has, or an earlier run of this one, and the engine that made it."""


def _run_unit(store: Store, desk: Any) -> _Run:
    def run(row: _Row) -> _Row:
        unit = [from_row(Slice, each) for each in json.loads(row["unit"])]
        if unit[0].decoding.reading is not None:
            return _read_unit(store, desk, row["index"], unit)
        wanted = [(each, _wanted(store, each)) for each in unit]
        asks = [
            Ask(chat=one.request.messages, seed=one.seed, adapter=each.adapter)
            for each, rows in wanted
            for one in rows
            if _is_asked(one)
        ]
        failed = ""
        try:
            outputs, engine, seconds = _complete(desk, _call(store, unit), asks)
        except _Interrupted as error:
            outputs, engine, seconds, failed = error.outputs, error.engine, 0.0, str(error)
        except InferenceError as error:
            return _outcome(row["index"], failed=str(error))
        answered = iter(outputs)
        ended = [(each, [(one, next(answered) if _is_asked(one) else None) for one in rows]) for each, rows in wanted]
        receipts = [
            _write(store, each, rows, engine)
            for each, rows in ended
            if not failed or any(isinstance(output, Output) for _, output in rows)
        ]
        return _outcome(row["index"], seconds, receipts, failed)

    return run


def _call(store: Store, unit: Sequence[Slice]) -> Call:
    return Call(
        source=unit[0].base,
        decoding=unit[0].decoding,
        canaries=_canaries(store, unit),
        layout=unit[0].layout,
        joins=unit[0].adapter is None and unit[0].decoding.reading is None,
    )


def _outcome(index: int, seconds: float = 0.0, receipts: Sequence[Receipt] = (), failed: str = "") -> dict[str, Any]:
    """A unit's row as Ray Data carries it."""
    written = json.dumps([to_row(receipt) for receipt in receipts])
    return {"index": index, "seconds": seconds, "receipts": written, "failed": failed}


def _read_unit(store: Store, desk: Any, index: int, unit: Sequence[Slice]) -> dict[str, Any]:
    """The same for slices whose texts are given. Each is a call of its own: what else is in a batch moves
    log-probabilities in their last digits, and an interrupted run has other units.
    """
    call = _call(store, unit)
    receipts, seconds = [], 0.0
    for each in unit:
        rows = store.read_rows(each.requests, each.start, each.stop)
        traces = [from_row(TrainingExample, row) for row in rows]
        try:
            outputs, engine, spent = _complete(desk, call, traces)
        except InferenceError as error:
            return _outcome(index, failed=str(error))
        receipts.append(_write_readings(store, each, list(zip(traces, outputs, strict=True)), engine))
        seconds += spent
    return _outcome(index, seconds, receipts)


def _is_asked(one: _Wanted | Quarantined) -> TypeGuard[_Wanted]:
    return isinstance(one, _Wanted) and one.had is None


def _wanted(store: Store, each: Slice) -> list[_Wanted | Quarantined]:
    """The slice's rows, with what other steps have of them, or the shard itself from an earlier run."""
    rows = list(_rows(store, each))
    if each.maker is None:
        return rows
    ids = [row.id for row in rows if isinstance(row, _Wanted) and row.id]
    had = rows_of_shard(store, each.maker, each.decoding, f"{each.address}/{each.shard}", ids)
    had |= find_rows(store, each.maker, each.decoding, each.address, [key for key in ids if key not in had])
    if each.decoding.text_needed:  # where it was made, an empty text was an answer
        had = {key: found for key, found in had.items() if found[0].text.strip()}
    return [
        dataclasses.replace(row, had=had[row.id]) if isinstance(row, _Wanted) and row.id in had else row for row in rows
    ]


def _rows(store: Store, each: Slice) -> Iterator[_Wanted | Quarantined]:
    for item in store.read_rows(each.requests, each.start, each.stop):
        for sample in range(each.decoding.samples):
            try:
                request = from_row(Request, item)
            except ValueError as error:
                yield Quarantined(
                    example_id=str(item.get("example_id")),
                    task=str(item.get("task")),
                    model=each.model,
                    sample=sample,
                    reason="malformed",
                    detail=str(error)[:300],
                )
            else:
                seed = request_seed(each.decoding, request.example_id, sample)
                known = row_id(each.maker, each.decoding, request.messages, seed) if each.maker else None
                yield _Wanted(request=request, sample=sample, seed=seed, id=known)


def _canaries(store: Store, unit: Sequence[Slice]) -> Canaries:
    """Those that the records hold."""
    steps = {each.adapter: each.trained_by for each in unit if each.trained_by is not None}
    found = {
        adapter: Canary.of(json.loads(store.read_bytes(f"{step}/{RECORD}"))["summary"])
        for adapter, step in steps.items()
    }
    return {adapter: canary for adapter, canary in found.items() if canary}


def _complete(desk: Any, call: Call, asks: Sequence[Any]) -> tuple[list[Any], str, float]:
    """Outputs, the engine's fingerprint and seconds. A row that kills its engine whenever it is asked is a Refusal."""
    if not asks:
        return [], "", 0.0
    answer: Answer = ray.get(desk.complete.remote(call, [ray.put(asks)]))
    if answer.failed is not None:
        if answer.outputs:
            raise _Interrupted(answer.failed, list(ray.get(answer.outputs[0])), answer.engine)
        raise InferenceError(answer.failed)
    if answer.died is None:
        try:
            return list(ray.get(answer.outputs[0])), answer.engine, answer.seconds
        except ObjectLostError:  # with the engine's node, where it lay
            return _complete(desk, call, asks)
    if len(asks) == 1:
        return [Refusal(reason="engine error", detail=answer.died)], "", 0.0
    half = len(asks) // 2
    left, right = _complete(desk, call, asks[:half]), _complete(desk, call, asks[half:])
    return left[0] + right[0], left[1] or right[1], left[2] + right[2]


def _write(
    store: Store, each: Slice, ended: Sequence[tuple[_Wanted | Quarantined, Output | Refusal | None]], engine: str
) -> Receipt:
    """Write what has ended of the slice, as completions and quarantined rows."""
    completions: list[Completion] = []
    quarantined: list[Quarantined] = []
    noted: list[tuple[str, str, int, str]] = []
    makers: set[str] = set()
    for one, output in ended:
        if isinstance(one, Quarantined):
            quarantined.append(one)
            continue
        maker = engine
        if one.had:
            output, maker = one.had
        who: dict[str, Any] = {"example_id": one.request.example_id, "task": one.request.task, "model": each.model}
        if isinstance(output, Output):
            completions.append(Completion(**who, sample=one.sample, seed=one.seed, **dataclasses.asdict(output)))
            makers.add(maker)
            if one.id:
                noted.append((one.id, one.request.example_id, one.sample, maker))
        else:
            assert output is not None
            quarantined.append(Quarantined(**who, sample=one.sample, reason=output.reason, detail=output.detail))

    def note(shard: str) -> None:
        if each.maker:
            note_rows(store, each.maker, each.decoding, shard, noted)

    return land(
        store,
        each,
        completions,
        quarantined,
        note,
        tokens=sum(row.completion_tokens for row in completions),
        prompt_tokens=sum(row.prompt_tokens for row in completions),
        truncated=sum(row.finish_reason == "length" for row in completions),
        engines=tuple(sorted(makers)),
        reused=sum(isinstance(one, _Wanted) and one.had is not None for one, _ in ended),
    )


def _write_readings(
    store: Store, each: Slice, ended: Sequence[tuple[TrainingExample, TraceReading | Refusal]], engine: str
) -> Receipt:
    """As `_write`, of a slice whose texts were given."""
    readings = [output for _, output in ended if isinstance(output, TraceReading)]
    quarantined = [
        Quarantined(
            example_id=trace.example_id,
            task=trace.task,
            model=each.model,
            sample=0,
            reason=output.reason,
            detail=output.detail,
        )
        for trace, output in ended
        if isinstance(output, Refusal)
    ]
    return land(
        store,
        each,
        readings,
        quarantined,
        prompt_tokens=sum(row.supervised for row in readings),
        engines=(engine,) if readings else (),
    )


def request_seed(decoding: Decoding, example_id: str, sample: int) -> int | None:
    """The seed of one completion, whatever it shares its engine call with; None for greedy decoding."""
    if decoding.temperature == 0:
        return None
    return int(content_id(str(decoding.seed), example_id, str(sample)), 16) % (1 << 31)
