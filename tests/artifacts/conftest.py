"""Object storage on this machine: moto's S3 behind a door that can fail as a real one does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
BROKEN = b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"
DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
ANSWERS = {"500": ("500 Internal Server Error", BROKEN), "503": ("503 Slow Down", SLOW_DOWN), "403": ("403 No", DENIED)}


@dataclass
class Storage:
    """A bucket, and which of the coming requests fail and how."""

    address: str
    """`127.0.0.1:<port>`"""
    seen: list[str] = field(default_factory=list)
    """`METHOD path` of every request so far."""
    fails: Callable[[int, str], str | None] = lambda number, method: None
    """(number of the request since `fail`, method) -> a key of `ANSWERS`, `hang`, or None."""
    since: int = 0

    def uri(self, folder: str) -> str:
        return f"s3://bucket/{folder}?endpoint_override=http://{self.address}&region=us-east-1"

    def fail(self, fails: Callable[[int, str], str | None]) -> None:
        self.since = len(self.seen)
        self.fails = fails

    def door(self, application: Any) -> Any:
        def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            method = environ["REQUEST_METHOD"]
            self.seen.append(f"{method} {environ['PATH_INFO']}")
            failure = self.fails(len(self.seen) - 1 - self.since, method)
            if failure == "hang":
                time.sleep(6)  # longer than the client waits
                failure = "500"
            if failure is not None:
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                status, body = ANSWERS[failure]
                start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
                return [body]
            return application(environ, start_response)

        return answer


@pytest.fixture(scope="session")
def _storage() -> Iterator[Storage]:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, *_: object) -> None:
            pass

    made = Storage(address="")
    application = made.door(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    made.address = f"127.0.0.1:{server.server_port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        import boto3

        boto3.client("s3", endpoint_url=f"http://{made.address}", region_name="us-east-1").create_bucket(
            Bucket="bucket"
        )
        yield made
    server.shutdown()


@pytest.fixture
def storage(_storage: Storage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    """The bucket, healthy again after the test; between tries nobody waits."""
    monkeypatch.setattr("capgap_ray.artifacts.store._PAUSES_S", (0.0,))
    yield _storage
    _storage.fail(lambda number, method: None)
