"""Whether the Hub can be reached, asked before anything starts: its own loader gives up after 25 s only."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path

from capgap_ray.core.task_spec import TaskError, TaskSpec

_SECONDS = 5.0


def check_reachable(specs: Iterable[TaskSpec]) -> None:
    """See that there is a Hub at all, if a task needs a data set that is not in the local cache.

    `specs`: the tasks without local files. Any answer will do; whether the data set exists and may be read is found
    out when it is loaded. Raises TaskError, one line, that names the first data set in need.
    """
    needed = next((spec for spec in specs if spec.hub and "/" in spec.hub and not _cached(spec.hub)), None)
    if needed is None:
        return
    from huggingface_hub import constants

    try:
        if constants.HF_HUB_OFFLINE:
            raise urllib.error.URLError("HF_HUB_OFFLINE is set")
        urllib.request.urlopen(f"{constants.ENDPOINT}/api/datasets/{needed.hub}", timeout=_SECONDS).close()
    except urllib.error.HTTPError:
        return
    except OSError as error:
        raise unreachable(needed, error) from None


def unreachable(spec: TaskSpec, error: Exception) -> TaskError:
    """The one line for a data set that cannot be had."""
    reason = getattr(error, "reason", None) or type(error).__name__
    return TaskError(
        f"task {spec.name}: data set {spec.hub!r} could not be reached ({reason}); "
        f"give local files with data: {{{spec.name}: PATH}}"
    )


def _cached(hub: str) -> bool:
    """Whether the `datasets` library has prepared the data set before; it then needs no network."""
    from huggingface_hub.constants import HF_HOME

    folder = Path(os.environ.get("HF_DATASETS_CACHE", Path(HF_HOME) / "datasets"))
    return (folder / hub.replace("/", "___")).is_dir()
