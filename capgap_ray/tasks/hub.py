"""Whether the Hub can be reached and gives out the models, asked before anything starts: its own loader gives up on a
data set after 25 s only, and on a model in every engine anew."""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from capgap_ray.core.task_spec import TaskError, TaskSpec

_SECONDS = 5.0


class HubError(ValueError):
    """A model that the Hub does not give out; the message is one line with the mend."""


def check_reachable(specs: Iterable[TaskSpec]) -> None:
    """See that there is a Hub at all, if a task needs a data set that is not in the local cache.

    `specs`: the tasks and published sets without local files. Any answer will do; whether the data set exists and may
    be read is found out when it is loaded. Raises TaskError, one line, that names the first data set in need.
    """
    on_hub = (spec for spec in specs if spec.hub and "/" in spec.hub and not spec.files)
    needed = next((spec for spec in on_hub if not _cached(str(spec.hub))), None)
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


def check_models(sources: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """See that the Hub gives out the models that are not in the local cache: name -> config.json of those. Raises
    HubError on the first that it does not: unknown, private or gated. A Hub that does not answer says nothing: the
    nodes may have what they need.

    `sources`: name -> `<Hub id>@<revision>`, or a folder, which needs no Hub.
    """
    from huggingface_hub import constants, get_token

    found: dict[str, dict[str, Any]] = {}
    if constants.HF_HUB_OFFLINE:
        return found
    token = get_token()
    for name, source in sources.items():
        if Path(source).is_dir():
            continue
        hub, _, revision = source.partition("@")
        if (Path(constants.HF_HUB_CACHE) / f"models--{hub.replace('/', '--')}" / "snapshots").is_dir():
            continue
        request = urllib.request.Request(f"{constants.ENDPOINT}/{hub}/resolve/{revision}/config.json")
        if token:
            request.add_unredirected_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
                config = json.load(answer)
            if isinstance(config, dict):
                found[name] = config
        except urllib.error.HTTPError as error:
            if error.code in (401, 403, 404):
                raise HubError(
                    f"model {name!r}: {_refusal(hub, revision, error.headers.get('X-Error-Code'))}"
                ) from None
        except (OSError, http.client.HTTPException, ValueError):  # the last: not from the Hub, but from a proxy
            return found
    return found


def _refusal(hub: str, revision: str, code: str | None) -> str:
    if code == "GatedRepo":
        return f"{hub} is gated; accept its licence on the Hub and set HF_TOKEN to a token of yours"
    if code == "RevisionNotFound":
        return f"{hub} has no revision {revision!r} on the Hub"
    if code == "EntryNotFound":
        return f"{hub} has no config.json on the Hub; models are in Hugging Face layout"
    return f"{hub} is not on the Hub, or private; check its name, or set HF_TOKEN to a token that may read it"


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
