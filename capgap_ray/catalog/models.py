"""Models by name, and what can be known of a model folder without loading it."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, ClassVar

EMBEDDED = Path(__file__).parent.parent / "tiny" / "models"
_HASH_LIMIT = 1 << 30
"""Bytes: a folder above this must name its revision, because hashing it whole would take too long."""
_SAMPLES, _SAMPLE_BYTES = 16, 1 << 16
"""Of each file of such a folder, evenly spread."""


CONFIG = "config.json"
SECOND_COPY = "consolidated*.safetensors"
"""All weights again, under Mistral's own names; neither fetched nor read."""

MOVING = "@main"
"""End of the source of a Hub model without a revision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An OpenAI-compatible API that answers for a model. Holds the name of its key's variable, never the key."""

    PREFIX: ClassVar[str] = "endpoint:"

    url: str
    model: str
    key_env: str | None = None
    requests_per_minute: int | None = None
    concurrency: int = 16
    timeout_s: float = 600.0
    retries: int = 6

    @property
    def source(self) -> str:
        """As `Model.source`: how to reach it, in one text that is part of no identity."""
        return self.PREFIX + json.dumps(asdict(self), sort_keys=True)

    def key(self) -> str:
        """The key from the environment; empty where it is not set, or none is wanted."""
        return os.environ.get(self.key_env, "").strip() if self.key_env is not None else ""

    @classmethod
    def from_source(cls, source: str) -> Endpoint:
        return cls(**json.loads(source.removeprefix(cls.PREFIX)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Where a model comes from."""

    source: str | Endpoint
    """A local folder in Hugging Face layout, a Hub id, or an API."""
    revision: str | None = None
    """Hub commit, or a name for a large local folder's content, of which samples count besides; small folders are
    identified by content. Of an endpoint: any name for the weights behind it."""
    parameters: int | None = None
    """Number of weights; None for a local folder, whose files say it."""


def _embedded(name: str) -> ModelSpec:
    return ModelSpec(source=str(EMBEDDED / name))


MODELS: dict[str, ModelSpec] = {
    **{
        name: _embedded(name)
        for name in (
            "tiny-teacher-small",
            "tiny-teacher-large",
            "tiny-teacher-long",
            "tiny-student-0.15m",
            "tiny-student-0.5m",
            "tiny-judge",
        )
    },
    "qwen2.5-0.5b": ModelSpec(source="Qwen/Qwen2.5-0.5B-Instruct", parameters=494_032_768),
    "qwen2.5-1.5b": ModelSpec(source="Qwen/Qwen2.5-1.5B-Instruct", parameters=1_543_714_304),
    "qwen2.5-3b": ModelSpec(source="Qwen/Qwen2.5-3B-Instruct", parameters=3_085_938_688),
    "qwen2.5-7b": ModelSpec(source="Qwen/Qwen2.5-7B-Instruct", parameters=7_615_616_512),
    "qwen2.5-14b": ModelSpec(source="Qwen/Qwen2.5-14B-Instruct", parameters=14_770_033_664),
    "qwen2.5-32b": ModelSpec(source="Qwen/Qwen2.5-32B-Instruct", parameters=32_763_876_352),
    "qwen2.5-72b": ModelSpec(source="Qwen/Qwen2.5-72B-Instruct", parameters=72_706_203_648),
    "qwq-32b-preview": ModelSpec(source="Qwen/QwQ-32B-Preview", parameters=32_763_876_352),
    "gemma-2-9b": ModelSpec(source="google/gemma-2-9b-it", parameters=9_241_705_984),
    "gemma-2-27b": ModelSpec(source="google/gemma-2-27b-it", parameters=27_227_128_320),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model as the plan knows it."""

    name: str
    source: str
    """The path of a folder, absolute, or `<Hub id>@<revision>`, or `Endpoint.source`."""
    identity: str
    """What enters the key of every step that runs it: content hash, or Hub id and revision; of an endpoint its name
    here, its model's name there and its revision, so that the same model elsewhere is the same."""
    weights: str
    """Equal for two models of the same weights, whatever they are called here and whatever revision is declared: a
    folder's content, Hub id and revision, or an endpoint's address and its model's name there."""
    parameters: int
    chat_template: str | None = None
    """Jinja text in place of the tokenizer's own."""

    @property
    def has_weights(self) -> bool:
        """False for an endpoint, which can be asked and not trained."""
        return not self.source.startswith(Endpoint.PREFIX)


def resolve(name: str, spec: ModelSpec) -> Model:
    """Look at a model without loading it. Raises ValueError that names the model and the mend."""
    if isinstance(spec.source, Endpoint):
        if spec.parameters is None:
            raise ValueError(f"model {name!r}: give `parameters`; an endpoint does not tell it (a guess will do)")
        identity = f"endpoint/{name}/{spec.source.model}@{spec.revision or 'undeclared'}"
        return Model(
            name=name,
            source=spec.source.source,
            identity=identity,
            weights=f"{Endpoint.PREFIX}{spec.source.url.rstrip('/')}/{spec.source.model}",
            parameters=spec.parameters,
        )
    folder = Path(spec.source)
    if not folder.is_dir():
        if not is_hub_id(spec.source):
            raise ValueError(
                f"model {name!r}: source {spec.source!r} is no folder here, and no Hub id (organisation/name); give one"
            )
        if spec.parameters is None:
            raise ValueError(f"model {name!r}: give `parameters` (number of weights) for a Hub model")
        pinned = f"{spec.source}@{spec.revision}" if spec.revision else f"{spec.source}{MOVING}"
        return Model(name=name, source=pinned, identity=pinned, weights=pinned, parameters=spec.parameters)
    files = weight_files(folder)
    if not files or not (folder / CONFIG).is_file():
        raise ValueError(f"model {name!r}: {folder} needs config.json and *.safetensors (pickles are never read)")
    try:
        _read_config(folder / CONFIG)
    except ValueError as error:
        raise ValueError(f"model {name!r}: {error}") from None
    parameters = sum(_count(file, name) for file in files)
    sampled = _sampled_hash(folder)
    if spec.revision is not None:
        identity = f"{spec.revision}+{sampled}"  # two folders may have been given one name
    elif total_bytes(files) > _HASH_LIMIT:
        raise ValueError(f"model {name!r}: give `revision` (any name for its content): it is too large to hash")
    else:
        identity = content_hash(folder)
    place = str(folder.absolute())  # wherever a worker's own folder is
    return Model(name=name, source=place, identity=identity, weights=sampled, parameters=parameters)


def is_hub_id(name: str) -> bool:
    """Whether it has the form `org/name`."""
    return name.count("/") == 1 and not name.startswith((".", "/", "~"))


def weight_files(folder: Path) -> list[Path]:
    """The model's safetensors files in order, without the second copy that Mistral's repositories have."""
    return sorted(file for file in folder.glob("*.safetensors") if not fnmatch(file.name, SECOND_COPY))


def total_bytes(files: Iterable[Path]) -> int:
    return sum(file.stat().st_size for file in files)


def _count(file: Path, name: str) -> int:
    """Number of weights, read from the safetensors header (8-byte length, then JSON)."""
    with file.open("rb") as stream:
        prefix = stream.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        if not 2 <= length <= 100_000_000:
            raise ValueError(f"model {name!r}: {file} is not a safetensors file")
        try:
            header = json.loads(stream.read(length))
        except ValueError as error:
            raise ValueError(f"model {name!r}: {file} is damaged (unreadable header); copy it again") from error
    total = 0
    for key, tensor in header.items():
        if key != "__metadata__":
            count = 1
            for size in tensor["shape"]:
                count *= size
            total += count
    return total


def known_config(source: str) -> dict[str, Any] | None:
    """The config.json of a folder, or of a Hub model in this machine's cache; None where there is none to be read."""
    file = Path(source) / CONFIG
    if not Path(source).is_dir():
        from huggingface_hub import try_to_load_from_cache

        name, _, revision = source.partition("@")
        cached = try_to_load_from_cache(name, CONFIG, revision=revision or None)
        file = Path(cached) if isinstance(cached, str) else file
    with suppress(OSError, ValueError):  # `resolve` names a folder's; of the cache, who fetches the model does
        return _read_config(file)
    return None


def known_configs(sources: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """`known_config` of those that have one. `sources`: name -> folder or `<Hub id>@<revision>`."""
    return {name: config for name, source in sources.items() if (config := known_config(source)) is not None}


def _read_config(file: Path) -> dict[str, Any]:
    """Raises ValueError, naming the file, where it is no JSON object."""
    try:
        found = json.loads(file.read_bytes())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{file} is damaged (no JSON object); copy it again")
    return found


def _of_text(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a config.json that tells of the language model."""
    return config.get("text_config") or config


def vocabulary_of(config: Mapping[str, Any]) -> int | None:
    """How many words the model has, by its config.json; None where it does not say."""
    return _of_text(config).get("vocab_size")


def positions_of(config: Mapping[str, Any]) -> int | None:
    """How long a context the model has, by its config.json. None where it does not say, or stretches its positions
    (`rope_scaling`): vLLM then has its own reckoning."""
    of_text = _of_text(config)
    stretched = of_text.get("rope_scaling") or "factor" in json.dumps(of_text.get("rope_parameters") or {})
    return None if stretched or "model_max_length" in of_text else of_text.get("max_position_embeddings")


def too_long(max_model_len: int, configs: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The mistake in one line where a model is known to have a shorter context than the engine is to give it.
    `configs`: name -> config.json."""
    for name, config in configs.items():
        most = positions_of(config)
        if most is not None and max_model_len > most:
            return (
                f"engine.max_model_len: {max_model_len} is more than the {most} positions of model {name!r}; set it to "
                f"{most} or less"
            )
    return None


def unsplit(name: str, gpus: int, config: Mapping[str, Any]) -> str | None:
    """What is wrong and the mend where so many GPUs cannot share the layers of a model of that config.json; None where
    they can, or it does not say."""
    heads = _of_text(config).get("num_attention_heads")
    if heads is None or heads % gpus == 0:
        return None
    fewer = next(n for n in range(min(gpus, heads), 0, -1) if heads % n == 0)
    return f"{gpus} GPUs cannot share the {heads} attention heads of model {name!r}; set {fewer}"


_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
"""What configurations call the number of experts of a layer; none or 0 in a dense model."""
_WINDOW_OFF = ("qwen2", "qwen3", "smollm3")
"""Kinds of models that use the `sliding_window` of their configuration only with `use_sliding_window`."""
TRAINED_BY = (
    *("max_position_embeddings", "layer_types", "sliding_window", "attn_logit_softcapping"),
    *_EXPERTS,
)
"""What `untrainable` looks at where transformers has read the configuration."""


def untrainable(student: str, config: Mapping[str, Any], cutoff_tokens: int) -> str | None:
    """In one line, why a student of this configuration cannot be trained on rows of so many tokens; None where nothing
    speaks against it. `student`: its name for people.

    `config`: config.json as it is, or those of `TRAINED_BY` that it has as transformers reads it, which fills in what a
    file may leave out: what cannot be seen of the file is seen before the training.
    """
    config = _of_text(config)
    positions = config.get("max_position_embeddings")
    if positions is not None and cutoff_tokens > positions:
        return (
            f"sft.cutoff_tokens: {cutoff_tokens} is more than the {positions} positions of student {student}; set it "
            f"to {positions} or less"
        )
    kinds = set(config.get("layer_types") or ()) - {"full_attention"}
    slides = config.get("use_sliding_window", config.get("model_type") not in _WINDOW_OFF)
    if "layer_types" not in config and config.get("sliding_window") and slides:  # Mistral's, in every layer
        kinds = {"sliding_attention"}
    if kinds or config.get("attn_logit_softcapping"):
        return (
            f"student {student}: its attention is not plain ({', '.join(sorted(kinds)) or 'soft-capped logits'}), and "
            "would be trained as if it were; choose a student with full attention in every layer"
        )
    if any(config.get(name) for name in _EXPERTS):
        # Loaded, their weights are fused and have other names than in files, and "all-linear" leaves them out of LoRA.
        return f"student {student}: it is a mixture of experts, which is not trained here; choose a dense one"
    return None


def content_hash(folder: Path) -> str:
    """Of a model folder's weights, settings and template: 16 hex digits."""
    return _hash(folder, Path.read_bytes)


def _sampled_hash(folder: Path) -> str:
    """The same of a large folder: of long files their size and samples."""
    return _hash(folder, _samples)


def _hash(folder: Path, read: Callable[[Path], bytes]) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.suffix in (".safetensors", ".json", ".jinja"):
            digest.update(file.name.encode() + b"\0" + read(file))
    return digest.hexdigest()[:16]


def _samples(file: Path) -> bytes:
    size = file.stat().st_size
    if size <= _SAMPLES * _SAMPLE_BYTES:
        return file.read_bytes()
    with file.open("rb") as stream:
        pieces = [str(size).encode()]
        for number in range(_SAMPLES):
            stream.seek(number * (size - _SAMPLE_BYTES) // (_SAMPLES - 1))
            pieces.append(stream.read(_SAMPLE_BYTES))
    return b"\0".join(pieces)
