"""Models that the Hub does not give out are named before anything starts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from capgap_ray.tasks.hub import HubError, check_models

ASKED: list[tuple[str, str | None]] = []
ANSWERS = {
    "org/open": (200, None),
    "org/gated": (403, "GatedRepo"),
    "org/nowhere": (401, "RepoNotFound"),
    "org/old": (404, "RevisionNotFound"),
    "org/pickled": (404, "EntryNotFound"),
    "org/broken": (500, None),
}


class Hub(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        ASKED.append((self.path, self.headers.get("Authorization")))
        status, code = ANSWERS["/".join(self.path.split("/")[1:3])]
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        self.wfile.write(b'{"model_type": "llama"}' if status == 200 else b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    server = HTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    ASKED.clear()
    yield
    server.shutdown()
    server.server_close()


def test_what_is_given_out_is_no_mistake() -> None:
    assert check_models({"a": "org/open@main", "b": "org/broken@main"}) == {"a": {"model_type": "llama"}}
    assert [(f"/org/{name}/resolve/main/config.json", "Bearer hf_secret") for name in ("open", "broken")] == ASKED


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("org/gated@main", "model 'mine': org/gated is gated; accept its licence on the Hub and set HF_TOKEN"),
        ("org/nowhere@main", "model 'mine': org/nowhere is not on the Hub, or private; check its name"),
        ("org/old@abc", "model 'mine': org/old has no revision 'abc'"),
        ("org/pickled@main", r"model 'mine': org/pickled has no config\.json"),
    ],
)
def test_what_is_not_given_out_is_named(source: str, message: str) -> None:
    with pytest.raises(HubError, match=message) as error:
        check_models({"mine": source})
    assert "hf_secret" not in str(error.value)


def test_what_is_cached_or_cannot_be_asked_is_left_to_the_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models--org--nowhere" / "snapshots").mkdir(parents=True)
    check_models({"mine": "org/nowhere@main"})
    assert ASKED == []
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    check_models({"mine": "org/gated@main"})
