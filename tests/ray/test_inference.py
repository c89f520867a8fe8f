"""Inference survives bad rows, dying and hanging engines, and its own interruption."""

from __future__ import annotations

import ctypes
import dataclasses
import json
import mmap
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
from capgap_ray.catalog.models import Endpoint
from capgap_ray.records import Message
from capgap_ray.settings import Engine as EngineSettings
from capgap_ray.settings import Resources
from capgap_ray.stages import engine_actor, inference
from capgap_ray.stages.engine import Ask, Engine, EngineError
from capgap_ray.stages.engine_desk import Call
from capgap_ray.stages.engine_pool import EnginePool
from capgap_ray.stages.inference import UNIT_ROWS, run_slices
from capgap_ray.stages.sft_export import CANARY, log_probabilities
from capgap_ray.stages.slices import InferenceError, Landed, Receipt, Slice, commit_completions
from tests.ray.conftest import DECODING, MakePool, request, slices
from tests.ray.scripted import ScriptedEngine
from tests.stages.test_endpoint import Reply, Server, completion

MODELS = Path(__file__).parents[2] / "capgap_ray" / "tiny" / "models"
STUDENT = MODELS / "tiny-student-0.15m"
PAUSED = dataclasses.replace(DECODING, stop=("PAUSE",))
KILLS = int(os.environ.get("CAPGAP_KILLS", "2"))
"""Engine processes killed in the test of it; the full run of twenty takes minutes."""


def landed(run: list[Landed]) -> list[tuple[Slice, Receipt]]:
    return [pair for each in run for pair in zip(each.slices, each.receipts, strict=True)]


def table(store: Store, wanted: list[Slice]) -> list[dict[str, Any]]:
    return [row for each in wanted for row in store.read_rows(f"{each.address}/{each.shard}")]


def quarantined(store: Store, wanted: list[Slice]) -> dict[str, str]:
    """example id -> reason"""
    paths = [each.beside(".quarantine.parquet") for each in wanted]
    return {row["example_id"]: row["reason"] for path in paths if store.exists(path) for row in store.read_rows(path)}


# --- scripted engines: the machinery alone -----------------------------------------------------------------


def test_a_row_that_kills_its_engine_is_found_and_the_others_are_done(store: Store, make_pool: MakePool) -> None:
    rows = [request(f"i{n}", f"say word{n}") for n in range(8)]
    rows[2] = request("i2", "DIE now")
    rows[3] = request("i3", "RAISE now")
    rows[6] = request("i6", "EMPTY")
    wanted = slices(store, rows, "m", 2, dataclasses.replace(DECODING, text_needed=True))
    list(run_slices(store, make_pool(actor=ScriptedEngine), wanted))
    assert [row["text"] for row in table(store, wanted)] == [f"WORD{n}" for n in range(8) if n not in (2, 3, 6)]
    assert quarantined(store, wanted) == {"i2": "engine error", "i3": "engine error", "i6": "empty"}


def test_what_an_engine_failed_on_is_tried_again_by_the_next_run(store: Store, make_pool: MakePool) -> None:
    rows = [request("a", "DIE now"), request("b", "say b"), request("c", "EMPTY")]
    wanted = slices(store, rows, "m", 1, dataclasses.replace(DECODING, text_needed=True))
    pool = make_pool(actor=ScriptedEngine)
    first = landed(list(run_slices(store, pool, wanted)))
    assert sum(receipt.rows for _, receipt in first) == 1
    store.write_rows("requests.parquet", [request("a", "say a"), *rows[1:]])
    before = (Path(store.root) / "complete/step/rows/000000001.parquet").stat().st_mtime_ns
    again = landed(list(run_slices(store, pool, wanted)))
    assert [row["text"] for row in table(store, wanted)] == ["A", "B"]
    assert sum(receipt.rows for _, receipt in again) == 2
    assert (Path(store.root) / "complete/step/rows/000000001.parquet").stat().st_mtime_ns == before


def test_of_a_shard_only_what_failed_is_asked_again(store: Store, make_pool: MakePool) -> None:
    asked: list[str] = []
    busy = True

    def script(body: dict[str, Any], _: int) -> Reply:
        text = body["messages"][0]["content"]
        asked.append(text)
        return (503, {"error": "busy"}) if busy and text == "say i7" else completion(text)

    rows = [request(f"i{n}", f"say i{n}") for n in range(40)]
    with served(script, concurrency=1) as source:
        wanted = [dataclasses.replace(each, maker="w") for each in slices(store, rows, source, 20, DECODING)]
        pool = make_pool(actor=ScriptedEngine)
        list(run_slices(store, pool, wanted))
        assert (quarantined(store, wanted), len(asked)) == ({"i7": "unavailable"}, 40)
        busy = False
        again = landed(list(run_slices(store, pool, wanted)))
    assert asked[40:] == ["say i7"]
    assert [row["text"] for row in table(store, wanted)] == [f"say i{n}" for n in range(40)]
    assert sum(receipt.reused for _, receipt in again) == 19


def test_what_an_endpoint_answered_before_its_end_is_kept(store: Store, make_pool: MakePool) -> None:
    asked: list[str] = []
    gone = True

    def script(body: dict[str, Any], number: int) -> Reply:
        asked.append(body["messages"][0]["content"])
        return (503, {"error": "down"}) if gone and number > 50 else completion(asked[-1])

    rows = [request(f"i{n}", f"say i{n}") for n in range(120)]
    with served(script, concurrency=1) as source:
        wanted = [dataclasses.replace(each, maker="w") for each in slices(store, rows, source, 40, DECODING)]
        pool = make_pool(actor=ScriptedEngine)
        with pytest.raises(InferenceError, match="answers 503"):
            list(run_slices(store, pool, wanted))
        assert [store.exists(each.beside(".json")) for each in wanted] == [True, True, False]
        gone, before = False, len(asked)
        list(run_slices(store, pool, wanted))
    assert asked[before:] == [f"say i{n}" for n in range(50, 120)]
    assert [row["text"] for row in table(store, wanted)] == [f"say i{n}" for n in range(120)]


def test_every_engine_is_at_work_from_the_beginning(store: Store, make_pool: MakePool, tmp_path: Path) -> None:
    """Where units are too many to be given to threads: Ray Data would begin with one at a time. And what has landed is
    handed on: it would keep it until the next has."""
    pool = make_pool(2, ScriptedEngine)
    asked = [request(str(n), "w") for n in range((pool.at_once + 1) * UNIT_ROWS)]
    warm = Store(str(tmp_path / "warm"))
    list(run_slices(warm, pool, slices(warm, asked, "s", UNIT_ROWS, DECODING)))  # Ray's processes are up
    moments = [time.monotonic() for _ in run_slices(store, pool, slices(store, asked, "s", UNIT_ROWS, PAUSED))]
    assert len(moments) == pool.at_once + 1
    assert moments[1] - moments[0] < 0.45  # one after the other they would be half a second apart


def test_an_engine_is_told_of_the_call_that_follows(store: Store, make_pool: MakePool) -> None:
    pool = make_pool(1, ScriptedEngine)
    wanted = slices(store, [request(str(n), "LOOK w") for n in range(2 * UNIT_ROWS)], "s", UNIT_ROWS, DECODING)
    list(run_slices(store, pool, wanted))
    texts = Counter(row["text"] for row in table(store, wanted))
    assert texts == {"W": UNIT_ROWS, "BEGUN": UNIT_ROWS}


@contextmanager
def served(script: Callable[[dict[str, Any], int], Reply], **settings: Any) -> Iterator[str]:
    """An endpoint's source."""
    server = Server(script)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Endpoint(url=f"http://127.0.0.1:{server.server_port}/v1", model="big", retries=0, **settings).source
    finally:
        server.shutdown()
        server.server_close()


def test_another_step_finds_the_rows_that_are_there(store: Store, make_pool: MakePool) -> None:
    sampled = dataclasses.replace(DECODING, temperature=0.7, samples=2)
    rows = [request(f"i{n}", f"say word{n}") for n in range(30)]

    def of(step: str, rows: list[dict[str, Any]], **changes: Any) -> list[Slice]:
        made = slices(store, rows, "m", 10, dataclasses.replace(sampled, **changes))
        return [dataclasses.replace(each, address=f"complete/{step}", maker="weights") for each in made]

    pool = make_pool(actor=ScriptedEngine)
    first = of("first", rows[:20])
    list(run_slices(store, pool, first))
    made = table(store, first)

    edited = [request("i0", "say otherwise"), *rows[1:][::-1]]
    for step, wanted_rows, changes, reused in (
        ("edited", edited, {}, 38),
        ("more samples", rows[:20], {"samples": 3}, 40),
        ("other seed", rows[:20], {"seed": 1}, 0),
        ("longer", rows[:20], {"max_tokens": 25}, 0),
    ):
        wanted = of(step, wanted_rows, **changes)
        receipts = [receipt for _, receipt in landed(list(run_slices(store, pool, wanted)))]
        assert sum(receipt.reused for receipt in receipts) == reused, step
        assert {engine for receipt in receipts for engine in receipt.engines} == {"scripted"}
        found = table(store, wanted)
        assert len(found) == len(wanted_rows) * wanted[0].decoding.samples
        if step == "edited":
            assert [row["text"] for row in found if row["example_id"] == "i0"] == ["OTHERWISE"] * 2
            assert [row for row in found if row["example_id"] == "i7"] == [
                row for row in made if row["example_id"] == "i7"
            ]

    (Path(store.root) / first[0].address / first[0].shard).write_bytes(b"damaged")
    wanted = [dataclasses.replace(each, address="complete/again") for each in of("again", rows[:20])]
    again = landed(list(run_slices(store, pool, wanted)))
    assert [row["text"] for row in table(store, wanted)] == [row["text"] for row in made]
    assert sum(receipt.reused for _, receipt in again) >= 20


def test_an_engine_that_hangs_ends_the_run_with_its_last_lines(store: Store, make_pool: MakePool) -> None:
    wanted = slices(store, [request("a", "HANG")], "m", 1, DECODING)
    begun = time.monotonic()
    with pytest.raises(InferenceError, match=r"has not answered for 4 s[\s\S]*about to hang"):
        list(run_slices(store, make_pool(actor=ScriptedEngine, timeout_s=4), wanted))
    assert time.monotonic() - begun < 60


def test_weights_may_take_longer_to_fetch_than_the_time_out_as_long_as_they_come(
    store: Store, make_pool: MakePool
) -> None:
    pool = make_pool(actor=ScriptedEngine, timeout_s=4)
    wanted = slices(store, [request("a", "FETCH a")], "m", 1, DECODING)
    (made,) = run_slices(store, pool, wanted)
    assert made.seconds > 4.5
    assert [row["text"] for row in table(store, wanted)] == ["A"]
    stalls = [dataclasses.replace(wanted[0], address="complete/other", source="n")]
    store.write_rows("requests.parquet", [request("a", "STALL")])
    with pytest.raises(InferenceError, match=r"n: no byte of it has arrived on its engine's node for 4 s"):
        list(run_slices(store, pool, stalls))


def test_an_engine_that_dies_at_its_start_ends_the_run(store: Store, make_pool: MakePool) -> None:
    wanted = slices(store, [request("a", "ABORT")] * 4, "m", 1, DECODING)
    with pytest.raises(InferenceError, match=r"dies before it generates[\s\S]*is ready"):
        list(run_slices(store, make_pool(actor=ScriptedEngine), wanted))


def test_an_engine_that_fails_before_it_generates_ends_the_run_with_the_reason(store: Store, local_ray: None) -> None:
    """It is the model or the node, and no row: units are not halved until each row is alone. Another unit, in an engine
    that hangs, does not hold up the end."""
    rows = [*(request(f"r{n}", "BREAK") for n in range(8)), request("h", "HANG")]
    wanted = slices(store, rows, "m", 1, DECODING)
    wanted[-1] = dataclasses.replace(wanted[-1], source="n")
    begun = time.monotonic()
    with (
        closing(EnginePool(EngineSettings(), Resources(engines=2, engine_timeout_s=120), ScriptedEngine)) as pool,
        pytest.raises(InferenceError, match=r"dies before it generates[\s\S]*CUDA driver is too old"),
    ):
        list(run_slices(store, pool, wanted))
    assert time.monotonic() - begun < 60


def test_a_node_without_vllm_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_actor, "Pulse", lambda *_: lambda stage: None)
    monkeypatch.setitem(sys.modules, "vllm", None)
    actor = engine_actor.EngineActor.__ray_metadata__.modified_class("desk", 0, "float32", 64, None, None)
    with pytest.raises(
        EngineError, match=r"vLLM cannot be imported on node .*; all nodes need the driver's environment"
    ):
        actor.complete("m", [], DECODING, {})


def test_weights_that_cannot_be_had_are_no_rows_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(EngineError, match="nobody/nothing@main: its weights cannot be had"):
        Engine("float32", 64).complete("nobody/nothing@main", [], DECODING)


def test_a_caller_that_dies_leaves_no_engine_taken(store: Store, make_pool: MakePool) -> None:
    pool = make_pool(actor=ScriptedEngine)
    desk = pool.desk

    @ray.remote(num_cpus=0, max_retries=0)
    def caller() -> None:
        threading.Timer(1.0, os._exit, (1,)).start()
        asks = [Ask(chat=(Message(role="user", content="SLOW"),), seed=None)]
        ray.get(desk.complete.remote(Call(source="m", decoding=DECODING, canaries={}), [ray.put(asks * 60)]))

    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray.get(caller.remote())
    wanted = slices(store, [request("a", "say a")], "m", 1, DECODING)
    list(run_slices(store, pool, wanted))
    assert [row["text"] for row in table(store, wanted)] == ["A"]


def test_a_model_is_read_from_the_disk_while_the_one_before_it_answers(
    store: Store, make_pool: MakePool, tmp_path: Path
) -> None:
    first, second = shutil.copytree(STUDENT, tmp_path / "first"), shutil.copytree(STUDENT, tmp_path / "second")
    for folder in (first, second):
        os.truncate(folder / "model.safetensors", 100_000_000)  # a smaller one is read sooner than a process begins
        forget(folder / "model.safetensors")
    if cached_pages(second / "model.safetensors"):
        pytest.skip(f"{tmp_path} is on no disk")
    wanted = slices(store, [request(name, "say it") for name in "ab"], str(first), 1, PAUSED)
    wanted[1] = dataclasses.replace(wanted[1], source=str(second))
    list(run_slices(store, make_pool(actor=ScriptedEngine), wanted))  # this engine reads no weights

    def in_memory() -> list[Path]:
        return [folder for folder in (first, second) if cached_pages(folder / "model.safetensors")]

    wait_for = time.monotonic() + 30
    while not in_memory() and time.monotonic() < wait_for:
        time.sleep(0.1)
    assert len(in_memory()) == 1, "whichever came second: nobody was at work when the other one was asked for"


def forget(file: Path) -> None:
    """Take a file out of the system's memory."""
    descriptor = os.open(file, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def cached_pages(file: Path) -> int:
    """How many of a file's pages are in the system's memory."""
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE) as view:
        pages = (ctypes.c_ubyte * -(-len(view) // mmap.PAGESIZE))()
        address = np.frombuffer(view, np.uint8).ctypes.data
        assert ctypes.CDLL(None).mincore(ctypes.c_void_p(address), ctypes.c_size_t(len(view)), pages) == 0
    return sum(page & 1 for page in pages)


def test_the_share_of_quarantined_rows_decides(store: Store, make_pool: MakePool) -> None:
    rows = [request(f"i{n}", "EMPTY" if n < 3 else "say it") for n in range(20)]
    step = Step(stage="complete", version=0, params={}, label="step")
    wanted = slices(store, rows, "m", 7, dataclasses.replace(DECODING, text_needed=True))
    wanted = [dataclasses.replace(each, address=step.address) for each in wanted]
    done = landed(list(run_slices(store, make_pool(actor=ScriptedEngine), wanted)))
    with pytest.raises(InferenceError, match=r"3 of 20 rows are quarantined \(3 empty\), more than max_error_share"):
        commit_completions(store, step, done, 1.0, 0.1)
    assert not store.built(step)
    commit_completions(store, step, done, 1.0, 0.15)
    record = store.record(step)
    assert record is not None
    assert (record.summary["rows"], record.summary["quarantined"]) == (17, {"empty": 3})
    assert record.summary["engines"] == ["scripted"]


# --- real engines ------------------------------------------------------------------------------------------


def strict_model(folder: Path) -> str:
    """The tiny student with a template that refuses what some families' refuse."""
    shutil.copytree(STUDENT, folder)
    template = folder / "chat_template.jinja"
    refusal = "{%- if messages[-1]['role'] != 'user' -%}{{ raise_exception('the last turn is no user') }}{%- endif -%}"
    template.write_text(refusal + template.read_text())
    return str(folder)


def almost_full() -> str:
    """A prompt of at least 250 tokens and not many more, for a context of 256."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(STUDENT)

    def tokens(text: str) -> int:
        chat = [{"role": "user", "content": text}]
        return len(tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)["input_ids"])

    text = "a"
    while tokens(text) < 250:
        text += " a"
    assert tokens(text) <= 256
    return text


def test_fifty_broken_rows_in_a_thousand(store: Store, make_pool: MakePool, tmp_path: Path) -> None:
    def turns(*turns: tuple[str, str | None]) -> list[dict[str, str | None]]:
        return [{"role": role, "content": content} for role, content in turns]

    broken: list[tuple[str, Any]] = [
        ("overlong", turns(("user", "word " * 400))),  # longer than the context
        ("overlong", turns(("user", almost_full()))),  # fits, but not with its token budget
        ("overlong", turns(*[("system", "s"), ("user", "u")] * 60)),  # by its number of turns
        ("no prompt", []),
        ("no prompt", turns(("user", ""))),
        ("malformed", turns(("user", None))),
        ("malformed", turns(("tool", "x"))),
        ("malformed", None),
        ("template", turns(("user", "Q"), ("assistant", "A"))),
        ("template", turns(("system", "only instructions"))),
    ]
    rows, reasons = [], {}
    for number in range(1000):
        row = request(f"i{number}", f"Sort: b{number} a{number}")
        if number % 20 == 7:
            reasons[f"i{number}"], row["messages"] = broken[number // 20 % 10]
        rows.append(row)
    step = Step(stage="complete", version=0, params={}, label="step")
    wanted = slices(store, rows, strict_model(tmp_path / "strict"), 500, dataclasses.replace(DECODING, max_tokens=8))
    wanted = [dataclasses.replace(each, address=step.address) for each in wanted]
    done = landed(list(run_slices(store, make_pool(engines=2), wanted)))
    made = table(store, wanted)
    assert [row["example_id"] for row in made] == [f"i{n}" for n in range(1000) if n % 20 != 7]
    assert quarantined(store, wanted) == reasons
    assert Counter(reasons.values()) == {"overlong": 15, "no prompt": 10, "malformed": 15, "template": 10}
    commit_completions(store, step, done, 1.0, 0.05)


def test_killed_engines_change_nothing(store: Store, make_pool: MakePool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "UNIT_ROWS", 32)
    rows = [request(f"i{n}", f"Q: sort these words: w{n % 7} v{n % 5} u{n}\nA:") for n in range(32 * (KILLS + 40))]
    source = str(STUDENT)
    decoding = dataclasses.replace(DECODING, max_tokens=64)
    undisturbed = slices(store, rows, source, 32, decoding)
    pool = make_pool(engines=2)
    list(run_slices(store, pool, undisturbed))

    wanted = [dataclasses.replace(each, address="complete/killed") for each in undisturbed]
    rng, killed, over = random.Random(0), [], threading.Event()

    def kill() -> None:
        while len(killed) < KILLS and not over.wait(rng.uniform(0.05, 0.5)):
            pids = [pid for pid in ray.get(pool.desk.pids.remote()) if pid not in killed and _alive(pid)]
            if pids:
                killed.append(rng.choice(pids))
                os.kill(killed[-1], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    done = []
    for each in run_slices(store, pool, wanted):
        done += landed([each])
    over.set()
    killer.join()
    assert len(killed) == KILLS, "the run was over before all kills"
    assert quarantined(store, wanted) == {}
    assert Counter(each for each, _ in done) == Counter(wanted)
    assert table(store, wanted) == table(store, undisturbed)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_canary_that_does_not_fit_ends_the_run(store: Store, make_pool: MakePool) -> None:
    wanted = slices(store, [request("a", "Sort: b a")], str(STUDENT), 1, DECODING)
    wanted = [dataclasses.replace(each, trained_by="train/cell") for each in wanted]

    def stored(model: Path) -> None:
        record = {"summary": {"canary": canary_of(model)}}
        store.write_bytes("train/cell/record.json", json.dumps(record).encode())

    pool = make_pool()
    stored(MODELS / "tiny-teacher-small")
    with pytest.raises(InferenceError, match="nats per token from those that training stored"):
        list(run_slices(store, pool, wanted))
    stored(STUDENT)
    assert len(list(run_slices(store, pool, wanted))) == 1


def test_lora_checkpoints_share_a_call_and_a_swapped_one_is_named(
    store: Store, make_pool: MakePool, tmp_path: Path
) -> None:
    rows = [request(f"i{n}", f"Q: Sort: w{n} v{n % 5} u{n % 3}\nA: Let's think step by step.") for n in range(40)]

    def of(step: str, adapter: str) -> list[Slice]:
        made = slices(store, rows, f"{STUDENT}::{tmp_path / adapter}", 20, DECODING)
        return [dataclasses.replace(each, address=f"complete/{step}", trained_by=f"train/{adapter}") for each in made]

    for seed, name in enumerate(("a", "b")):
        record = {"summary": {"canary": canary_of(STUDENT, lora(STUDENT, tmp_path / name, seed))}}
        store.write_bytes(f"train/{name}/record.json", json.dumps(record).encode())
    pool = make_pool()
    alone = {name: of(f"{name}-alone", name) for name in ("a", "b")}
    for each in alone.values():
        list(run_slices(store, pool, each))
    together = {name: of(f"{name}-together", name) for name in ("a", "b")}
    assert len(list(run_slices(store, pool, [*together["a"], *together["b"]]))) == 1, "one engine call"
    for name in ("a", "b"):
        assert table(store, together[name]) == table(store, alone[name])
    assert table(store, together["a"]) != table(store, together["b"])

    shutil.copy(tmp_path / "a" / "adapter_model.safetensors", tmp_path / "b")
    wanted = [*of("a-again", "a"), *of("b-swapped", "b")]
    with pytest.raises(InferenceError, match=rf"::{tmp_path / 'b'}: .* nats per token from those that training stored"):
        list(run_slices(store, make_pool(), wanted))
    assert not any(store.exists(f"{each.address}/{each.shard}") for each in wanted), "no row counts before"


def lora(base: Path, folder: Path, seed: int) -> Path:
    """An adapter in PEFT's layout, far from doing nothing."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tuned = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.05)
    tuned.save_pretrained(folder)
    return folder


def canary_of(folder: Path, adapter: Path | None = None) -> tuple[float, ...]:
    """What training stores, computed by transformers."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [tokenizer.encode(text, add_special_tokens=False) for text in CANARY]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return log_probabilities(PeftModel.from_pretrained(model, str(adapter)) if adapter else model, texts)
