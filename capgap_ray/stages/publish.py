"""Uploading a checkpoint to the Hugging Face Hub."""

from __future__ import annotations

import tempfile
from pathlib import Path

from capgap_ray.artifacts.store import Store

CARD = "README.md"


def push(store: Store, folder: str, card: str, repository: str, *, private: bool = True) -> str:
    """Upload a checkpoint's files and its card to `repository` (`org/name`); returns its address.

    `folder` is relative to the store. Weights, configuration, tokenizer and adapter go; states and logs stay.
    The token is huggingface_hub's own (HF_TOKEN, or `hf auth login`). Raises huggingface_hub's errors.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    made = api.create_repo(repository, private=private, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for file in store.files(folder):
            if file.startswith(("update-", "tensorboard/", "not-finite-")):
                continue
            target = Path(scratch) / file
            target.parent.mkdir(parents=True, exist_ok=True)
            store.download(f"{folder}/{file}", target)
        (Path(scratch) / CARD).write_text(card, encoding="utf-8")
        api.upload_folder(
            repo_id=made.repo_id, folder_path=scratch, commit_message="A distilled student, by capgap-ray"
        )
    return str(made)
