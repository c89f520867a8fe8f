"""Tasks by name: where the YAML of each lies."""

from __future__ import annotations

from pathlib import Path

_TINY = Path(__file__).parent.parent / "tiny" / "tasks"


def embedded_tasks() -> list[str]:
    """Names of the tasks that ship with the package."""
    return sorted(f"tiny/{file.stem}" for file in _TINY.glob("*.yaml"))


def task_path(name: str) -> Path:
    """The YAML file of a task: an embedded one by name, or a person's own by path.

    Raises ValueError that names the task and lists the known ones.
    """
    if name in embedded_tasks():
        return _TINY / f"{name.removeprefix('tiny/')}.yaml"
    if name.endswith((".yaml", ".yml")) and Path(name).is_file():
        return Path(name)
    raise ValueError(
        f"task {name!r} is unknown: give the path of an lm-eval YAML file, or one of {', '.join(embedded_tasks())}"
    )
