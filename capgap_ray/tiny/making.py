"""Make and measure the committed checkpoints: what `jobs/tiny_models.py` calls."""

import json
from pathlib import Path

from capgap_ray.tiny.family import FAMILY, Member
from capgap_ray.tiny.measuring import measure, write_card

MODELS = Path(__file__).parent / "models"


def make_model(member: Member, work: Path, *, until: int | None, threads: int) -> None:
    """Train `member` (continuing a state in `work`) and export it to `models/<name>`."""
    import torch
    from transformers import AutoTokenizer

    from capgap_ray.tiny import tokenizer as tokenizers
    from capgap_ray.tiny.training import export, train

    torch.set_num_threads(threads)
    folder = MODELS / member.name
    source = work / "tokenizer"
    if not source.exists():  # a saved state goes on with the tokens it has learnt
        tokenizers.build(source, tokenizers.corpus())
    tokenizer = AutoTokenizer.from_pretrained(source)
    state = train(member, tokenizer, work, until=until)
    if not member.committed:
        return
    export(state, tokenizer, folder)
    made = {
        "parameters": sum(parameter.numel() for parameter in state.model.parameters()),
        "updates": state.update,
        "tokens": state.tokens,
        "seconds": round(state.seconds, 1),
        "final_loss": round(state.loss, 4),
        "seed": member.seed,
    }
    (folder / "training.json").write_text(json.dumps(made, indent=2) + "\n")


def measure_family(work: Path, n: int) -> None:
    """Measure every exported model on `n` items a task and rewrite the table of the card.

    Scores already in `work` for the same weights are kept, so that only what changed is measured again.
    """
    import hashlib

    cache = work / "measured.json"
    known: dict[str, dict[str, float]] = json.loads(cache.read_text()) if cache.exists() else {}
    measured = {}
    for name, member in FAMILY.items():
        weights = MODELS / name / "model.safetensors"
        if not weights.exists():
            continue
        key = f"{name} {n} {hashlib.sha256(weights.read_bytes()).hexdigest()[:12]}"
        if key not in known:
            known[key] = measure(member, MODELS / name, n)
            cache.parent.mkdir(parents=True, exist_ok=True)
            cache.write_text(json.dumps(known, indent=2))
        measured[name] = known[key]
    write_card(MODELS, measured, n)
