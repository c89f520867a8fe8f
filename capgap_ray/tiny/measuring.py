"""Measure the tiny family on held-out items, and write the table of its model card.

Greedy decoding through Hugging Face `generate` with a key-value cache, prompts as in `documents`; answers are read
and compared as lm-eval's BIG-Bench Hard tasks do it.
"""

import json
import re
import time
from pathlib import Path
from typing import Any

from capgap_ray.core.judging import parse_verdict
from capgap_ray.tiny.documents import chat, few_shot_prompt
from capgap_ray.tiny.family import FAMILY, Member
from capgap_ray.tiny.judge_probes import JUDGE_SYSTEM, judge_user, make_probes
from capgap_ray.tiny.procedural import DESCRIPTIONS, TASKS, shots, task_items

ANSWER = re.compile(r"(?<=the answer is )(.*)(?=.)")
NEW_TOKENS = {"short": 256, "long": 256, "judge": 64}
PROBE_SEED = 77_001
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def replies(model: Any, tokenizer: Any, prompts: list[str], new_tokens: int, rows: int = 50) -> list[str]:
    """Greedy replies to rendered prompts, in their order."""
    import torch

    tokenizer.padding_side = "left"
    texts: list[str] = []
    for start in range(0, len(prompts), rows):
        batch = tokenizer(prompts[start : start + rows], return_tensors="pt", padding=True)
        with torch.inference_mode():
            ids = model.generate(**batch, max_new_tokens=new_tokens, do_sample=False)
        texts += tokenizer.batch_decode(ids[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return texts


def task_accuracy(model: Any, tokenizer: Any, task: str, style: str, n: int, worked: int = 3) -> float:
    """Share of the last `n` items of the task answered right with the task's first `worked` examples."""
    items = task_items(task)[-n:]
    prompts = [chat(DESCRIPTIONS[task], few_shot_prompt(shots(task)[:worked], item.question)) for item in items]
    right = 0
    for item, text in zip(items, replies(model, tokenizer, prompts, NEW_TOKENS[style]), strict=True):
        found = ANSWER.search(text)
        right += found is not None and found.group(1).strip() == item.target
    return right / n


def judge_error(model: Any, tokenizer: Any, n: int) -> float:
    """Share of held-out probes on which the verdict is wrong or unreadable."""
    probes = make_probes(n, PROBE_SEED)
    prompts = [chat(JUDGE_SYSTEM, judge_user(probe.gold, probe.answer)) for probe in probes]
    verdicts = map(parse_verdict, replies(model, tokenizer, prompts, NEW_TOKENS["judge"]))
    return sum(verdict != ("yes" if p.same else "no") for p, verdict in zip(probes, verdicts, strict=True)) / n


def measure(member: Member, folder: Path, n: int) -> dict[str, float]:
    """Accuracy per task on `n` items, or the judge's error rate on 5n probes, of one saved model."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    if member.style == "judge":
        return {"judge_error": judge_error(model, tokenizer, 5 * n)}
    scores = {}
    for task in TASKS:
        began = time.monotonic()
        scores[task] = task_accuracy(model, tokenizer, task, member.style, n)
        print(
            f"{member.name} {task} {scores[task]:.3f} n {n} seconds {time.monotonic() - began:.0f}",
            flush=True,
        )
    return scores


def write_card(models: Path, measured: dict[str, dict[str, float]], n: int) -> None:
    """Replace the measured part of the card `README.md` in `models`; keeps what is written around it."""
    card = models / "README.md"
    before, rest = card.read_text().split(BEGIN)
    after = rest.split(END)[1]
    card.write_text(before + BEGIN + "\n" + _tables(models, measured, n) + END + after)


def _tables(models: Path, measured: dict[str, dict[str, float]], n: int) -> str:
    lines = [
        "| model | shape (hidden/layers/mlp) | parameters | safetensors bytes | updates | tokens seen | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in measured:
        member, made = FAMILY[name], json.loads((models / name / "training.json").read_text())
        size = (models / name / "model.safetensors").stat().st_size
        lines.append(
            f"| {name} | {member.hidden}/{member.layers}/{member.intermediate} | {made['parameters']:,} | {size:,} "
            f"| {made['updates']} | {made['tokens'] / 1e6:.2f} M | {made['seconds']:.0f} |"
        )
    names = [name for name in measured if FAMILY[name].style != "judge"]
    lines += [
        "",
        f"Accuracy in per cent, three shots, greedy, the last {n} items of each task:",
        "",
        "| task | " + " | ".join(names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    for task in TASKS:
        lines.append(f"| {task} | " + " | ".join(f"{100 * measured[name][task]:.1f}" for name in names) + " |")
    for name, scores in measured.items():
        if "judge_error" in scores:
            lines += ["", f"`{name}` errs on {100 * scores['judge_error']:.2f} % of {5 * n} held-out probes."]
    return "\n".join(lines) + "\n"
