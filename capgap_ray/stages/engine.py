"""The only file that knows vLLM: one process, one engine per architecture, weights swapped in place.

Runs vLLM inside the calling process (no engine sub-process: each would import torch and vllm again), on a GPU
as on a CPU. A model whose architecture is already loaded is read into the standing engine, which takes a tenth
of a second for a tiny model where a new engine takes many.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capgap_ray.records import Message
from capgap_ray.stages.weights import local_folder

ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # engine in this process
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # "auto" pins all engines of a node to the same cores
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TQDM_DISABLE": "1",
}
"""Must be set before vllm is imported; `inference.py` starts the actor's process with it."""

_KV_BYTES_CPU = 128 << 20
"""KV cache per engine on a CPU. Given in bytes, it skips vLLM's demand for 92 % of the node's memory."""
_BATCH_TOKENS_CPU = 4096
"""Tokens of one step; a prompt is computed whole."""
_RESIDENT_CPU, _RESIDENT_GPU = 8, 1
"""Engines kept per process. On a GPU the next architecture replaces the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """How to generate; one setting for all requests of a call."""

    temperature: float
    top_p: float
    max_tokens: int
    stop: tuple[str, ...]
    seed: int
    retry_truncated: int | None = None
    """Token budget of the second and last try of what `max_tokens` cut off."""
    samples: int = 1
    """Completions of each prompt."""
    plain: bool = False
    """The one message of each prompt is sent as it is, without the chat template."""

    @property
    def budget(self) -> int:
        """The most tokens that one completion can take."""
        return max(self.max_tokens, self.retry_truncated or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One completion to generate."""

    chat: Sequence[Message]
    seed: int | None
    """None: greedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What came back for one `Ask`."""

    text: str
    finish_reason: str
    stop_reason: str | None
    """The stop string that ended it; None for the end token and for a text that was cut."""
    prompt_tokens: int
    completion_tokens: int


class WeightReloader:
    """vLLM worker extension: read other weights of the same architecture into the standing engine."""

    def reload_from(self, path: str) -> None:
        self.reload_weights(weights_path=path)  # type: ignore[attr-defined]
        head: Any = getattr(self.model_runner.get_model(), "lm_head", None)  # type: ignore[attr-defined]
        if hasattr(head, "cpu_linear"):
            # vLLM's CPU backend keeps a packed copy of a tied head, which its reload leaves as it was.
            head.quant_method.process_weights_after_loading(head)


class Engine:
    """Chat completions by any model that fits the settings."""

    def __init__(self, dtype: str, max_model_len: int) -> None:
        self._dtype = dtype
        self._max_model_len = max_model_len
        self._engines: dict[str, Any] = {}
        self._loaded: dict[str, str] = {}
        """Architecture -> source of the weights now in its engine."""

    def complete(self, source: str, asks: Sequence[Ask], decoding: Decoding) -> list[Output]:
        """Generate one completion per ask, in order; those cut off once more with the larger budget, if there is one.

        `source` is a folder or `<Hub id>@<revision>`. Raises ValueError if a prompt and its token budget do not fit.
        """
        engine = self._load(source)
        tokenizer = engine.get_tokenizer()
        prompts = [self._tokenize(tokenizer, ask.chat, decoding, source) for ask in asks]
        outputs = _generate(engine, prompts, asks, decoding, decoding.max_tokens)
        cut = [index for index, output in enumerate(outputs) if output.finish_reason == "length"]
        if decoding.retry_truncated and cut:
            again = _generate(
                engine, [prompts[i] for i in cut], [asks[i] for i in cut], decoding, decoding.retry_truncated
            )
            for index, output in zip(cut, again, strict=True):
                outputs[index] = output
        return outputs

    def _tokenize(self, tokenizer: Any, chat: Sequence[Message], decoding: Decoding, source: str) -> list[int]:
        if decoding.plain:
            (only,) = chat
            ids: list[int] = tokenizer.encode(only.content)
        else:
            turns = [{"role": turn.role, "content": turn.content} for turn in chat]
            text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
            ids = tokenizer.encode(text, add_special_tokens=False)
        if len(ids) + decoding.budget > self._max_model_len:
            raise ValueError(
                f"{source}: a prompt of {len(ids)} tokens and a budget of {decoding.budget} new ones exceed "
                f"engine.max_model_len {self._max_model_len}; raise it or use fewer shots"
            )
        return ids

    def _load(self, source: str) -> Any:
        """The engine of the model's architecture, holding the model's weights."""
        folder = local_folder(source)
        architecture = _architecture(folder)
        if architecture not in self._engines:
            self._make_room()
            self._engines[architecture] = self._start(folder)
        elif self._loaded[architecture] != source:
            engine = self._engines[architecture]
            engine.collective_rpc("reload_from", args=(folder,))
            # Cached prefixes were computed by the weights that have just gone.
            if not engine.reset_prefix_cache():
                raise RuntimeError(f"{source}: vLLM did not reset its prefix cache after a weight swap")
        self._loaded[architecture] = source
        return self._engines[architecture]

    def _make_room(self) -> None:
        import torch

        limit = _RESIDENT_GPU if torch.cuda.is_available() else _RESIDENT_CPU
        while len(self._engines) >= limit:
            oldest = next(iter(self._engines))
            self._engines.pop(oldest).llm_engine.engine_core.shutdown()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _start(self, folder: str) -> Any:
        import torch
        from vllm import LLM

        on_gpu = torch.cuda.is_available()
        extra: dict[str, Any] = {}
        if not on_gpu:
            # Whole prefills only: for a part of one vLLM draws a token too, and takes the draw back from the request's
            # seeded generator, which a CPU generator cannot do ("CPU Generator does not use offset").
            extra = {
                "kv_cache_memory_bytes": _KV_BYTES_CPU,
                "enable_chunked_prefill": False,
                "max_num_batched_tokens": max(_BATCH_TOKENS_CPU, self._max_model_len),
            }
        return LLM(
            model=folder,
            dtype=self._dtype,
            max_model_len=self._max_model_len,
            enforce_eager=not on_gpu,
            enable_prefix_caching=True,
            trust_remote_code=False,
            load_format="safetensors",
            max_num_seqs=256,
            worker_extension_cls="capgap_ray.stages.engine.WeightReloader",
            **extra,
        )


def _generate(
    engine: Any, prompts: Sequence[list[int]], asks: Sequence[Ask], decoding: Decoding, max_tokens: int
) -> list[Output]:
    from vllm import SamplingParams, TokensPrompt

    params = [
        SamplingParams(
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            max_tokens=max_tokens,
            stop=list(decoding.stop),
            seed=ask.seed,
        )
        for ask in asks
    ]
    results = engine.generate([TokensPrompt(prompt_token_ids=ids) for ids in prompts], params, use_tqdm=False)
    made = []
    for ids, result in zip(prompts, results, strict=True):
        first = result.outputs[0]
        made.append(
            Output(
                text=first.text,
                finish_reason=str(first.finish_reason),
                # vLLM gives the number of a stop token here; those are ends of turn like any other.
                stop_reason=first.stop_reason if isinstance(first.stop_reason, str) else None,
                prompt_tokens=len(ids),
                completion_tokens=len(first.token_ids),
            )
        )
    return made


_NOT_SHAPE = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")
"""The engine's own dtype is set for all models, so that of the file makes no difference."""


def _architecture(folder: str) -> str:
    """Equal for two models that one engine can serve: the configuration less what does not shape the weights."""
    config = json.loads((Path(folder) / "config.json").read_text())
    shape = {key: value for key, value in config.items() if key not in _NOT_SHAPE}
    tokenizer = (Path(folder) / "tokenizer.json").read_bytes()
    return hashlib.sha256(json.dumps(shape, sort_keys=True).encode() + tokenizer).hexdigest()
