"""Model sources to local folders: what engines and trainers read."""

from __future__ import annotations

from pathlib import Path

_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]
"""Configuration, tokenizer and safetensors: pickled weights and code are never fetched."""


def local_folder(source: str) -> str:
    """The folder itself, or the node's cached snapshot of `org/name@revision` from the Hugging Face Hub.

    Raises huggingface_hub's errors where the Hub cannot be reached and the snapshot is not cached.
    """
    if Path(source).is_dir():
        return source
    from huggingface_hub import snapshot_download

    name, _, revision = source.partition("@")
    return snapshot_download(name, revision=revision or None, allow_patterns=_FILES)
