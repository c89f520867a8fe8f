"""What is uploaded of a checkpoint; the Hub's client is a toy."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from capgap_ray.artifacts.store import Store
from capgap_ray.stages.publish import push


def test_weights_adapter_and_card_go_and_the_rest_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    store = Store(str(tmp_path))
    for name in ("model.safetensors", "adapter/adapter_config.json", "update-000002/model.safetensors"):
        store.write_bytes(f"train/cell/attempts/a/{name}", name.encode())
    store.write_bytes("train/cell/attempts/a/tensorboard/events.1", b"")
    push(store, "train/cell/attempts/a", "# card", "org/student")
    assert uploaded == {
        "model.safetensors": b"model.safetensors",
        "adapter/adapter_config.json": b"adapter/adapter_config.json",
        "README.md": b"# card",
    }
