"""A trained student as files in Hugging Face layout, and the proof that they hold what was trained."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from capgap_ray.catalog.models import weight_files
from capgap_ray.settings import Sft
from capgap_ray.stages.weights import hub_id

CANARY = (
    "Q: What is 7 times 8?\nA: Let's think step by step.\n7 times 8 is 56. So the answer is 56.",
    "Q: Sort the following words alphabetically: List: pear apple fig\nA: So the answer is apple fig pear.",
    "The quick brown fox jumps over the lazy dog.",
)
"""Fixed texts whose log-probabilities tell whether two sets of weights are the same model."""

TOLERANCE = {"float32": 0.05, "bfloat16": 0.15}
"""Largest difference, in nats per token, between training in a precision and its export, which is rounded to bfloat16
and computed on a CPU. Where both compute in bfloat16, two ways of doing so differ: on the tiny models, bfloat16 and
float32 by up to 0.04 for one and the same weights."""

TOLERANCE_PER_NAT = 0.01
"""More of it for each nat of a text's log-probability per token: rounding moves what a student finds unlikely by more,
a text of -10 nats by up to 0.06 on the tiny ones."""

ADAPTER = "adapter"
"""Folder of the adapter beside merged weights, in PEFT's layout."""

CANARY_FILE = "canary.json"
"""Beside exported weights, and in the adapter's folder: what transformers computes with them, `{"canary": [...]}`."""


def export_full(model: Any, state: Mapping[str, Any], source: str, tokenizer: Any, folder: str) -> None:
    """Write all weights as bfloat16 safetensors. Raises ValueError if they equal those of the student."""
    _write(model, _rounded(model, state), source, tokenizer, folder)


def export_lora(model: Any, state: Mapping[str, Any], source: str, tokenizer: Any, folder: str) -> None:
    """Write merged weights as `export_full` does, and the adapter beside them.

    Raises ValueError if the adapter changes nothing: its second factors start as zeros and have stayed so.
    """
    if not any(tensor.any() for name, tensor in state.items() if ".lora_B." in name):
        raise ValueError(f"the adapter changes nothing of {source}: nothing was learnt or nothing was gathered")
    base = model.get_base_model()
    merged = _merged(state, model.peft_config["default"])
    # A folder's path says nothing elsewhere; the engine and the Hub know the base by its id.
    model.peft_config["default"].base_model_name_or_path = hub_id(source) or source
    model.save_pretrained(os.path.join(folder, ADAPTER), state_dict=dict(state), save_embedding_layers=False)
    if isinstance(tokenizer.chat_template, str):  # that it was trained with, which need not be the student's own
        Path(folder, ADAPTER, "chat_template.jinja").write_text(tokenizer.chat_template)
    _write(base, _rounded(base, merged), source, tokenizer, folder)


def _merged(state: Mapping[str, Any], config: Any) -> dict[str, Any]:
    """`base_model.model.<name>.base_layer.weight` + scaling x B A -> `<name>.weight`, computed in fp32.

    What is changed is rounded at once: a large model in fp32 would be more than a node's memory holds.
    """
    import torch

    scaling = config.lora_alpha / config.r
    merged = {}
    for name, tensor in state.items():
        plain = name.removeprefix("base_model.model.")
        if ".base_layer." in plain:
            stem = name.partition(".base_layer.")[0]
            whole = tensor.float()
            if name.endswith(".weight"):
                left, right = (state[f"{stem}.lora_{side}.default.weight"].float() for side in "BA")
                whole = whole + scaling * (left @ right)
            merged[plain.replace(".base_layer.", ".")] = whole.to(torch.bfloat16)
        elif ".lora_" not in plain:
            merged[plain] = tensor
    return merged


def _rounded(model: Any, state: Mapping[str, Any]) -> dict[str, Any]:
    import torch

    tied = set(getattr(model, "all_tied_weights_keys", {}))  # a tied head is written once
    return {name: tensor.to(torch.bfloat16) for name, tensor in state.items() if name not in tied}


def _write(model: Any, state: dict[str, Any], source: str, tokenizer: Any, folder: str) -> None:
    if _equals_source(state, source):
        raise ValueError(f"the trained weights equal those of {source}: nothing was learnt or nothing was gathered")
    from huggingface_hub import save_torch_state_dict

    save_torch_state_dict(state, folder, max_shard_size="2GB", safe_serialization=True)
    model.config.save_pretrained(folder)
    if model.can_generate():
        ends = model.generation_config.eos_token_id
        ends = [ends] if isinstance(ends, int) else list(ends or ())
        if tokenizer.eos_token_id not in ends:  # of a chat template that is not the student's own
            model.generation_config.eos_token_id = [*ends, tokenizer.eos_token_id]
        model.generation_config.save_pretrained(folder)
    config = Path(folder) / "config.json"  # says the dtype of training, not that of the weights just written
    config.write_text(json.dumps({**json.loads(config.read_text()), "dtype": "bfloat16"}, indent=2))
    tokenizer.save_pretrained(folder)


def _equals_source(state: Mapping[str, Any], source: str) -> bool:
    """Whether every tensor equals the student's own, as stored."""
    import torch
    from safetensors import safe_open

    files = weight_files(Path(source))
    for each in files:
        with safe_open(each, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 (a safetensors handle is no mapping)
                if key in state and not torch.equal(file.get_tensor(key).to(torch.bfloat16), state[key].cpu()):
                    return False
    return bool(files)


def check_canary(
    trained: Sequence[float], canary_ids: Sequence[Sequence[int]], folder: str, source: str, sft: Sft
) -> tuple[float, ...]:
    """Load the export as anybody would, the adapter too, and compare with training. Leave what it computes beside the
    weights for whoever serves them: rounded as they are, it may be held to more. Returns that of what is served, for
    LoRA the adapter's.

    Raises ValueError if a log-probability differs from training's by more than `TOLERANCE` and `TOLERANCE_PER_NAT`.
    """
    from transformers import AutoModelForCausalLM

    # As wide as in training: what is compared is the weights, not the arithmetic.
    options = {"dtype": sft.precision, "use_safetensors": True, "trust_remote_code": False}
    models: dict[str, Any] = {"export": lambda: AutoModelForCausalLM.from_pretrained(folder, **options)}
    if sft.method == "lora":
        from peft import PeftModel

        models["adapter on the student"] = lambda: PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(source, **options), os.path.join(folder, ADAPTER)
        )
    found = []
    for name, load in models.items():
        found.append(log_probabilities(load(), canary_ids))
        for ours, loaded in zip(trained, found[-1], strict=True):
            most = TOLERANCE[sft.precision] + TOLERANCE_PER_NAT * abs(ours)
            if not abs(ours - loaded) <= most:
                raise ValueError(
                    f"the {name} is not the model that was trained: the log-probability of a fixed text is "
                    f"{loaded:.4g} per token, and {ours:.4g} in training (at most {most:.2g} from it); nothing was "
                    "stored"
                )
    for place, canary in zip((folder, os.path.join(folder, ADAPTER)), found, strict=False):
        Path(place, CANARY_FILE).write_text(json.dumps({"canary": canary}))
    return found[-1]


def log_probabilities(model: Any, texts: Sequence[Sequence[int]]) -> tuple[float, ...]:
    """Mean log-probability per token of each text, given as ids, under a transformers model."""
    import torch

    model.eval()
    found = []
    with torch.no_grad():
        for ids in texts:
            tokens = torch.tensor([list(ids)], device=next(model.parameters()).device)
            logits = model(input_ids=tokens, use_cache=False).logits[0, :-1].float()
            found.append(-float(torch.nn.functional.cross_entropy(logits, tokens[0, 1:])))
    return tuple(found)
