"""The YAML files, through lm-eval's own loader and task class."""

from pathlib import Path

import pytest

from capgap_ray.tiny.documents import few_shot_prompt
from capgap_ray.tiny.procedural import DESCRIPTIONS, TASKS, shots, task_items

FOLDER = Path(__file__).parents[2] / "capgap_ray/tiny/tasks"


@pytest.mark.parametrize("task", TASKS)
def test_lm_eval_renders_the_prompt_we_trained_on(task: str) -> None:
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    loaded = ConfigurableTask(config=load_yaml(FOLDER / f"{task}.yaml", resolve_func=True))
    rows = list(loaded.test_docs())
    item = task_items(task)[0]
    assert loaded.config.task == f"tiny_{task}" and len(rows) == 1000
    assert rows[0] == {
        "input": item.question,
        "target": item.target,
        "choices": list(item.choices),
        "short_cot": item.short_cot,
        "long_cot": item.long_cot,
    }
    rendered = loaded.fewshot_context(rows[0], num_fewshot=3)
    assert rendered == f"{DESCRIPTIONS[task]}\n\n{few_shot_prompt(shots(task), item.question)}"
    assert loaded.doc_to_target(rows[0]) == item.target
