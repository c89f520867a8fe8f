"""The Ray shell: the only importer of Ray (and, in one file each, of vLLM and DeepSpeed). Thin.

Ray reads its environment when it is imported, so what has to be set is set here, before any stage imports it.
"""

import os
import secrets

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.25",  # how often results are polled; Ray's 2 s is long for small runs
    # A training that waits for its turn, or for a node to come up, has not failed (Ray's 60 s count as a failure).
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "3600",
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's newer output cannot be silenced
    # A process without GPUs of its own sees all of its node, which drivers of `resources.parallel` need: their workers
    # have them. Other engines and workers without GPUs are started with none visible.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
}
"""Passed on to every worker process. Who sets one of these in the environment decides."""

for _name, _value in SETTINGS.items():
    os.environ.setdefault(_name, _value)
if not os.environ.get("RAY_ADDRESS"):
    # On Linux, Ray's processes listen on all interfaces unless told, by this name, that no other machine will join.
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
if not any(os.environ.get(name) for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")):
    # A local cluster gets a token of its own; the file that Ray would make is readable by every user.
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
