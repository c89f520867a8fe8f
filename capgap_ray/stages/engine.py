"""The only file that knows vLLM: one process, one engine per architecture, weights swapped in place.

Runs vLLM inside the calling process (no engine sub-process: each would import torch and vllm again), on a GPU
as on a CPU. A model whose architecture is already loaded is read into the standing engine, which takes a tenth
of a second for a tiny model where a new engine takes many. After each swap the engine's log-probabilities of
fixed tokens are compared: with those that training stored, and with the weights that were there before.

LoRA adapters on one base are served together, each row with its own, by an engine that serves nothing else: beside rows
with an adapter, vLLM's CPU backend gives a row without one the weights of the last slot (its index of -1, as Python
counts). The log-probabilities of every adapter are compared with those that training stored before its rows are made.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from statistics import fmean
from threading import Thread
from types import MappingProxyType
from typing import Any, Literal

from capgap_ray.artifacts.fetch import let_go
from capgap_ray.catalog.models import weight_files
from capgap_ray.core.extraction import opened_thinking
from capgap_ray.core.masking import Rendering, TokenizedExample, apply_overlength, tokenize_example, with_system
from capgap_ray.core.surprisal import trace_reading
from capgap_ray.records import Message, QuarantineReason, TraceReading, TrainingExample
from capgap_ray.settings import LARGEST_SERVED_RANK, Resources
from capgap_ray.stages.heap import give_back_freed_memory, keep_freed_memory
from capgap_ray.stages.sft_data import load_tokenizer
from capgap_ray.stages.sft_export import CANARY, CANARY_FILE
from capgap_ray.stages.turns import end_of_turn
from capgap_ray.stages.weights import (
    ON,
    adapter_folder,
    check_adapter,
    local_folder,
    read_ahead,
    shape_difference,
    tensor_shapes,
)

ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # engine in this process
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # "auto" pins all engines of a node to the same cores
    "VLLM_NO_USAGE_STATS": "1",
    # It takes no seeds, and here every draw has one; left on, vLLM builds it at an engine's start, with nvcc.
    "VLLM_USE_FLASHINFER_SAMPLER": "0",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TQDM_DISABLE": "1",
}
"""Must be set before vllm is imported; `engine_actor.py` starts the actor's process with it."""

ENVIRONMENT_CPU = {
    "TORCHDYNAMO_DISABLE": "1",  # or vLLM compiles how it ranks log-probabilities, and dies without a C++ compiler
    "CUDA_VISIBLE_DEVICES": "",  # Ray leaves those of a process without GPUs as they are: all of the node
}
"""Beside it, where the engine has no GPU."""

_KV_BYTES_CPU = 256 << 20
"""KV cache per engine on a CPU. Given in bytes, it skips vLLM's demand for 92 % of the node's memory. Of tiny
models so much holds all rows of a batch; with 96 MB most of them waited, and a teacher was a quarter slower."""
_BATCH_TOKENS_CPU = 4096
"""Tokens of one step; a prompt is computed whole."""
_PREFILL_TOKENS_GPU = 2048
"""Of one prompt in one step. vLLM computes what a step needs of a prompt's log-probabilities at once, over the whole
vocabulary and in memory that it has not set aside (vLLM issue 5907): 2 GB for so many tokens and 152,000 words."""
_MAX_SEQS = 256
_RESIDENT_CPU, _RESIDENT_GPU = 2, 1
"""Engines kept per process; the next architecture replaces the oldest. Two serve a grid of two students without a start
in between, while others train."""
_LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, LARGEST_SERVED_RANK)
"""What vLLM accepts as the largest rank; an adapter needs the next one."""
_SLOTS_CPU, _SLOTS_GPU = 8, 16
"""Adapters of one batch, at most. Rows of further ones wait their turn in vLLM's scheduler."""
_SLOT_RANKS = 512
"""Ranks of all slots together, at most: each is as large as the largest adapter. For a 7B model 512 take about 2.6 GB
in 16 bits."""
_MERGE = "evaluate merged weights instead (engine.lora: merged)"

_PROBE = tuple(range(16, 48))
"""Tokens whose log-probabilities tell weights apart where none are stored; any vocabulary has them."""
TOLERANCE = {"float32": 0.05, "float16": 0.1, "bfloat16": 0.15}
"""Largest difference between a text's mean log-probability in training and in an engine of each precision, in nats per
token. Exports are rounded to bfloat16, and an engine may compute in it. Unrelated weights are nats away; weights of a
few updates ago may be nearer than this, and are known by answering exactly as they did before the swap."""


class EngineError(RuntimeError):
    """An engine that cannot do what it is asked for any row; the message is one line for people."""


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
    template: str | None = None
    """Chat template in place of the model's own."""
    text_needed: bool = False
    """Whether an empty text is quarantined. A rationale without text teaches nothing; in evaluation it is an answer."""
    reading: Rendering | None = None
    """How given traces are rendered, which are read (`Engine.read`) in place of new ones being written."""

    @property
    def budget(self) -> int:
        """The most tokens that one completion can take."""
        return max(self.max_tokens, self.retry_truncated or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How one engine is spread over GPUs, in vLLM's terms."""

    tensor: int
    """GPUs that share each layer."""
    pipeline: int
    """Stages of layers, each of `tensor` GPUs."""

    @property
    def gpus(self) -> int:
        return self.tensor * self.pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One completion to generate."""

    chat: Sequence[Message]
    seed: int | None
    """None: greedy."""
    adapter: str | None = None
    """Where the LoRA adapter on the call's model lies. Either all asks of a call have one or none has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What came back for one `Ask`."""

    text: str
    finish_reason: str
    stop_reason: str | None
    """The stop string that ended it; None for the end token and for a text that was cut."""
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why one `Ask` has no completion."""

    reason: QuarantineReason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """What a checkpoint's trainer computed with the weights that it had written."""

    logprobs: tuple[float, ...]
    """Mean log-probability per token of each text of `sft_export.CANARY`, in nats."""

    @staticmethod
    def of(summary: Mapping[str, Any]) -> Canary | None:
        """From a train step's summary; None where it holds none."""
        stored = summary.get("canary")
        return None if stored is None else Canary(logprobs=tuple(map(float, stored)))

    @staticmethod
    def beside(folder: str) -> Canary | None:
        """From the file that every export has; None where weights were made elsewhere."""
        file = Path(folder) / CANARY_FILE
        return Canary.of(json.loads(file.read_text())) if file.is_file() else None


class WeightReloader:
    """vLLM worker extension: read other weights of the same architecture into the standing engine."""

    def reload_from(self, path: str) -> None:
        self.reload_weights(weights_path=path)  # type: ignore[attr-defined]
        head: Any = getattr(self.model_runner.get_model(), "lm_head", None)  # type: ignore[attr-defined]
        if hasattr(head, "cpu_linear"):
            # vLLM's CPU backend keeps a packed copy of a tied head, which its reload leaves as it was.
            head.quant_method.process_weights_after_loading(head)

    def unpin(self) -> None:
        """Before the engine's end: torch keeps every hook into its compiler, and with it the compiled model that the
        hook is of. vLLM takes its hooks out when its engine is freed, but finds them through the model: freed after
        that, it leaves them, and the weights on the GPU for as long as the process lives."""
        from vllm.compilation.wrapper import TorchCompileWithNoGuardsWrapper

        for module in self.model_runner.get_model().modules():  # type: ignore[attr-defined]
            if isinstance(module, TorchCompileWithNoGuardsWrapper):
                module.cleanup()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prompt:
    """What one row's text follows."""

    ids: list[int]
    opened: str = ""
    """The tag with which the chat template opens the model's thinking: it belongs to the text."""


Stage = Literal["fetching", "loading", "answering"]
"""What an engine is at in a call. Only one that answers has shown that it works."""

Canaries = Mapping[str | None, Canary]
"""Adapter -> what its trainer computed; None -> of the model itself."""


@dataclass(slots=True, kw_only=True)
class _Standing:
    """One vLLM engine and what it holds."""

    llm: Any
    rank: int
    """The largest that an adapter may have; 0: it takes none."""
    shapes: Mapping[str, list[int]]
    """Of the tensors that it was started with."""
    holds: str | None = None
    """Source of its weights; None while they are not known to be right."""
    probed: tuple[str, list[float]] | None = None
    """Folder of the weights and their log-probabilities of `_PROBE`."""
    requests: dict[str, Any] = field(default_factory=dict)
    """Adapter on those weights -> its LoRARequest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asking:
    """How one call asks the engine."""

    engine: Any
    tokenizer: Any = None
    decoding: Any = None
    templates: Mapping[str | None, str | None] = field(default_factory=dict)
    requests: Mapping[str, Any] = field(default_factory=dict)
    ends: Sequence[int] = ()


@dataclass(slots=True, kw_only=True, eq=False)
class _Rows:
    """Rows that the engine is at, and what it has of them."""

    about: _Asking
    prompts: Sequence[_Prompt | Refusal]
    results: list[Any]
    left: int = 0


class Engine:
    """Chat completions by any model that fits the settings."""

    def __init__(
        self,
        dtype: str,
        max_model_len: int,
        beat: Callable[[Stage], None] = lambda stage: None,
        layout: Layout | None = None,
        memory_share: float | None = None,
    ) -> None:
        """`beat` is called whenever the engine has got on: bytes of a model fetched, a model loaded, a step done. With
        a `layout` the process is in a placement group of one-GPU bundles, as many as the layout has, and vLLM starts a
        worker in each; without one it uses the GPUs that the process was given. `memory_share`: of each GPU.
        """
        self._dtype = dtype
        self._max_model_len = max_model_len
        self._beat = beat
        self._layout = layout
        self._memory_share = memory_share
        self._engines: dict[str, _Standing] = {}
        """By architecture; those for adapters apart."""
        self._architectures: dict[str, str] = {}
        """Source -> that of its model."""
        self._had_another = False
        """Whether an engine of this process has been let go."""
        self._numbers = count(1)
        """Of requests and of adapters, for vLLM."""
        self._asked: dict[str, tuple[_Rows, int]] = {}
        """Name of a request that vLLM is at -> whose it is, and which of them."""
        self._ahead: tuple[int, _Rows] | None = None
        """The call that is begun already, by its number."""

    @property
    def fingerprint(self) -> str:
        """What can move scores beside model, prompt and sampling.

        That a LoRA checkpoint is served as an adapter is part of its step's identity and not told here: it comes with
        the model, and every comparison with an untouched one would be between two fingerprints.
        """
        import torch

        device = torch.cuda.get_device_name() if torch.cuda.is_available() else _cpu_name()
        if self._layout:
            device = f"{device} ({self._layout.tensor} tensor x {self._layout.pipeline} pipeline parallel)"
        elif torch.cuda.device_count() > 1:
            device = f"{device} ({torch.cuda.device_count()} tensor parallel)"
        return f"vllm {version(_distribution())}, {self._dtype}, {self._max_model_len}, {_MAX_SEQS} rows, {device}"

    def complete(
        self,
        source: str,
        asks: Sequence[Ask],
        decoding: Decoding,
        canaries: Canaries = MappingProxyType({}),
        number: int = 0,
        following: Callable[[], tuple[int, Sequence[Ask]] | None] = lambda: None,
    ) -> list[Output | Refusal]:
        """Generate one completion per ask, in order; those cut off once more with the larger budget, if there is one.

        `source` is a folder or `<Hub id>@<revision>`. What is not in `canaries` is compared with the file beside its
        weights, if there is one. A row that cannot be done is a Refusal. Raises EngineError or AdapterError where no
        row can.

        Once rows of this call run out, `following` is asked for the number and the asks of the one after it: for the
        same model with the same decoding and without adapters. The engine is then at its rows, too, and the call of
        that `number`, if it is the next, gets them.
        """
        rows = self._begun(number)
        if rows is None:
            rows = self._begin(self._asking(source, asks, decoding, canaries), asks)
        about = rows.about

        def look() -> None:
            if self._ahead or about.engine.llm_engine.get_num_unfinished_requests() >= _MAX_SEQS:
                return
            if (more := following()) is not None:
                self._ahead = more[0], self._begin(about, more[1])

        outputs = self._outputs(rows, look)
        cut = [i for i, output in enumerate(outputs) if isinstance(output, Output) and output.finish_reason == "length"]
        if decoding.retry_truncated and cut:
            again = [rows.prompts[i] for i in cut], [asks[i] for i in cut], decoding.retry_truncated
            repeated = self._outputs(self._add(about, *again), look)
            for index, output in zip(cut, repeated, strict=True):
                outputs[index] = output
        return outputs

    def _begun(self, number: int) -> _Rows | None:
        """The rows of the call that was begun ahead, if it is this; those of any other are given up."""
        ahead, self._ahead = self._ahead, None
        if ahead is None or ahead[0] == number:
            return ahead and ahead[1]
        names = [name for name, (rows, _) in self._asked.items() if rows is ahead[1]]
        ahead[1].about.engine.llm_engine.abort_request(names)
        for name in names:
            del self._asked[name]
        return None

    def _asking(self, source: str, asks: Sequence[Ask], decoding: Decoding, canaries: Canaries) -> _Asking:
        used = list(dict.fromkeys(ask.adapter for ask in asks))
        adapters = [each for each in used if each is not None]
        if adapters and None in used:
            raise ValueError(f"{source}: some asks of one call have an adapter and some have none")
        engine, requests = self._load(source, adapters, canaries)
        self._beat("answering")
        tokenizer = engine.get_tokenizer()
        # The model's own: the standing engine's tokenizer has that of the model it was started with.
        own = decoding.template or chat_template(local_folder(source))
        templates = {
            each: own if each is None or decoding.template else chat_template(requests[each].lora_path) or own
            for each in used
        }
        if not decoding.plain and None in templates.values():
            raise EngineError(
                f"{source}: the model has no chat template; name one for it in chat_templates (students), set "
                "prompt.chat: plain, or use another model"
            )
        found = [] if decoding.plain else [end_of_turn(tokenizer, each) for each in {*templates.values()} if each]
        ends = [tokenizer.convert_tokens_to_ids(each) for each in found if each]
        return _Asking(
            engine=engine, tokenizer=tokenizer, decoding=decoding, templates=templates, requests=requests, ends=ends
        )

    def _begin(self, about: _Asking, asks: Sequence[Ask]) -> _Rows:
        """Have the engine take the rows; it is at them with the next step."""
        return self._add(about, self._prompts(about, asks), asks, about.decoding.max_tokens)

    def _prompts(self, about: _Asking, asks: Sequence[Ask]) -> list[_Prompt | Refusal]:
        """Token ids of every chat. Each is rendered once, and all are encoded at once, on all cores."""
        decoding, limit = about.decoding, self._max_model_len
        keys = [(None if decoding.plain else about.templates[ask.adapter], tuple(ask.chat)) for ask in asks]
        made: dict[Any, _Prompt | Refusal] = {}
        texts = {}
        for key in dict.fromkeys(keys):
            text = _prompt_text(about.tokenizer, *key)
            if isinstance(text, Refusal):
                made[key] = text
            else:
                texts[key] = text
        encoded = _encoded(about.tokenizer, [*texts.values()], special=decoding.plain)
        for (key, text), ids in zip(texts.items(), encoded, strict=True):
            if isinstance(ids, Refusal):
                made[key] = ids
            elif len(ids) + decoding.budget > limit:
                detail = (
                    f"a prompt of {len(ids)} tokens and a budget of {decoding.budget} new ones exceed "
                    f"engine.max_model_len {limit}"
                )
                made[key] = Refusal(reason="overlong", detail=detail)
            else:
                made[key] = _Prompt(ids=ids, opened="" if decoding.plain else opened_thinking(text))
        return [made[key] for key in keys]

    def read(
        self,
        source: str,
        traces: Sequence[TrainingExample],
        decoding: Decoding,
        canaries: Canaries = MappingProxyType({}),
    ) -> list[TraceReading | Refusal]:
        """Say how likely the model holds each trace, in order. Nothing is generated.

        They are rendered as `decoding.reading` says: token ids, cut-off and what is supervised are those of training.

        `source` and `canaries` as in `complete`. A row that training would leave out or that does not fit the context
        is a Refusal. Raises EngineError where no row can be read.
        """
        from vllm import SamplingParams

        assert decoding.reading is not None
        self._begun(0)
        engine, _ = self._load(source, [], canaries)
        self._beat("answering")
        tokenizer = load_tokenizer(local_folder(source), decoding.template)
        rows = [self._rendered(tokenizer, trace, decoding.reading) for trace in traces]
        prompts = [row if isinstance(row, Refusal) else list(row.input_ids) for row in rows]
        wanted = [SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0, detokenize=False) for _ in rows]
        results = self._run(engine, prompts, wanted, [None] * len(rows))
        made: list[TraceReading | Refusal] = []
        for trace, row, result in zip(traces, rows, results, strict=True):
            if isinstance(row, Refusal) or isinstance(result, Refusal):
                made.append(result)
                continue
            ids = row.input_ids[row.supervised_from :]
            found = [
                options[token]
                for token, options in zip(ids, result.prompt_logprobs[row.supervised_from :], strict=True)
            ]
            # A row that was cut may have lost its end of turn.
            own = ids.index(tokenizer.eos_token_id) if tokenizer.eos_token_id in ids else len(ids)
            made.append(trace_reading(trace, [each.logprob for each in found], [each.rank for each in found], own))
        return made

    def _rendered(self, tokenizer: Any, trace: TrainingExample, how: Rendering) -> TokenizedExample | Refusal:
        from jinja2 import TemplateError

        try:
            row = tokenize_example(with_system(trace, how.system), tokenizer, how)
            kept, dropped, _ = apply_overlength([row], how.cutoff, "cut" if how.overlength == "cut" else "drop")
        except (TemplateError, TypeError, ValueError, IndexError) as error:
            return Refusal(reason="template", detail=_line(error))
        if dropped:
            detail = f"{len(row.input_ids)} tokens, more than sft.cutoff_tokens {how.cutoff}"
            return Refusal(reason="overlong", detail=detail)
        if len(kept[0].input_ids) >= self._max_model_len:  # vLLM generates a token, too
            detail = f"{len(kept[0].input_ids)} tokens and one more exceed engine.max_model_len {self._max_model_len}"
            return Refusal(reason="overlong", detail=detail)
        return kept[0]

    def _add(self, about: _Asking, prompts: Sequence[_Prompt | Refusal], asks: Sequence[Ask], max_tokens: int) -> _Rows:
        from vllm import SamplingParams

        decoding, requests = about.decoding, about.requests
        params = [
            SamplingParams(
                temperature=decoding.temperature,
                top_p=decoding.top_p,
                max_tokens=max_tokens,
                stop=list(decoding.stop),
                stop_token_ids=list(about.ends),  # a base model's own end token is another than its chat template's
                seed=ask.seed,
            )
            for ask in asks
        ]
        own = [requests[ask.adapter] if ask.adapter is not None else None for ask in asks]
        return self._ask(about, prompts, params, own)

    def _outputs(self, rows: _Rows, look: Callable[[], None]) -> list[Output | Refusal]:
        made: list[Output | Refusal] = []
        for prompt, result in zip(rows.prompts, self._finished(rows, look), strict=True):
            if isinstance(prompt, Refusal) or isinstance(result, Refusal):
                made.append(result)
                continue
            first = result.outputs[0]
            if first.finish_reason not in ("stop", "length"):
                made.append(Refusal(reason="engine error", detail=f"it ended with {first.finish_reason}"))
            elif rows.about.decoding.text_needed and not first.text.strip():
                made.append(Refusal(reason="empty", detail=f"{len(first.token_ids)} tokens, no text"))
            else:
                made.append(
                    Output(
                        text=prompt.opened + first.text,
                        finish_reason=first.finish_reason,
                        # vLLM gives the number of a stop token here; those are ends of turn like any other.
                        stop_reason=first.stop_reason if isinstance(first.stop_reason, str) else None,
                        prompt_tokens=len(prompt.ids),
                        completion_tokens=len(first.token_ids),
                    )
                )
        return made

    def _run(self, engine: Any, prompts: Sequence[Any], params: Sequence[Any], adapters: Sequence[Any]) -> list[Any]:
        """What `LLM.generate` does, row by row: one that vLLM refuses is a Refusal, and every step is a beat."""
        asked = [each if isinstance(each, Refusal) else _Prompt(ids=each) for each in prompts]
        return self._finished(self._ask(_Asking(engine=engine), asked, params, adapters), lambda: None)

    def _ask(
        self, about: _Asking, prompts: Sequence[_Prompt | Refusal], params: Sequence[Any], adapters: Sequence[Any]
    ) -> _Rows:
        from vllm.inputs.engine import tokens_input
        from vllm.sampling_params import RequestOutputKind

        rows = _Rows(about=about, prompts=prompts, results=[None] * len(prompts))
        for index, (prompt, wanted, adapter) in enumerate(zip(prompts, params, adapters, strict=True)):
            if isinstance(prompt, Refusal):
                rows.results[index] = prompt
                continue
            wanted.output_kind = RequestOutputKind.FINAL_ONLY
            name = str(next(self._numbers))
            try:
                about.engine.llm_engine.add_request(name, tokens_input(prompt.ids), wanted, lora_request=adapter)
            except ValueError as error:
                rows.results[index] = Refusal(reason="engine error", detail=_line(error))
            else:
                self._asked[name] = rows, index
                rows.left += 1
        return rows

    def _finished(self, rows: _Rows, look: Callable[[], None]) -> list[Any]:
        while rows.left:
            for output in rows.about.engine.llm_engine.step():
                if output.finished:
                    whose, index = self._asked.pop(output.request_id)
                    whose.results[index] = output
                    whose.left -= 1
            self._beat("answering")
            look()
        return rows.results

    # --- weights -----------------------------------------------------------------------------------------

    def _load(self, source: str, adapters: Sequence[str], canaries: Canaries) -> tuple[Any, dict[str, Any]]:
        """The engine of the model's architecture, holding the model's weights, and the request of each adapter."""
        self._beat("fetching")
        # Of weights that were answered with before, only those that the next ones are compared with are read again.
        let_go([each.probed[0] for each in self._engines.values() if each.probed])
        try:
            folder = local_folder(source, lambda: self._beat("fetching"))
        except (OSError, ValueError) as error:  # such as a gated or private repository
            raise EngineError(f"{source}: its weights cannot be had: {_line(error)}") from error
        self._beat("loading")
        places = {adapter: adapter_folder(adapter) for adapter in adapters}
        architecture = self._architecture_of(source, folder) + ("-lora" if adapters else "")
        standing = self._engines.get(architecture)
        swapped = standing is None or standing.holds != source
        if swapped and not self._layout:
            # Its last tensors, while the first are put in place.
            Thread(target=read_ahead, args=(folder,), daemon=True).start()
        # Of weights that are held, adapters alone ask for them.
        shapes = tensor_shapes(folder) if swapped or adapters else {}
        ranks = [
            _slot_rank(check_adapter(place, source, shapes), f"{source}{ON}{adapter}")
            for adapter, place in places.items()
        ]
        rank = max(ranks, default=0)
        if standing is not None and standing.rank < rank:
            self._discard(architecture)
            standing, swapped = None, True
        if standing is None:
            self._make_room()
            standing = _Standing(llm=self._start(folder, source, rank), rank=rank, shapes=shapes)
            self._engines[architecture] = standing
        elif swapped:
            self._swap(architecture, folder, source, shapes)
        if swapped:
            self._compare_with_former(architecture, folder, source)
        for adapter, place in places.items():
            if adapter not in standing.requests:
                standing.requests[adapter] = self._take(standing.llm, place, f"{source}{ON}{adapter}")
        if swapped or adapters:
            asked: list[tuple[str | None, str]] = [*places.items()] if adapters else [(None, folder)]
            stored = {each: canaries.get(each) or Canary.beside(place) for each, place in asked}
            self._compare_with_stored(standing, source, {each: found for each, found in stored.items() if found})
        standing.holds = source
        return standing.llm, standing.requests

    def _architecture_of(self, source: str, folder: str) -> str:
        if source not in self._architectures:
            try:
                self._architectures[source] = _architecture(folder)
            except (KeyError, OSError, ValueError) as error:
                raise EngineError(f"{source}: its tokenizer or config.json cannot be read: {_line(error)}") from error
        return self._architectures[source]

    def _take(self, llm: Any, folder: str, name: str) -> Any:
        """Have the engine read an adapter. Returns what its rows are asked with."""
        from vllm.lora.request import LoRARequest

        number = next(self._numbers)
        request = LoRARequest(lora_name=str(number), lora_int_id=number, lora_path=folder)
        try:
            llm.llm_engine.add_lora(request)
        except (AssertionError, RuntimeError, ValueError, KeyError) as error:
            raise EngineError(f"{name}: vLLM cannot load it: {_line(error)}; {_MERGE}") from error
        return request

    def _swap(self, architecture: str, folder: str, source: str, shapes: Mapping[str, list[int]]) -> None:
        standing = self._engines[architecture]
        # vLLM's reload leaves what a file lacks as it was.
        if difference := shape_difference(shapes, standing.shapes):
            raise EngineError(f"{source}: its weights do not fit its config.json: {difference}")
        standing.holds = None  # until the new ones are known to be right, nobody knows what it holds
        standing.requests = {}  # vLLM's reload drops adapters; other numbers keep their cached prefixes apart
        try:
            standing.llm.collective_rpc("reload_from", args=(folder,))
        except (AssertionError, ValueError, KeyError) as error:
            # Of names and shapes that fit, a RuntimeError is a worker or a device that has gone: tried again.
            self._discard(architecture)
            raise EngineError(f"{source}: its weights do not fit its config.json: {_line(error)}") from error
        # Cached prefixes were computed by the weights that have just gone.
        if not standing.llm.reset_prefix_cache():
            raise EngineError(f"{source}: vLLM did not reset its prefix cache after a weight swap")

    def _compare_with_former(self, architecture: str, folder: str, source: str) -> None:
        """Raise EngineError if the weights answer exactly as those before them did, and the files differ."""
        standing = self._engines[architecture]
        now = self._logprobs(standing.llm, [_PROBE], [None])[0]
        former, before = standing.probed or (folder, None)
        standing.probed = (folder, now)
        if now == before and former != folder and _digest(former) != _digest(folder):
            self._discard(architecture)
            raise EngineError(f"{source}: the engine still answers with the weights of {former} after a swap")

    def _compare_with_stored(self, standing: _Standing, source: str, canaries: Canaries) -> None:
        """Raise EngineError, with its name, for a model or an adapter that does not answer as it did in training."""
        tokenizer = standing.llm.get_tokenizer()
        texts = [tokenizer.encode(text, add_special_tokens=False) for text in CANARY]
        requests = [None if each is None else standing.requests[each] for each in canaries for _ in texts]
        found = [fmean(values) for values in self._logprobs(standing.llm, texts * len(canaries), requests)]
        for number, (adapter, canary) in enumerate(canaries.items()):
            own = found[number * len(texts) : (number + 1) * len(texts)]
            distance = max(abs(now - stored) for now, stored in zip(own, canary.logprobs, strict=True))
            if not distance <= TOLERANCE[self._dtype]:
                raise EngineError(
                    f"{source if adapter is None else f'{source}{ON}{adapter}'}: the engine's log-probabilities are "
                    f"{distance:.3f} nats per token from those that training stored (at most "
                    f"{TOLERANCE[self._dtype]:g} in {self._dtype}): stale, damaged or wrong weights"
                )

    def _logprobs(self, engine: Any, prompts: Sequence[Sequence[int]], adapters: Sequence[Any]) -> list[list[float]]:
        """Of each token but the first, given those before it."""
        from vllm import SamplingParams

        wanted = [SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0) for _ in prompts]
        made = []
        for ids, result in zip(prompts, self._run(engine, [list(p) for p in prompts], wanted, adapters), strict=True):
            if isinstance(result, Refusal):
                raise EngineError(f"the canary of {len(ids)} tokens cannot be computed: {result.detail}")
            each = zip(ids[1:], result.prompt_logprobs[1:], strict=True)
            made.append([float(options[token].logprob) for token, options in each])
        return made

    def _make_room(self) -> None:
        import torch

        limit = _RESIDENT_GPU if torch.cuda.is_available() else _RESIDENT_CPU
        while len(self._engines) >= limit:
            self._discard(next(iter(self._engines)))

    def _discard(self, architecture: str) -> None:
        import torch

        llm = self._engines.pop(architecture).llm
        # A broken one may not answer, which is not to hide why it is let go: `_start` has the process replaced then.
        with suppress(AssertionError, RuntimeError, ValueError, KeyError):
            llm.collective_rpc("unpin")
        llm.llm_engine.engine_core.shutdown()
        del llm
        self._had_another = True
        gc.collect()  # what it held is held by cycles
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        give_back_freed_memory()

    def _start(self, folder: str, source: str, rank: int) -> Any:
        import torch
        from vllm import LLM

        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not gpus:
            keep_freed_memory()
        arguments = engine_arguments(self._dtype, self._max_model_len, gpus, self._layout, self._memory_share)
        if rank:
            slots = min(_SLOTS_GPU if gpus else _SLOTS_CPU, max(1, _SLOT_RANKS // rank))
            arguments |= {"enable_lora": True, "max_loras": slots, "max_lora_rank": rank}
        try:
            return LLM(model=folder, **arguments)
        except (AssertionError, RuntimeError, ValueError, KeyError, OSError) as error:
            if gpus and self._had_another:  # which may have left something on the GPU; a new process begins clean
                raise RuntimeError(f"{source}: it does not start after another engine: {_line(error)}") from error
            mend = f"; {_MERGE}" if rank else ""
            raise EngineError(f"{source}: vLLM cannot load it: {_line(error)}{mend}") from error


def _prompt_text(tokenizer: Any, template: str | None, chat: Sequence[Message]) -> str | Refusal:
    """The text of a prompt; without a template that of the messages."""
    from jinja2 import TemplateError

    if not any(turn.content for turn in chat):
        return Refusal(reason="no prompt", detail=f"{len(chat)} messages without text")
    if template is None:
        return "".join(turn.content for turn in chat)
    turns = [{"role": turn.role, "content": turn.content} for turn in chat]
    try:
        text: str = tokenizer.apply_chat_template(
            turns, chat_template=template, tokenize=False, add_generation_prompt=True
        )
    except (TemplateError, TypeError, ValueError, IndexError) as error:
        return Refusal(reason="template", detail=_line(error))
    return text


def _encoded(tokenizer: Any, texts: Sequence[str], *, special: bool) -> list[list[int] | Refusal]:
    """Token ids of each text; of one that cannot be encoded, why."""
    if not texts:
        return []
    try:
        return list(tokenizer(list(texts), add_special_tokens=special)["input_ids"])
    except (TypeError, ValueError, IndexError) as error:  # UnicodeEncodeError is a ValueError
        if len(texts) == 1:
            return [Refusal(reason="template", detail=_line(error))]
    return [each for text in texts for each in _encoded(tokenizer, [text], special=special)]


NEEDS_GPU = (
    "resources.engine_gpus: 0, and the vLLM that is installed is built for GPUs, and serves nothing without; set 1, or "
    "install the CPU build (remove .venv, then make environment ACCELERATOR=cpu)"
)
"""Said of an engine."""


def import_vllm() -> None:
    """Raises ImportError. Without garbage collection, which would look through the 700,000 objects of vLLM's modules
    again and again: for a third of the time."""
    gc.disable()
    try:
        from vllm import LLM  # noqa: F401
    finally:
        gc.freeze()
        gc.enable()


def built_for_gpus() -> bool:
    """Whether the installed vLLM is, by its own rule; False where there is none."""
    try:
        return "cpu" not in version("vllm")
    except PackageNotFoundError:  # vllm-cpu has another name
        return False


def refusal(resources: Resources, models: Iterable[str]) -> str | None:
    """Why this machine's vLLM cannot serve all of the models, or None. Of a cluster that is joined, each node knows."""
    served = resources.engine_gpus or all(each in resources.parallel for each in models)
    return None if served or os.environ.get("RAY_ADDRESS") or not built_for_gpus() else NEEDS_GPU


def engine_arguments(
    dtype: str, max_model_len: int, gpus: int, layout: Layout | None, memory_share: float | None = None
) -> dict[str, Any]:
    """What vLLM is started with. `gpus`: that this process sees, 0 on a CPU; the others as `Engine` takes them."""
    arguments: dict[str, Any] = {
        "dtype": dtype,
        "max_model_len": max_model_len,
        "enforce_eager": not gpus,
        "enable_prefix_caching": True,
        "trust_remote_code": False,
        "load_format": "safetensors",
        "config_format": "hf",  # of a folder that has Mistral's own files, too, those that training reads
        "tokenizer_mode": "hf",
        "max_num_seqs": _MAX_SEQS,
        "worker_extension_cls": "capgap_ray.stages.engine.WeightReloader",
    }
    if layout or gpus:
        arguments["long_prefill_token_threshold"] = min(_PREFILL_TOKENS_GPU, max_model_len)
        if memory_share is not None:
            arguments["gpu_memory_utilization"] = memory_share
    if layout:
        return arguments | {
            "tensor_parallel_size": layout.tensor,
            "pipeline_parallel_size": layout.pipeline,
            "distributed_executor_backend": "ray",
            "safetensors_load_strategy": "prefetch",  # each worker for itself, on its own node
        }
    if gpus:
        return arguments | {"tensor_parallel_size": gpus}
    # Whole prefills only: for a part of one vLLM draws a token too, and takes the draw back from the request's
    # seeded generator, which a CPU generator cannot do ("CPU Generator does not use offset").
    return arguments | {
        "kv_cache_memory_bytes": _KV_BYTES_CPU,
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(_BATCH_TOKENS_CPU, max_model_len),
    }


def _line(error: BaseException) -> str:
    """The error in one line of bounded length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}…"


def _slot_rank(rank: int, source: str) -> int:
    for known in _LORA_RANKS:
        if rank <= known:
            return known
    raise EngineError(f"{source}: an adapter of rank {rank} is more than vLLM's {_LORA_RANKS[-1]}; {_MERGE}")


@cache
def _distribution() -> str:
    """The name of the installed vLLM: `vllm` or, on a CPU, `vllm-cpu`."""
    from importlib.metadata import packages_distributions

    return packages_distributions()["vllm"][0]


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def chat_template(folder: str) -> str | None:
    """The model's chat template, from its own file or from the tokenizer's configuration; None where it has none."""
    own, settings = Path(folder) / "chat_template.jinja", Path(folder) / "tokenizer_config.json"
    if own.is_file():
        return own.read_text()
    found = json.loads(settings.read_text()).get("chat_template") if settings.is_file() else None
    if isinstance(found, list):  # several by name
        found = {each["name"]: each["template"] for each in found}.get("default")
    return found or None


_NOT_SHAPE = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "use_cache", "pad_token_id")
"""What shapes neither weights nor answers. The engine's own dtype is set for all models, and nothing is padded."""


def _architecture(folder: str) -> str:
    """Equal for two models that one engine can serve: configuration and tokenizer as transformers reads them, since its
    versions write one and the same in different words (`rope_theta` and `rope_parameters`).
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False).to_dict()
    except (KeyError, ValueError):  # of a kind that vLLM knows and transformers does not
        config = json.loads((Path(folder) / "config.json").read_text())
    shape = json.dumps(_shaping(config), sort_keys=True, default=str)
    return hashlib.sha256(f"{shape}\0{_words(folder)}".encode()).hexdigest()


_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "tokenizer.model")
_KNOWN_WORDS: dict[bytes, str] = {}
"""Hash of a tokenizer's files -> what it does. To parse a large vocabulary takes half a second, and the checkpoints of
one student have the same files."""


def _words(folder: str) -> str:
    """All that a tokenizer does, as transformers reads it."""
    from transformers import AutoTokenizer

    files = [Path(folder) / name for name in _TOKENIZER_FILES]
    digest = hashlib.sha256(b"\0".join(file.read_bytes() if file.is_file() else b"" for file in files)).digest()
    if digest not in _KNOWN_WORDS:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        if backend := getattr(tokenizer, "backend_tokenizer", None):
            backend.no_truncation()
            backend.no_padding()
            _KNOWN_WORDS[digest] = backend.to_str()
        else:
            _KNOWN_WORDS[digest] = json.dumps(tokenizer.get_vocab(), sort_keys=True)
    return _KNOWN_WORDS[digest]


def _shaping(config: Any) -> Any:
    """Less `_NOT_SHAPE`, in the parts of a configuration, too."""
    if not isinstance(config, dict):
        return config
    return {str(key): _shaping(value) for key, value in config.items() if key not in _NOT_SHAPE}


def _digest(folder: str) -> str:
    """Of the weights' files; computed only where two models answer alike."""
    digest = hashlib.sha256()
    for file in weight_files(Path(folder)):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
