"""Uploading a checkpoint to the Hugging Face Hub. The token is huggingface_hub's own (HF_TOKEN, or `hf auth login`)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from capgap_ray.artifacts.store import Store
from capgap_ray.stages.weights import hub_failures

CARD = "README.md"
"""The model card's name in a checkpoint's folder and on the Hub."""
_STAYS = ("update-", "tensorboard/", "not-finite-")


class PushError(ValueError):
    """The Hub refused, or cannot be reached; the message is one line."""


def check_push(repositories: Iterable[str]) -> None:
    """Raise PushError unless the Hub would take the names and knows the token."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, LocalTokenNotFoundError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    for name in repositories:
        try:
            validate_repo_id(name)
        except HFValidationError as error:
            raise PushError(f"{name!r} is no name for a repository ({_line(error)}); write organisation/name") from None
    try:
        HfApi().whoami()
    except LocalTokenNotFoundError:
        raise PushError("there is no token; set HF_TOKEN or run `hf auth login`, or remove push_to_hub") from None
    except hub_failures() as error:
        raise PushError(f"the Hub does not take the token, or cannot be reached ({_line(error)})") from None


def push(store: Store, folder: str, repository: str, *, private: bool = True) -> str:
    """Upload a checkpoint's files, its card among them, to `repository` (`org/name`); returns its address.

    `folder` is relative to the store. Weights, configuration, tokenizer, adapter, card and recipe go; states, logs and
    exports on the way stay. Raises PushError.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    # ValueError: a card that is refused; RuntimeError: a file that did not arrive.
    failures: tuple[type[Exception], ...] = (*hub_failures(), ValueError, RuntimeError)
    try:
        made = api.create_repo(repository, private=private, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            for file in store.files(folder):
                if not file.startswith(_STAYS):
                    target = Path(scratch) / file
                    target.parent.mkdir(parents=True, exist_ok=True)
                    store.download(f"{folder}/{file}", target)
            api.upload_folder(
                repo_id=made.repo_id, folder_path=scratch, commit_message="A distilled student, by capgap-ray"
            )
    except failures as error:
        raise PushError(_line(error)) from error
    return str(made)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
