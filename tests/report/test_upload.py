"""The real client of the Hub against a server on loopback that answers as the Hub's API does."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from capgap_ray.artifacts.store import Store
from capgap_ray.report.model_card import model_card
from capgap_ray.results import Results
from capgap_ray.stages.publish import PushError, check_push, push

FOLDER = "train/cell/attempts/a"
TEACHERS = {"small": "tiny-teacher-small", "large": "tiny-teacher-large"}
TOKEN = "hf_made_up"


class Hub(ThreadingHTTPServer):
    """Keeps what is committed; large files come first and apart, as on the Hub."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.visibility: dict[str, str] = {}
        self.blobs: dict[str, bytes] = {}
        self.files: dict[str, bytes] = {}
        self.refuse = ""
        """A part of the path of what is refused."""


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, told: Any, status: int = 200) -> None:
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def _refused(self) -> bool:
        known = self.path.startswith("/blob/") or self.headers["Authorization"] == f"Bearer {TOKEN}"
        if known and not (self.server.refuse and self.server.refuse in self.path):
            return False
        self._answer({"error": "no"}, 401 if not known else 403)
        return True

    def do_GET(self) -> None:
        if not self._refused():
            known = self.path == "/api/whoami-v2"
            self._answer({"name": "somebody", "type": "user"} if known else {"error": "no"}, 200 if known else 404)

    def do_PUT(self) -> None:
        data = self._body()
        if not self._refused():
            self.server.blobs[self.path.rpartition("/")[2]] = data
            self._answer({})

    def do_POST(self) -> None:
        body = self._body()
        if self._refused():
            return
        hub, path = self.server, self.path.partition("?")[0]
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            if name in hub.visibility:
                self._answer({"error": "You already created this model repo", "url": f"{hub.url}/{name}"}, 409)
                return
            hub.visibility[name] = asked["visibility"]
            self._answer({"url": f"{hub.url}/{name}"})
        elif path == "/api/validate-yaml":
            front = yaml.safe_load(json.loads(body)["content"].split("---\n")[1])
            wrong = [name for name in ("base_model", "tags", "pipeline_tag") if name not in front]
            self._answer({"errors": [{"message": each} for each in wrong], "warnings": []}, 400 if wrong else 200)
        elif path.endswith("/preupload/main"):
            mode = {True: "lfs", False: "regular"}
            files = [
                {"path": each["path"], "uploadMode": mode[each["path"].endswith(".safetensors")], "shouldIgnore": False}
                for each in json.loads(body)["files"]
            ]
            self._answer({"files": files})
        elif path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**each, "actions": {"upload": {"href": f"{hub.url}/blob/{each['oid']}"}}}
                for each in json.loads(body)["objects"]
            ]
            self._answer({"transfer": "basic", "objects": objects})
        elif path.endswith("/commit/main"):
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    hub.files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    hub.files[value["path"]] = hub.blobs[value["oid"]]
            self._answer({"commitUrl": f"{hub.url}/org/student/commit/1", "commitOid": "1"})
        else:
            raise AssertionError(path)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # Xet is another service, not HTTP
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def checkpoint(tmp_path: Any, results: Results) -> tuple[Store, dict[str, bytes]]:
    """A store with one, and what of it goes to the Hub."""
    store = Store(str(tmp_path))
    first = results.checkpoints[0]
    card = model_card(results, first, first.arm, base_model="org/tiny", base_license="apache-2.0", teachers=TEACHERS)
    goes = {
        "model.safetensors": bytes(range(256)) * 100,
        "adapter/adapter_model.safetensors": b"adapter",
        "adapter/adapter_config.json": b"{}",
        "config.json": b'{"model_type": "qwen2"}',
        "recipe.json": b"{}",
        "README.md": card.encode(),
    }
    for name, data in {**goes, "update-000002/model.safetensors": b"x", "tensorboard/events.1": b"x"}.items():
        store.write_bytes(f"{FOLDER}/{name}", data)
    return store, goes


def test_a_checkpoint_arrives_whole_in_a_private_repository(
    hub: Hub, checkpoint: tuple[Store, dict[str, bytes]]
) -> None:
    store, goes = checkpoint
    check_push(["org/student"])
    assert push(store, FOLDER, "org/student") == f"{hub.url}/org/student"
    assert hub.visibility == {"org/student": "private"}
    assert hub.files == goes
    weights = goes["model.safetensors"]
    assert hub.blobs[hashlib.sha256(weights).hexdigest()] == weights, "large files go apart"
    read = ModelCard(hub.files["README.md"].decode())
    assert read.data.base_model == "org/tiny"
    assert read.data.license == "apache-2.0"
    assert read.data.tags == ["capgap-ray", "distillation"]
    for heading in ("Before and after", "Lineage", "Recipe", "Licences", "Versions"):
        assert f"## {heading}" in read.text
    store.write_bytes(f"{FOLDER}/recipe.json", b'{"updates": 2}')
    push(store, FOLDER, "org/student")
    assert hub.files["recipe.json"] == b'{"updates": 2}', "into the repository that is there"


@pytest.mark.parametrize(
    ("refuse", "said"),
    [("/api/repos", "403"), ("/preupload", "403"), ("/blob/", "Error while uploading"), ("/commit", "403")],
)
def test_a_refusal_at_any_step_is_one_line(
    hub: Hub, checkpoint: tuple[Store, dict[str, bytes]], refuse: str, said: str
) -> None:
    hub.refuse = refuse
    with pytest.raises(PushError, match=said) as refused:
        push(checkpoint[0], FOLDER, "org/student")
    assert "\n" not in str(refused.value)
    assert not hub.files


def test_a_card_that_the_hub_refuses_is_one_line(hub: Hub, checkpoint: tuple[Store, dict[str, bytes]]) -> None:
    store, _ = checkpoint
    store.write_bytes(f"{FOLDER}/README.md", b"---\ntags: [a]\n---\n# A card")
    with pytest.raises(PushError, match=r"Invalid metadata in README\.md. - base_model - pipeline_tag"):
        push(store, FOLDER, "org/student")
    assert not hub.files


def test_another_token_is_refused_before_anything(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(PushError, match="does not take the token"):
        check_push(["org/student"])
