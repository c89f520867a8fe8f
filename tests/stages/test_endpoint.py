"""An endpoint as a model, against a small server that speaks the protocol, well or badly."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from capgap_ray.artifacts.store import Store
from capgap_ray.catalog.models import Endpoint
from capgap_ray.records import Message
from capgap_ray.rows import to_row
from capgap_ray.stages.endpoint import EndpointClient, EndpointError, endpoint_key
from capgap_ray.stages.engine import Ask, Decoding, Output, Refusal

DECODING = Decoding(temperature=0.7, top_p=0.9, max_tokens=5, stop=("\n\nQ:",), seed=0)
Reply = tuple[int, Any]
"""Status and body; a body that is no text is sent as JSON."""


def completion(text: Any = "fine", finish: str = "stop", **more: Any) -> Reply:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish, **more}
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    return 200, {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }


class Server(ThreadingHTTPServer):
    """Answers each request with what `script` says; keeps what it was asked."""

    def __init__(self, script: Callable[[dict[str, Any], int], Reply]) -> None:
        self.script = script
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.now = self.most = 0
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
            self.server.bodies.append({**body, "path": self.path})
            self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
            self.server.times.append(time.monotonic())
            number = len(self.server.bodies)
        status, answer = self.server.script(body, number)
        data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        with self.server.lock:
            self.server.now -= 1
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if isinstance(answer, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


Serve = Callable[[Callable[[dict[str, Any], int], Reply]], Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers = []

    def start(script: Callable[[dict[str, Any], int], Reply]) -> Server:
        servers.append(Server(script))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def ask(server: Server, *prompts: str, decoding: Decoding = DECODING, **settings: Any) -> list[Output | Refusal]:
    settings = {"retries": 1, "timeout_s": 5, **settings}
    spec = Endpoint(url=f"http://127.0.0.1:{server.server_port}/v1", model="big", **settings)
    asks = [Ask(chat=(Message(role="user", content=prompt),), seed=number) for number, prompt in enumerate(prompts)]
    return asyncio.run(EndpointClient(spec.source, endpoint_key(spec.source)).complete(asks, decoding))


def test_what_is_sent_and_what_comes_back(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPGAP_TEST_KEY", "sk-secret")
    server = serve(lambda body, _: completion(body["messages"][-1]["content"].upper(), stop_reason="\n\nQ:"))
    made = ask(server, "one", "two", key_env="CAPGAP_TEST_KEY")
    assert [(each.text, each.stop_reason) for each in made if isinstance(each, Output)] == [
        ("ONE", "\n\nQ:"),
        ("TWO", "\n\nQ:"),
    ]
    assert (made[0].prompt_tokens, made[0].completion_tokens) == (7, 2)  # type: ignore[union-attr]
    sent = min(server.bodies, key=lambda body: body["seed"])
    assert (sent["path"], sent["model"], sent["seed"]) == ("/v1/chat/completions", "big", 0)
    assert (sent["temperature"], sent["top_p"], sent["max_tokens"], sent["stop"]) == (0.7, 0.9, 5, ["\n\nQ:"])
    assert server.headers[0]["authorization"] == "Bearer sk-secret"


def test_a_model_that_calls_the_budget_otherwise_is_asked_again(serve: Serve) -> None:
    def script(body: dict[str, Any], _: int) -> Reply:
        if "max_tokens" in body:
            said = "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
            return 400, {"error": {"message": said, "type": "invalid_request_error"}}
        return completion(str(body["max_completion_tokens"]))

    server = serve(script)
    made = ask(server, "one", "two", concurrency=1)
    assert [each.text for each in made if isinstance(each, Output)] == ["5", "5"]
    assert ["max_tokens" in body for body in server.bodies] == [True, False, False], "found out once"


def test_a_base_model_is_sent_the_bare_text(serve: Serve) -> None:
    def script(body: dict[str, Any], _: int) -> Reply:
        status, reply = completion()
        return status, {**reply, "choices": [{"index": 0, "text": body["prompt"] + "!", "finish_reason": "stop"}]}

    server = serve(script)
    plain = Decoding(temperature=0.0, top_p=1.0, max_tokens=5, stop=(), seed=0, plain=True)
    (made,) = ask(server, "one", decoding=plain)
    assert isinstance(made, Output)
    assert made.text == "one!"
    assert (server.bodies[0]["path"], "stop" in server.bodies[0]) == ("/v1/completions", False)


def test_half_a_surrogate_pair_becomes_a_character_that_the_store_can_hold(serve: Serve, tmp_path: Path) -> None:
    replies = [
        completion("Let me see \ud800. So \ude00 is \U0001f600.", stop_reason="\udfff"),
        completion("no", "content_filter", message={"role": "assistant", "content": None, "refusal": "\ud800"}),
        (400, {"error": {"message": "no \ud800"}}),
    ]
    server = serve(lambda _, number: replies[number - 1])
    made = ask(server, "one", "two", "three", concurrency=1)
    assert isinstance(made[0], Output)
    assert (made[0].text, made[0].stop_reason) == ("Let me see \ufffd. So \ufffd is \U0001f600.", "\ufffd")
    store = Store(str(tmp_path))
    store.write_rows("completions.parquet", [to_row(made[0])])
    store.write_rows("quarantine.parquet", [to_row(each) for each in made[1:]])
    assert [row["reason"] for row in store.read_rows("quarantine.parquet")] == ["refused", "refused"]


def test_what_was_cut_off_is_repeated_once_with_the_larger_budget(serve: Serve) -> None:
    server = serve(lambda body, _: completion("x", "length" if body["max_tokens"] == 5 else "stop"))
    longer = Decoding(temperature=0.0, top_p=1.0, max_tokens=5, stop=(), seed=0, retry_truncated=50)
    (made,) = ask(server, "one", decoding=longer)
    assert isinstance(made, Output)
    assert made.finish_reason == "stop"
    assert [body["max_tokens"] for body in server.bodies] == [5, 50]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "answers 401; check the key in CAPGAP_TEST_KEY"),
        (403, "answers 403"),
        (404, "answers 404; check `endpoint`"),
    ],
)
def test_what_no_row_can_pass_ends_it(serve: Serve, monkeypatch: pytest.MonkeyPatch, status: int, message: str) -> None:
    monkeypatch.setenv("CAPGAP_TEST_KEY", "sk-secret")
    server = serve(lambda *_: (status, {"error": {"message": "bad key sk-secret"}}))
    with pytest.raises(EndpointError, match=message) as caught:
        ask(server, *"abcdef", key_env="CAPGAP_TEST_KEY", concurrency=2)
    assert "sk-secret" not in str(caught.value)
    assert len(server.bodies) <= 4, "the rest is not tried"


def test_a_key_that_is_not_set(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAPGAP_TEST_KEY", raising=False)
    with pytest.raises(EndpointError, match="environment variable CAPGAP_TEST_KEY"):
        ask(serve(lambda *_: completion()), "a", key_env="CAPGAP_TEST_KEY")


def test_too_many_requests_are_tried_again(serve: Serve) -> None:
    busy = (429, {"error": {"message": "slow down"}})
    server = serve(lambda _, number: busy if number <= 2 else completion())
    (made,) = ask(server, "one", retries=3)
    assert isinstance(made, Output)
    assert len(server.bodies) == 3
    gaps = [later - earlier for earlier, later in zip(server.times, server.times[1:], strict=False)]
    assert gaps[0] > 0.3, "it waits before it asks again"


@pytest.mark.parametrize(
    ("reply", "reason", "detail"),
    [
        ((429, {"error": {"message": "slow down"}}), "unavailable", "answers 429: .*slow down.* after 1 retries"),
        ((500, "<html>oops</html>"), "unavailable", "answers 500"),
        ((400, {"error": {"message": "maximum context length is 4096"}}), "overlong", "context length"),
        ((400, {"error": {"message": "no such role"}}), "refused", "no such role"),
        ((200, "<html>a portal</html>"), "bad answer", "a portal"),
        ((200, {"hello": "world"}), "bad answer", "no completion"),
        ((200, {"choices": [], "usage": None}), "bad answer", "no completion"),
        (completion("x", "content_filter"), "refused", "content filter"),
        (completion("x", "tool_calls"), "bad answer", "tool_calls"),
        (completion(["x"]), "bad answer", "finish_reason 'stop'"),
    ],
)
def test_what_one_row_meets_is_its_own(serve: Serve, reply: Reply, reason: str, detail: str) -> None:
    import re

    server = serve(lambda body, _: reply if body["messages"][0]["content"] == "bad" else completion())
    good, bad = ask(server, "good", "bad")
    assert isinstance(good, Output)
    assert isinstance(bad, Refusal)
    assert bad.reason == reason
    assert re.search(detail, bad.detail)


def test_an_empty_text_is_an_answer_unless_text_is_needed(serve: Serve) -> None:
    server = serve(lambda *_: completion(None))
    (made,) = ask(server, "one")
    assert isinstance(made, Output)
    needed = Decoding(temperature=0.0, top_p=1.0, max_tokens=5, stop=(), seed=0, text_needed=True)
    (made,) = ask(server, "one", decoding=needed)
    assert isinstance(made, Refusal)
    assert made.reason == "empty"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize(
    ("content", "thought", "text"),
    [
        ("It is 3.", "1 + 2\n", "<think>\n1 + 2\n</think>\n\nIt is 3."),
        ("\n\nIt is 3.", "1 + 2", "<think>\n1 + 2\n</think>\n\nIt is 3."),
        (None, "1 + 2", "<think>\n1 + 2"),  # cut off while it thinks
        ("It is 3.", None, "It is 3."),
        ("It is 3.", "", "It is 3."),
    ],
)
def test_the_think_block_is_kept(serve: Serve, field: str, content: Any, thought: Any, text: str) -> None:
    message = {"role": "assistant", "content": content, field: thought}
    (made,) = ask(serve(lambda *_: completion(message=message)), "one")
    assert isinstance(made, Output)
    assert made.text == text


def test_an_endpoint_that_is_gone_ends_it(serve: Serve) -> None:
    server = serve(lambda *_: completion())
    server.shutdown()
    server.server_close()
    with pytest.raises(EndpointError, match="no connection after 0 retries; 8 rows in a row"):
        ask(server, *map(str, range(100)), retries=0)


def test_what_had_come_back_comes_with_the_error(serve: Serve) -> None:
    def script(body: dict[str, Any], number: int) -> Reply:
        if number > 6:
            return 401, {"error": {"message": "the key has been revoked"}}
        cut = body["messages"][0]["content"] in ("b", "c") and body["max_tokens"] == 5
        return completion("x", "length" if cut else "stop")

    longer = Decoding(temperature=0.0, top_p=1.0, max_tokens=5, stop=(), seed=0, retry_truncated=50)
    with pytest.raises(EndpointError, match="answers 401") as caught:
        ask(serve(script), *"abcde", decoding=longer, concurrency=1)
    assert sorted(caught.value.made) == [0, 1, 3, 4], "what was cut and not repeated is not made"


def test_limits_hold(serve: Serve) -> None:
    def slow(*_: Any) -> Reply:
        time.sleep(0.05)
        return completion()

    server = serve(slow)
    ask(server, *map(str, range(12)), concurrency=3)
    assert server.most == 3
    server = serve(lambda *_: completion())
    begun = time.monotonic()
    ask(server, *map(str, range(6)), requests_per_minute=600)
    assert time.monotonic() - begun >= 0.5
