"""A process of the run that goes with its node is told in one line."""

import os
import signal

import pytest
import ray

from capgap_ray.settings import Resources
from capgap_ray.stages.cluster import LostError, cluster


class Doomed:
    def end(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_lost_is_one_line_that_says_how_to_go_on() -> None:
    with pytest.raises(LostError, match="the same command goes on") as told, cluster(Resources(), workers=1):
        ray.get(ray.remote(Doomed).remote().end.remote())
    assert "\n" not in str(told.value)
