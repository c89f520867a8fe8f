"""What is uploaded of a checkpoint, where the Hub's client is a toy; and what is refused before, where it is not."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from capgap_ray.artifacts.store import Store
from capgap_ray.stages.publish import PushError, check_push, push

FOLDER = "train/cell/attempts/a"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(str(tmp_path))
    names = ("model.safetensors", "README.md", "recipe.json", "adapter/adapter_config.json")
    for name in (*names, "update-000002/model.safetensors", "tensorboard/events.1", "not-finite-update-000001.json"):
        made.write_bytes(f"{FOLDER}/{name}", name.encode())
    return made


def test_weights_adapter_and_card_go_and_the_rest_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    uploaded: dict[str, bytes] = {}

    class Hub:
        def create_repo(self, name: str, *, private: bool, exist_ok: bool) -> Any:
            assert private
            assert exist_ok
            return SimpleNamespace(repo_id=name)

        def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> None:
            assert repo_id == "org/student"
            for file in Path(folder_path).rglob("*"):
                if file.is_file():
                    uploaded[str(file.relative_to(folder_path))] = file.read_bytes()

    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    push(store, FOLDER, "org/student")
    names = ("model.safetensors", "README.md", "recipe.json", "adapter/adapter_config.json")
    assert uploaded == {name: name.encode() for name in names}


def test_a_name_that_the_hub_refuses_is_named() -> None:
    with pytest.raises(PushError, match=r"'org/a\.\.b' is no name for a repository"):
        check_push(["org/student", "org/a..b"])


def test_no_token_and_no_hub_are_said_in_one_line(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(PushError, match="there is no token; set HF_TOKEN"):
        check_push(["org/student"])
    monkeypatch.setenv("HF_TOKEN", "hf_made_up")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(PushError, match="or cannot be reached"):
        check_push(["org/student"])
    with pytest.raises(PushError) as refused:
        push(store, FOLDER, "org/student")
    assert "\n" not in str(refused.value)
