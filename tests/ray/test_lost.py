"""A cluster that does not come up or is not there, and a process that goes with its node, are told in one line."""

import os
import signal
import socket
from typing import Any

import pytest
import ray

from capgap_ray.settings import Resources
from capgap_ray.stages.cluster import LostError, ResourcesError, cluster


class Doomed:
    def end(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_lost_is_one_line_that_says_how_to_go_on() -> None:
    with pytest.raises(LostError, match="the same command goes on") as told, cluster(Resources(), workers=1):
        ray.get(ray.remote(Doomed).remote().end.remote())
    assert "\n" not in str(told.value)


def test_ray_that_does_not_come_up_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(**settings: Any) -> None:
        raise Exception("The current node timed out during startup. This could happen because ...")

    monkeypatch.setattr(ray, "init", late)
    with pytest.raises(LostError, match="did not come up on this machine within 30 s"), cluster(Resources(), workers=1):
        pass


def test_an_address_where_no_cluster_is_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ResourcesError, match=f"RAY_ADDRESS: no cluster answers at {address}"):
        cluster(Resources(), workers=1).__enter__()
