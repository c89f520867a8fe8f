"""The engine: right answers after a weight swap, for tied embeddings and prompts longer than a cache block."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from capgap_ray.core.masking import tokenize_example
from capgap_ray.core.surprisal import RANK_CLIP
from capgap_ray.records import Message, TrainingExample
from capgap_ray.rows import to_row
from capgap_ray.stages.sft_data import load_tokenizer

MODELS = Path(__file__).parents[2] / "capgap_ray" / "tiny" / "models"
Said = dict[str, list[Any]]

SCRIPT = """
import dataclasses, json, os, sys
from capgap_ray.stages.engine import ENVIRONMENT, Ask, Decoding, Engine
os.environ.update(ENVIRONMENT, OMP_NUM_THREADS="1")
from capgap_ray.core.masking import Rendering
from capgap_ray.records import Message, TrainingExample
from capgap_ray.rows import from_row, to_row
chats = [
    [Message(role="user", content=text)]
    for text in ("Sort: b a", "Q: close ( [ {\\nA: Let's think step by step.\\n" * 30, "Q: True and False is")
]
decoding = Decoding(temperature=0.0, top_p=1.0, max_tokens=24, stop=(), seed=0)
asks = [Ask(chat=chat, seed=None) for chat in chats]
engine = Engine(dtype="float32", max_model_len=2048)
traces = [from_row(TrainingExample, row) for row in json.loads(sys.argv[1])]
reading = dataclasses.replace(decoding, reading=Rendering(cutoff=400))
for source in sys.argv[2:]:
    print("OUT", json.dumps([output.text for output in engine.complete(source, asks, decoding)]))
    print("READ", json.dumps([to_row(each) for each in engine.read(source, traces, reading)]))
"""
AND_SAMPLES = """
short = dataclasses.replace(decoding, temperature=1.0, max_tokens=4)
longer = dataclasses.replace(short, retry_truncated=9)
def run(seeds, decoding, order=(0, 2)):
    seeded = [Ask(chat=chats[i], seed=seed) for i, seed in zip(order, seeds)]
    return [dataclasses.asdict(output) for output in engine.complete(source, seeded, decoding)]
for made in run((1, 2), short), run((2, 1), short, (2, 0))[::-1], run((3, 4), short), run((1, 2), longer):
    print("SAMPLES", json.dumps(made))
"""
AND_BARE = """
from vllm import LLM, SamplingParams
texts = [f"Q: Sort these words: w{n} v{n % 3} u\\nA: Let's think step by step." for n in range(40)]
greedy = dataclasses.replace(decoding, max_tokens=64, stop=("\\n\\nQ:",))
many = [Ask(chat=(Message(role="user", content=text),), seed=None) for text in texts]
print("GREEDY", json.dumps([output.text for output in engine.complete(source, many, greedy)]))
def halves():
    yield 7, many[20:]
following = halves()
first = engine.complete(source, many[:20], greedy, following=lambda: next(following, None))
second = engine.complete(source, many[20:], greedy, number=7)
print("GREEDY", json.dumps([output.text for output in first + second]))
given_up = halves()
first = engine.complete(source, many[:20], greedy, following=lambda: next(given_up, None))
second = engine.complete(source, many[20:], greedy, number=8)  # another call than was told
print("GREEDY", json.dumps([output.text for output in first + second]))
bare = LLM(
    model=source, dtype="float32", max_model_len=2048, enforce_eager=True, enable_prefix_caching=True,
    kv_cache_memory_bytes=128 << 20, enable_chunked_prefill=False, max_num_batched_tokens=4096, max_num_seqs=256,
)
turns = [[{"role": "user", "content": text}] for text in texts]
wanted = SamplingParams(temperature=0.0, max_tokens=64, stop=["\\n\\nQ:"])
print("GREEDY", json.dumps([each.outputs[0].text for each in bare.chat(turns, wanted, use_tqdm=False)]))
"""
TRACES = [
    TrainingExample(
        example_id=name,
        task="t",
        teacher="small",
        messages=(Message(role="user", content=f"Sort: {name} a"),),
        completion=text,
    )
    for name, text in (
        ("short", "So the answer is a."),
        ("long", "We sort the words. " * 40 + "So the answer is a."),
        ("too long", "We sort the words. " * 200),
        ("broken", "it ends<|im_end|>and goes on"),
    )
]


def said(script: str, *sources: Path) -> Said:
    """Word -> the lines that begin with it, of one process that takes these models in turn. It reads TRACES."""
    traces = json.dumps([to_row(each) for each in TRACES])
    arguments = [sys.executable, "-c", script, traces, *map(str, sources)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, env=os.environ)
    assert done.returncode == 0, done.stderr[-2000:]
    lines: Said = {}
    for word, _, rest in (line.partition(" ") for line in done.stdout.splitlines()):
        if word in ("OUT", "READ", "SAMPLES", "GREEDY"):
            lines.setdefault(word, []).append(json.loads(rest))
    return lines


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student with other weights in the same architecture."""
    import torch
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("models") / "other"
    shutil.copytree(MODELS / "tiny-student-0.15m", folder)
    weights = load_file(folder / "model.safetensors")
    torch.manual_seed(0)
    noisy = {name: tensor + 0.3 * tensor.std() * torch.randn_like(tensor) for name, tensor in weights.items()}
    save_file(noisy, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def after_swaps(other: Path) -> Said:
    student, teacher = MODELS / "tiny-student-0.15m", MODELS / "tiny-teacher-small"
    return said(SCRIPT + AND_SAMPLES + AND_BARE, student, other, teacher, student)


def test_swapped_weights_answer_as_a_fresh_engine_does(other: Path, after_swaps: Said) -> None:
    before, swapped, elsewhere, back = after_swaps["OUT"]
    fresh_other, _ = said(SCRIPT, other, MODELS / "tiny-teacher-small")["OUT"]
    assert before != swapped
    assert swapped == fresh_other
    assert back == before
    assert elsewhere != before


def test_traces_are_read_as_transformers_reads_the_ids_of_training(other: Path, after_swaps: Said) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    for number, folder in enumerate((MODELS / "tiny-student-0.15m", other)):
        short, long, too_long, broken = after_swaps["READ"][number]
        tokenizer, model = (
            load_tokenizer(str(folder)),
            AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        )
        for trace, found in ((TRACES[0], short), (TRACES[1], long)):
            row = tokenize_example(trace, tokenizer)
            ids = torch.tensor(row.input_ids)
            with torch.no_grad():
                logprobs = model(ids[None]).logits[0, row.supervised_from - 1 : -1].log_softmax(-1)
            own = logprobs.gather(1, ids[row.supervised_from :, None])
            ranks = (logprobs >= own).sum(1)[:-1]
            assert (found["supervised"], found["tokens"]) == (row.supervised, row.supervised - 1)
            assert found["loss"] == pytest.approx(-own.mean().item(), abs=1e-3)
            assert found["surprisal"] == pytest.approx(-own[:-1].mean().item(), abs=1e-3)
            assert found["rank"] == pytest.approx(ranks.clamp(max=RANK_CLIP).double().mean().item(), abs=0.05)
        assert too_long["reason"] == "overlong"
        assert "more than sft.cutoff_tokens 400" in too_long["detail"]
        assert broken["reason"] == "template"
        assert "<|im_end|>" in broken["detail"]
    assert after_swaps["READ"][0] == after_swaps["READ"][3] != after_swaps["READ"][1]


BROKEN_SCRIPT = """
import dataclasses, json, os, sys
from pathlib import Path
from capgap_ray.stages.engine import ENVIRONMENT, ENVIRONMENT_CPU, Ask, Decoding, Engine, EngineError, Output
os.environ.update(ENVIRONMENT, **ENVIRONMENT_CPU, OMP_NUM_THREADS="1")
from capgap_ray.records import Message
user = lambda text: (Message(role="user", content=text),)
chats = [
    user("Sort: b a"), user("word " * 400), (), user(""), user("a lone surrogate: \\ud800"),
    user("Q: True and False is"),
]
decoding = Decoding(temperature=0.0, top_p=1.0, max_tokens=24, stop=(), seed=0)
engine = Engine(dtype="float32", max_model_len=256)
def run(chats):
    outputs = engine.complete(sys.argv[1], [Ask(chat=chat, seed=None) for chat in chats], decoding)
    return [each.text if isinstance(each, Output) else [each.reason, each.detail] for each in outputs]
print("OUT", json.dumps(run(chats)))
print("OUT", json.dumps(run([chats[0], chats[-1]])))
for source in sys.argv[2:]:
    try:
        engine.complete(source, [Ask(chat=chats[0], seed=None)], decoding)
    except EngineError as error:
        print("OUT", json.dumps(str(error)))
print("OUT", json.dumps(run([chats[0], chats[-1]])))
student, bare = Path(sys.argv[1]), sys.argv[2]
own = (student / "chat_template.jinja").read_text()
first = "{%- for m in messages -%}{{ m['content'][0] + '<|im_start|>' }}{%- endfor -%}"  # each turn ends as it begins
thinking = own + "{{ '<think>\\n' }}"
for template in (own, own.replace("assistant", "user"), first, thinking):
    given = dataclasses.replace(decoding, template=template)
    (made,) = engine.complete(bare, [Ask(chat=chats[0], seed=None)], given)
    print("OUT", json.dumps([made.text, made.prompt_tokens]))
"""


def test_broken_prompts_and_models_are_named_and_leave_the_others_as_they_are(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    bare = tmp_path / "bare"
    shutil.copytree(MODELS / "tiny-student-0.15m", bare)
    (bare / "chat_template.jinja").unlink()
    misfit, lacking = tmp_path / "misfit", tmp_path / "lacking"
    for folder in (misfit, lacking):
        shutil.copytree(MODELS / "tiny-student-0.15m", folder)
    shutil.copy(MODELS / "tiny-teacher-small" / "model.safetensors", misfit)
    weights = load_file(lacking / "model.safetensors")
    dropped = max(weights)
    del weights[dropped]
    save_file(weights, lacking / "model.safetensors", metadata={"format": "pt"})
    sources = map(str, (MODELS / "tiny-student-0.15m", bare, misfit, lacking))
    lscpu = shutil.which("lscpu")
    assert lscpu is not None
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "lscpu").symlink_to(lscpu)
    done = subprocess.run(
        [sys.executable, "-c", BROKEN_SCRIPT, *sources],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PATH": str(tmp_path / "bin")},  # what vLLM asks of Linux, and no C++ compiler
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line.removeprefix("OUT ") for line in done.stdout.splitlines() if line.startswith("OUT ")]
    *lines, given, otherwise, short, thinking = lines
    (good, overlong, nothing, blank, surrogate, last), alone, no_template, *misfits, after = map(json.loads, lines)
    assert [good, last] == alone == after
    assert overlong[0] == "overlong"
    assert "exceed engine.max_model_len 256" in overlong[1]
    assert (nothing[0], blank[0], surrogate[0]) == ("no prompt", "no prompt", "template")
    assert "has no chat template; name one for it in chat_templates" in no_template
    assert json.loads(given)[0] == good, "a model without a template, given that of another"
    assert json.loads(otherwise)[0] != good
    assert json.loads(thinking)[0].startswith("<think>\n"), "the tag that ends the prompt begins the trace"
    assert json.loads(short)[1] == 2, "all of the prompt is the template's"
    assert len(misfits) == 2
    for line in misfits:
        assert "its weights do not fit its config.json" in line
    assert f"{dropped} has shape none in place of" in misfits[1]


def test_a_seeded_sample_is_its_own_and_only_the_cut_ones_are_repeated(after_swaps: Said) -> None:
    first, swapped, other, longer = after_swaps["SAMPLES"]
    assert first == swapped != other
    assert {each["finish_reason"] for each in first} == {"length"}
    for short, repeated in zip(first, longer, strict=True):
        assert repeated["text"].startswith(short["text"])
        assert short["completion_tokens"] == 4 < repeated["completion_tokens"] <= 9


ADAPTER_SCRIPT = """
import json, os, sys
from capgap_ray.stages import engine as module
from capgap_ray.stages.engine import ENVIRONMENT, Ask, Decoding, Engine, EngineError
from capgap_ray.stages.weights import AdapterError
os.environ.update(ENVIRONMENT, OMP_NUM_THREADS="1")
from capgap_ray.records import Message
module._SLOTS_CPU = 2  # fewer than adapters: rows wait for a slot
chats = [(Message(role="user", content=text),) for text in ("Sort: b a", "Q: True and False is", "close ( [")]
decoding = Decoding(temperature=0.0, top_p=1.0, max_tokens=24, stop=(), seed=0)
engine = Engine(dtype="float32", max_model_len=256)
for base, *adapters in json.loads(sys.argv[1]):
    asks = [Ask(chat=chat, seed=None, adapter=adapter) for chat in chats for adapter in adapters]
    try:
        texts = [output.text for output in engine.complete(base, asks, decoding)]
        print("OUT", json.dumps([texts[number :: len(adapters)] for number in range(len(adapters))]))
    except (EngineError, AdapterError, ValueError) as error:
        print("OUT", json.dumps(str(error)))
"""


def test_adapters_in_one_batch_answer_as_each_alone_and_as_its_merged_model(tmp_path: Path, other: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = MODELS / "tiny-student-0.15m"
    for name, rank in (("a", 4), ("b", 4), ("wide", 16)):
        torch.manual_seed(rank + len(name) + ord(name[0]))
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        tuned = get_peft_model(
            model, LoraConfig(r=rank, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"])
        )
        for weight_name, weight in tuned.named_parameters():
            if "lora_B" in weight_name:
                torch.nn.init.normal_(weight, std=0.2)
        tuned.save_pretrained(tmp_path / name)
        shutil.copytree(base, tmp_path / f"merged-{name}")
        tuned.merge_and_unload().save_pretrained(tmp_path / f"merged-{name}")
    shutil.copytree(tmp_path / "a", tmp_path / "stale")
    (tmp_path / "stale" / "canary.json").write_text(json.dumps({"canary": [-30.0, -30.0, -30.0]}))

    a, b, wide, stale = (str(tmp_path / name) for name in ("a", "b", "wide", "stale"))
    calls = [
        [str(base), a],
        [str(base), b],
        [str(base), a, b, wide],
        [str(other), a, b],
        [str(base), b, a],
        [str(base), None],
        *([str(tmp_path / f"merged-{name}"), None] for name in ("a", "b", "wide")),
        [str(MODELS / "tiny-teacher-small"), a],
        [str(base), a, None],
        [str(base), b, stale],
        [str(base), b],
    ]
    command = [sys.executable, "-c", ADAPTER_SCRIPT, json.dumps(calls)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line[4:]) for line in done.stdout.splitlines() if line.startswith("OUT ")]
    (alone_a,), (alone_b,), together, elsewhere, again, (plain,), *merged = lines[:9]
    assert [[alone_a], [alone_b]] == merged[:2]
    assert together == [alone_a, alone_b, *merged[2]]
    assert len({tuple(each) for each in (plain, *together, *elsewhere)}) == 6
    assert again == [alone_b, alone_a]
    misfit, partly, wrong, after = lines[9:]
    assert "does not fit base" in misfit
    assert "some asks of one call have an adapter and some have none" in partly
    assert f"{base}::{stale}: the engine's log-probabilities are" in wrong
    assert after == [alone_b]


def test_greedy_outputs_are_those_of_bare_vllm(after_swaps: Said) -> None:
    ours, followed, given_up, bare = after_swaps["GREEDY"]
    assert len(ours) == 40
    assert ours == bare
    assert followed == bare, "a call whose rows were begun while the one before it ran out"
    assert given_up == bare, "rows that were begun for a call that did not come"


LET_GO = """
import gc, os, sys, weakref
from capgap_ray.stages import engine
os.environ.update(engine.ENVIRONMENT, OMP_NUM_THREADS="1", VLLM_CPU_CI_ENV="1")
from capgap_ray.records import Message
arguments = engine.engine_arguments
engine.engine_arguments = lambda *given: arguments(*given) | {"enforce_eager": False}  # as on a GPU
made = engine.Engine("float32", 256)
asks = [engine.Ask(chat=[Message(role="user", content="Sort: b a")], seed=None)]
decoding = engine.Decoding(temperature=0.0, top_p=1.0, max_tokens=4, stop=(), seed=0)
made.complete(sys.argv[1], asks, decoding)
[(name, standing)] = made._engines.items()
model = weakref.ref(standing.llm.llm_engine.model_executor.driver_worker.model_runner.get_model().model)
made._discard(name)
del standing  # whoever held the engine a moment longer
gc.collect()
print("MODEL", "gone" if model() is None else "kept")
"""


@pytest.mark.skipif("CAPGAP_DRILLS" not in os.environ, reason="half a minute to compile: CAPGAP_DRILLS=1 runs it")
def test_a_compiled_model_goes_with_its_engine() -> None:
    arguments = [sys.executable, "-c", LET_GO, str(MODELS / "tiny-student-0.15m")]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, env=os.environ)
    assert "MODEL gone" in done.stdout, done.stdout[-500:] + done.stderr[-2000:]
