"""Model sources to local folders: what engines and trainers read."""

from __future__ import annotations

import json
import os
import platform
import re
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from capgap_ray.artifacts.fetch import copies, fetch, is_remote
from capgap_ray.artifacts.store import StoreError
from capgap_ray.catalog.models import SECOND_COPY, Endpoint, is_hub_id, total_bytes, weight_files

ON = "::"
"""Between a base model's source and the place of an adapter on it."""
_META = "__metadata__"
_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]
"""Configuration, tokenizer and safetensors: pickled weights and code are never fetched."""

_READ_BYTES = 1 << 23
_SMALL_BYTES = 1 << 26
"""Weights that are read from a disk sooner than a process begins."""

_LOOK_SECONDS = 1.0
"""Between two looks at what a download has brought."""

_NOT_SERVED = ("use_dora", "modules_to_save", "rank_pattern", "alpha_pattern", "layer_replication")
"""What a PEFT adapter can have and vLLM refuses or, as with patterns, does not read: it would scale them wrongly."""


class AdapterError(ValueError):
    """An adapter that cannot be put on its base; the message is one line for people."""


def split_source(source: str) -> tuple[str, str | None]:
    """The base model's source and where the adapter lies, if there is one. An endpoint (`http://[::1]/v1`) has none."""
    if source.startswith(Endpoint.PREFIX):
        return source, None
    base, _, adapter = source.partition(ON)
    return base, adapter or None


def adapter_folder(adapter: str) -> str:
    """The adapter's folder itself, or the node's copy of one on object storage."""
    return fetch(adapter, tuple(_FILES)) if is_remote(adapter) else adapter


def hub_id(source: str) -> str | None:
    """`org/name` of a Hub source, or of a snapshot in a Hub cache; None of any other folder."""
    if snapshot := re.search(r"/models--([^/]+?)--([^/]+)/snapshots/[^/]+/?$", source):
        return f"{snapshot[1]}/{snapshot[2]}"
    name = source.partition("@")[0]
    return name if is_hub_id(name) and not Path(source).is_dir() else None


def check_adapter(adapter: str, base: str, shapes: Mapping[str, list[int]] | None) -> int:
    """The rank of a LoRA adapter (a PEFT folder). Raises AdapterError unless it was made for the model `base`, as far
    as it says for which, and its tensors fit those of `shapes`, if they are known.
    """
    file = Path(adapter) / "adapter_config.json"
    weights = Path(adapter) / "adapter_model.safetensors"
    if not file.is_file() or not weights.is_file():
        raise AdapterError(f"adapter {adapter}: needs adapter_config.json and adapter_model.safetensors")
    config = json.loads(file.read_text())
    odd = [name for name in _NOT_SERVED if config.get(name)] + (
        ["bias"] if config.get("bias", "none") != "none" else []
    )
    if config.get("peft_type") != "LORA" or odd:
        had = f" ({', '.join(odd)} of its adapter_config.json)" if odd else ""
        raise AdapterError(f"adapter {adapter}: only plain LoRA is served{had}; merge it into its base first")
    made_for, ours = hub_id(config.get("base_model_name_or_path") or ""), hub_id(base)
    if made_for and ours and made_for.lower() != ours.lower():
        raise AdapterError(
            f"adapter {adapter}: it was made for {made_for} and not for {ours}; put it on its own base or, if they are "
            "the same weights, set base_model_name_or_path in its adapter_config.json"
        )
    if shapes is None:
        return int(config["r"])
    for name, shape in _shapes(weights).items():
        module, _, rest = name.removeprefix("base_model.model.").partition(".lora_")
        of_base = shapes.get(f"{module}.weight")
        fits = (
            of_base is not None and shape[1 if rest.startswith("A") else 0] == of_base[1 if rest.startswith("A") else 0]
        )
        if not fits:
            raise AdapterError(
                f"adapter {adapter}: {module} of shape {shape} does not fit base {base} ({of_base or 'has none'}); "
                f"it was made for {config.get('base_model_name_or_path')}"
            )
    return int(config["r"])


def known_shapes(source: str) -> dict[str, list[int]] | None:
    """As `tensor_shapes`, without fetching weights: of a Hub model from the headers alone. None where the Hub does not
    give them; the engine, which has the weights, knows them."""
    if Path(source).is_dir():
        return tensor_shapes(source)
    from huggingface_hub import get_safetensors_metadata
    from huggingface_hub.errors import NotASafetensorsRepoError, SafetensorsParsingError

    name, _, revision = source.partition("@")
    unknown: tuple[type[Exception], ...] = (*hub_failures(), NotASafetensorsRepoError, SafetensorsParsingError)
    try:
        found = get_safetensors_metadata(name, revision=revision or None)
    except unknown:
        return None
    return {tensor: facts.shape for file in found.files_metadata.values() for tensor, facts in file.tensors.items()}


def hub_failures() -> tuple[type[Exception], ...]:
    """What huggingface_hub raises: OSErrors, and those of its HTTP client, whichever that is in its version."""
    from huggingface_hub.errors import HfHubHTTPError

    return tuple(each for each in HfHubHTTPError.__mro__ if issubclass(each, Exception) and each is not Exception)


def tensor_shapes(folder: str) -> dict[str, list[int]]:
    """Tensor name -> shape, of all safetensors files of a model."""
    found: dict[str, list[int]] = {}
    for each in weight_files(Path(folder)):
        found |= _shapes(each)
    return found


def shape_difference(one: Mapping[str, list[int]], other: Mapping[str, list[int]]) -> str | None:
    """In words, the first tensor in which two models of one configuration differ; None where they do not.

    A head that is tied to the embeddings may be written or left out.
    """
    names = one.keys() | other.keys()
    if "lm_head.weight" not in one.keys() & other.keys():
        names -= {"lm_head.weight"}
    for name in sorted(names):
        if one.get(name) != other.get(name):
            return f"{name} has shape {one.get(name, 'none')} in place of {other.get(name, 'none')}"
    return None


def _shapes(file: Path) -> dict[str, list[int]]:
    """Tensor name -> shape, from the safetensors header (8-byte length, then JSON)."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header: dict[str, Any] = json.loads(stream.read(length))
    return {name: tensor["shape"] for name, tensor in header.items() if name != _META}


def check_shards(folder: str) -> None:
    """Every safetensors file of `folder` is as long as its header says. Raises ValueError that names the file."""
    for file in weight_files(Path(folder)):
        size = file.stat().st_size
        try:
            with file.open("rb") as stream:
                (length,) = struct.unpack("<Q", stream.read(8))
                header = json.loads(stream.read(length)) if length < size else {}
            needed = 8 + length + max(tensor["data_offsets"][1] for name, tensor in header.items() if name != _META)
        except (struct.error, ValueError, AttributeError, KeyError, TypeError):
            raise ValueError(f"{file.name} is no whole safetensors file; fetch it again") from None
        if size != needed:
            raise ValueError(f"{file.name} has {size:,} bytes, its header says {needed:,}; fetch it again")


def local_folder(source: str, arrived: Callable[[], None] = lambda: None) -> str:
    """The folder itself, the node's copy of one on object storage (`s3://...`), or the node's cached snapshot of
    `org/name@revision` from the Hugging Face Hub.

    `arrived` is called, from another thread, while bytes of it arrive, be it that another process fetches them. Raises
    StoreError where this node or object storage has no such folder, huggingface_hub's errors where the Hub cannot be
    reached and the snapshot is not cached.
    """
    if Path(source).is_dir():
        return source
    if is_remote(source):
        with _watched(lambda: copies(source), arrived):
            return fetch(source, tuple(_FILES))
    name, at, revision = source.partition("@")
    if not (at and is_hub_id(name)):
        raise StoreError(
            f"node {platform.node()} has no folder {source}; every node that works for the run needs it: put it on "
            "a file system that all nodes share, at one path, or name a model of the Hub in its place"
        )
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.file_download import repo_folder_name

    cached = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model")
    with _watched(lambda: [cached], arrived):
        return snapshot_download(name, revision=revision or None, allow_patterns=_FILES, ignore_patterns=SECOND_COPY)


def takes_time(source: str) -> bool:
    """Whether a model takes longer to fetch or to read than a process takes to begin with it."""
    folder = Path(source)
    return not folder.is_dir() or total_bytes(weight_files(folder)) > _SMALL_BYTES


def read_ahead(source: str) -> None:
    """Bring a model to this node and, where it takes at most half of the node's memory, into the system's cache of
    files. What cannot be had or read, whoever loads it meets, and tells."""
    with suppress(OSError, ValueError):
        files = weight_files(Path(local_folder(source)))
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if 2 * total_bytes(files) <= memory:
            for file in files:
                _into_memory(file)


def _into_memory(file: Path) -> None:
    """Sent nowhere, nothing of it is copied, as it would be by reading, and in pieces of that size a thread seldom
    waits for Python's lock: weights that are put in place meanwhile are there a fifth sooner."""
    with file.open("rb") as stream, open(os.devnull, "wb") as nowhere:
        at = 0
        while sent := os.sendfile(nowhere.fileno(), stream.fileno(), at, _READ_BYTES):
            at += sent


@contextmanager
def _watched(folders: Callable[[], Iterable[Path]], arrived: Callable[[], None]) -> Iterator[None]:
    ended = threading.Event()
    known = _on_disk(folders())

    def watch() -> None:
        nonlocal known
        while not ended.wait(_LOOK_SECONDS):
            if (now := _on_disk(folders())) != known:
                known = now
                arrived()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _on_disk(folders: Iterable[Path]) -> dict[str, tuple[int, int]]:
    """File -> its length and the blocks it has: one that got its whole length at the start still grows."""
    found = {}
    for folder in folders:
        for root, _, names in os.walk(folder):
            for path in (os.path.join(root, name) for name in names):
                with suppress(FileNotFoundError):
                    facts = os.lstat(path)
                    found[path] = facts.st_size, facts.st_blocks
    return found
