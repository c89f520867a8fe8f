"""Supervised fine-tuning beside Hugging Face's Trainer and LLaMA-Factory, on the same rows and the same cores.

    python tests/benchmarks/sft.py [--quick] [--rounds N] [--peer-environment FOLDER]

All three train the tiny student with two processes joined by Gloo: ours with ZeRO-3, the peers with DDP (LLaMA-Factory
sees one process where DeepSpeed is on over Gloo, so DDP is its best on a CPU). They take turns, round by round, so that
whatever else the machine does meets all of them; a rate is the median over rounds. LLaMA-Factory 0.9.5 runs in an
environment of its own, which is made on first use (2 GB). Rates are supervised tokens (as we count them) by the
seconds of the training loop; starting is measured by itself. Each setting trains one epoch of as many rows as the
tiny experiment's train split has.

Where there is a GPU, our loop of one rank, without Ray, also trains a Qwen2 of 0.5B random weights on it, in bfloat16
with ZeRO-3 and micro-batches of 4,096 tokens: tokens per second, model FLOPs utilisation (6 operations per weight and
token, by the data sheet's dense peak; attention not counted) and peak memory. `--gpu-only` does nothing else.

Ends with one line of JSON; a goal that was not measured has value null.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/stages"), str(ROOT / ".ci")]

from sft_ranks import examples, train  # noqa: E402

from capgap_ray.core.budget import zero3_bytes  # noqa: E402

STUDENT = str(ROOT / "capgap_ray/tiny/models/tiny-student-0.5m")
PEER = ("llamafactory==0.9.5", "torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0")
MIXED = {"long_share": 0.2}
UNEVEN = {"long_share": 0.3, "most_checks": 6}
SETTINGS = {"2x1": (2, 1, MIXED), "5x4": (5, 4, MIXED), "2x1, uneven": (2, 1, UNEVEN), "5x4, uneven": (5, 4, UNEVEN)}
CUTOFF = 2048
ROWS, ROWS_QUICK = 600, 200
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def recipe(per_device: int, accumulation: int, workers: int = 2) -> dict[str, Any]:
    return {
        "learning_rate": 1e-4,
        "epochs": 1,
        "batch": f"{per_device}x{accumulation}",
        "workers": workers,
        "cutoff_tokens": CUTOFF,
        "precision": "float32",
    }


# --- one run of each; all return the seconds of the training loop --------------------------------------------


def ours(per_device: int, accumulation: int, rows: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as store:
        (result,) = train(
            2, [{"store": store, "source": STUDENT, "sft": recipe(per_device, accumulation), "rows": rows}]
        )
    if "error" in result:
        raise SystemExit(result["error"])
    return result["seconds"], result


def trainer(per_device: int, accumulation: int, rows: dict[str, Any]) -> float:
    """Hugging Face's Trainer, DDP, batches padded to their longest row."""
    job = json.dumps({"per_device": per_device, "accumulation": accumulation, "rows": rows})
    return seconds_of(
        [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", __file__, "--trainer", job]
    )


def run_trainer(per_device: int, accumulation: int, rows: dict[str, Any]) -> None:
    """What each process of `trainer` does."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForSeq2Seq, Trainer, TrainingArguments

    from capgap_ray.core.masking import Rendering, prepare

    tokenizer = AutoTokenizer.from_pretrained(STUDENT)
    data = [
        {
            "input_ids": list(row.input_ids),
            "labels": [-100] * row.supervised_from + list(row.input_ids[row.supervised_from :]),
        }
        for row in prepare(examples(**rows), tokenizer, Rendering(cutoff=CUTOFF)).rows
    ]
    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            output_dir=scratch,
            per_device_train_batch_size=per_device,
            gradient_accumulation_steps=accumulation,
            learning_rate=1e-4,
            lr_scheduler_type="cosine",
            num_train_epochs=1,
            logging_steps=10,
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
        )
        made = Trainer(
            model=AutoModelForCausalLM.from_pretrained(STUDENT, dtype=torch.float32),
            args=arguments,
            train_dataset=data,
            data_collator=DataCollatorForSeq2Seq(tokenizer, pad_to_multiple_of=8),
        )
        done = made.train()
    if os.environ["RANK"] == "0":
        print(f"SECONDS {done.metrics['train_runtime']}", flush=True)


def llama_factory(environment: Path, per_device: int, accumulation: int, rows: dict[str, Any]) -> float:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        data = [
            {
                "system": row.messages[0].content,
                "instruction": row.messages[1].content,
                "input": "",
                "output": row.completion,
            }
            for row in examples(**rows)
        ]
        (folder / "rows.json").write_text(json.dumps(data))
        columns = {"prompt": "instruction", "query": "input", "response": "output", "system": "system"}
        (folder / "dataset_info.json").write_text(json.dumps({"rows": {"file_name": "rows.json", "columns": columns}}))
        settings = {
            "model_name_or_path": STUDENT,
            "stage": "sft",
            "do_train": True,
            "finetuning_type": "full",
            "dataset": "rows",
            "dataset_dir": scratch,
            "template": "qwen",
            "cutoff_len": CUTOFF,
            "output_dir": str(folder / "out"),
            "per_device_train_batch_size": per_device,
            "gradient_accumulation_steps": accumulation,
            "learning_rate": 1e-4,
            "lr_scheduler_type": "cosine",
            "num_train_epochs": 1.0,
            "bf16": False,
            "use_cpu": True,
            "disable_gradient_checkpointing": True,  # ours has it off, too
            "logging_steps": 10,
            "save_strategy": "no",
            "report_to": "none",
            "preprocessing_num_workers": 1,
        }
        (folder / "sft.yaml").write_text(json.dumps(settings))  # JSON is YAML
        python = str(environment / "bin/python")
        command = [python, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "llamafactory.launcher"]
        done = subprocess.run(
            [*command, str(folder / "sft.yaml")], env=ONE_THREAD, cwd=scratch, capture_output=True, text=True
        )
        results = folder / "out/all_results.json"
        if done.returncode or not results.is_file():
            raise SystemExit(f"LLaMA-Factory failed:\n{done.stderr[-3000:]}")
        return float(json.loads(results.read_text())["train_runtime"])


def seconds_of(command: list[str]) -> float:
    done = subprocess.run(command, env=ONE_THREAD, cwd=ROOT, capture_output=True, text=True)
    for line in done.stdout.splitlines():
        if line.startswith("SECONDS "):
            return float(line[8:])
    raise SystemExit(f"{command[0]} failed:\n{done.stderr[-3000:]}")


def make_environment(folder: Path) -> Path:
    """LLaMA-Factory's environment, from where pip is configured to look. One that is half made is made anew."""
    if not (folder / "bin/llamafactory-cli").exists():
        from install import pip_settings, uv_environment

        print(f"making LLaMA-Factory's environment in {folder}, once", flush=True)
        uv = [sys.executable, "-m", "uv"]
        sources = {**os.environ, **uv_environment(pip_settings(sys.executable), "cpu")}
        install = ["pip", "install", "-q", "--python", str(folder / "bin/python"), *PEER]
        subprocess.run([*uv, "venv", "-q", "--clear", "--python", sys.executable, str(folder)], check=True)
        subprocess.run([*uv, *install], check=True, env=sources)
    return folder


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "capgap-ray/llama-factory-0.9.5"


# --- the measurements ----------------------------------------------------------------------------------------


def speeds(environment: Path, rounds: int, quick: bool) -> tuple[dict[str, dict[str, float]], list[float]]:
    """Setting -> name -> median supervised tokens per second; and our seconds from process start to first update."""
    found: dict[str, dict[str, float]] = {}
    starts = []
    for setting, (per_device, accumulation, kind) in SETTINGS.items():
        rows = {**kind, "rows": ROWS_QUICK if quick else ROWS}
        rates: dict[str, list[float]] = {"ours": [], "trainer": [], "llama_factory": []}
        for number in range(rounds):
            seconds, result = ours(per_device, accumulation, rows)
            starts.append(result["seconds_from_process_start"])
            tokens = result["supervised_tokens"]
            rates["ours"].append(tokens / seconds)
            rates["trainer"].append(tokens / trainer(per_device, accumulation, rows))
            rates["llama_factory"].append(tokens / llama_factory(environment, per_device, accumulation, rows))
            row = {"setting": setting, "round": number, **{name: round(each[-1]) for name, each in rates.items()}}
            print(json.dumps({**row, "load": round(os.getloadavg()[0], 1)}), flush=True)
        found[setting] = {name: statistics.median(each) for name, each in rates.items()}
        samples_per_second = found[setting]["ours"] * rows["rows"] / tokens
        medians = {name: round(value) for name, value in found[setting].items()}
        print(
            json.dumps({"setting": setting, "median": medians, "our samples/s": round(samples_per_second, 1)}),
            flush=True,
        )
    return found, starts


def memory() -> float:
    """Print bytes of state per worker beside the formula; returns the largest relative difference."""
    worst = 0.0
    for workers in (1, 2, 4):
        with tempfile.TemporaryDirectory() as store:
            job = {
                "store": store,
                "source": STUDENT,
                "sft": recipe(2, 1, workers),
                "rows": {"rows": 16},
                "updates": 2,
            }
            (result,) = train(workers, [job])
        held = result["state_bytes"]
        weights = held_weights()
        formula = zero3_bytes(weights, weights, workers, 32)
        expected = {
            "parameters": formula.parameters,
            "gradients": formula.gradients,
            "optimizer": formula.optimizer,
        }
        worst = max(worst, *(abs(held[kind] / expected[kind] - 1) for kind in expected))
        print(json.dumps({"workers": workers, "bytes per worker": held, "formula": expected}), flush=True)
    return worst


QWEN_05B = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}


def gpu() -> float | None:
    """Print the GPU's row; returns the model FLOPs utilisation in percent, None where there is no GPU."""
    import torch

    if not torch.cuda.is_available():
        print(json.dumps({"GPU": "not measured: none is at hand"}), flush=True)
        return None
    done = subprocess.run([sys.executable, __file__, "--gpu-row"], cwd=ROOT, capture_output=True, text=True)
    rows = [line[4:] for line in done.stdout.splitlines() if line.startswith("ROW ")]
    if not rows:
        raise SystemExit(f"the GPU's row failed:\n{done.stderr[-3000:]}")
    print(rows[0], flush=True)
    found = json.loads(rows[0])["model FLOPs utilisation, %"]
    return None if found is None else float(found)


def run_gpu(shape: dict[str, Any] = QWEN_05B, cutoff: int = 4096, updates: int = 30) -> None:
    """What the process of `gpu` does. On a CPU, with a small shape, the same code runs in float32 over Gloo."""
    import torch
    import torch.distributed as dist
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    from capgap_ray.artifacts.store import Store
    from capgap_ray.catalog.accelerators import ACCELERATORS
    from capgap_ray.settings import Sft
    from capgap_ray.stages import sft_engine, sft_worker

    on_gpu = torch.cuda.is_available()
    width = "bfloat16" if on_gpu else "float32"
    os.environ.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1")
    dist.init_process_group("nccl" if on_gpu else "gloo", store=dist.HashStore(), rank=0, world_size=1)
    ends: list[float] = []
    tokens: list[int] = []
    true_update = sft_engine.Trainer.update

    def timed(self: Any, update: list[int], number: int, rate: float) -> float | None:
        found = true_update(self, update, number, rate)
        if on_gpu:
            torch.cuda.synchronize()
        ends.append(time.perf_counter())
        tokens.append(sum(self.lengths[index] for index in update))
        return found

    sft_engine.Trainer.update = timed  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        model = Qwen2ForCausalLM(Qwen2Config(**shape)).to(getattr(torch, width))
        weights = sum(each.numel() for each in model.parameters())
        model.save_pretrained(f"{folder}/student")
        AutoTokenizer.from_pretrained(STUDENT).save_pretrained(f"{folder}/student")
        sft_worker.run(
            f"{folder}/student",
            examples(rows=cutoff * updates // 100, **UNEVEN),
            Sft.model_validate(
                {**recipe(1, 1, 1), "packing": "neat", "cutoff_tokens": cutoff, "precision": width, "epochs": 2}
            ),
            sft_worker.Place(store=Store(folder), address="train/gpu", attempt="train/gpu/a", save_every=10**9),
            sft_worker.Length(updates=updates),
        )
    warm = 5
    rate = sum(tokens[warm:]) / (ends[-1] - ends[warm - 1])
    name = torch.cuda.get_device_name() if on_gpu else "CPU"
    peak = next((each.teraflops for key, each in ACCELERATORS.items() if key.split("-")[0] in name), None)
    row = {
        "device": name,
        "weights": weights,
        "tokens a micro-batch": round(sum(tokens) / len(tokens)),
        "tokens per second": round(rate),
        "model FLOPs utilisation, %": peak and round(100 * 6 * weights * rate / (peak * 1e12), 1),
        "peak memory, GB": round(torch.cuda.max_memory_allocated() / 1e9, 1) if on_gpu else None,
        "attention": "at once" if on_gpu and sft_engine.attends_at_once(torch.device("cuda"), width) else "one by one",
    }
    print("ROW " + json.dumps(row), flush=True)


def held_weights() -> int:
    from safetensors import safe_open

    with safe_open(f"{STUDENT}/model.safetensors", framework="pt") as file:
        shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
    total = 0
    for shape in shapes:
        count = 1
        for size in shape:
            count *= size
        total += count
    return total


def goal(value: float | None, limit: float, *, at_most: bool = False) -> dict[str, Any]:
    met = value is not None and (value <= limit if at_most else value >= limit)
    return {"value": None if value is None else round(value, 3), "goal": limit, "met": met}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="one round on few rows")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-environment", type=Path, default=cache())
    parser.add_argument("--gpu-only", action="store_true", help="the GPU's row and nothing else")
    parser.add_argument("--trainer", help=argparse.SUPPRESS)
    parser.add_argument("--gpu-row", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.trainer:
        run_trainer(**json.loads(arguments.trainer))
        return
    if arguments.gpu_row:
        run_gpu()
        return
    if arguments.gpu_only:
        goals = {"GPU: model FLOPs utilisation, %": goal(gpu(), 45)}
        print(json.dumps({"name": "sft", "cores": os.cpu_count(), "goals": goals}))
        return
    begun = time.monotonic()
    environment = make_environment(arguments.peer_environment)
    found, starts = speeds(environment, 1 if arguments.quick else arguments.rounds, arguments.quick)
    ratio = {name: each["ours"] / each["llama_factory"] for name, each in found.items()}
    goals = {
        "tokens/s by LLaMA-Factory's, 2x1": goal(ratio["2x1"], 2),
        "tokens/s by LLaMA-Factory's, 5x4": goal(ratio["5x4"], 2),
        "tokens/s by LLaMA-Factory's, uneven rows, 2x1": goal(ratio["2x1, uneven"], 1.3),
        "tokens/s by LLaMA-Factory's, uneven rows, 5x4": goal(ratio["5x4, uneven"], 1.3),
        "seconds from process start to first update": goal(statistics.median(starts), 15, at_most=True),
        "state per worker against formula, relative difference": goal(memory(), 0.01, at_most=True),
        "GPU: model FLOPs utilisation, %": goal(gpu(), 45),
    }
    against = {name: round(each["ours"] / each["trainer"], 2) for name, each in found.items()}
    print(json.dumps({"tokens/s by the Trainer's": against, "seconds": round(time.monotonic() - begun)}), flush=True)
    print(json.dumps({"name": "sft", "cores": os.cpu_count(), "goals": goals}))


if __name__ == "__main__":
    main()
