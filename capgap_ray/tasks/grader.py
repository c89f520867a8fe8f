"""The metric of a task's own Python code, such as Minerva's over sympy, in a process that can be killed.

lm-eval runs such code on the model's text in its own process; its time limits are signals, which fail off the main
thread, and nothing bounds its memory.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from capgap_ray.killable import Killable, serve

GRADER_SECONDS = 3.0
"""For one answer."""


def graded(yaml: Path, docs: Sequence[dict[str, Any]], answers: Sequence[Any]) -> list[float]:
    """Return the task's first metric of each answer; 0 where it fails on that answer or is over its limits.

    That is logged; raises RuntimeError if it fails on every answer, since then the code is at fault.
    """
    scores: list[float] = []
    problems: list[str] = []
    with closing(Killable("capgap_ray.tasks.grader", str(yaml), seconds=GRADER_SECONDS)) as process:
        for doc, answer in zip(docs, answers, strict=True):
            score, problem = process.ask(doc, answer)
            problems += [problem] if problem else []
            scores.append(score or 0.0)
    if problems:
        said = f"{yaml.name}: its metric failed on {len(problems)} of {len(scores)} answers, last with {problems[-1]}"
        if len(problems) == len(scores) > 1:
            raise RuntimeError(said)
        logging.getLogger(__name__).warning("%s; they score 0", said)
    return scores


def main() -> None:
    from lm_eval.tasks._yaml_loader import load_yaml

    metric = load_yaml(sys.argv[1], resolve_func=True)["process_results"]
    serve(lambda doc, answer: float(next(iter(metric(doc, [answer]).values()))), float(sys.argv[2]))


if __name__ == "__main__":
    main()
