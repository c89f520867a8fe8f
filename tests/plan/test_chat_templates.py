"""A chat template by name: what it renders, and where an experiment uses it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from capgap_ray.analysis import recipe_card
from capgap_ray.catalog.chat_templates import read_template, template_names
from capgap_ray.experiment import Experiment
from capgap_ray.mistakes import ExperimentError
from capgap_ray.plan import Plan, plan, resolve_models
from tests.plan.test_analysis import summary

Make = Callable[..., Experiment]
USER = {"role": "user", "content": "Q: 7 x 8?"}
ANSWER = {"role": "assistant", "content": "So 56."}
SYSTEM = {"role": "system", "content": "Solve.\n\n"}


def render(name: str, messages: list[dict[str, str]], *, asks: bool = False) -> str:
    """As transformers does it (`utils/chat_template_utils.py`)."""
    template = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(read_template(name))
    return template.render(messages=messages, add_generation_prompt=asks, bos_token="<bos>")


@pytest.mark.parametrize(
    ("name", "plain", "with_system"),
    [
        (
            "chatml",
            "<|im_start|>user\nQ: 7 x 8?<|im_end|>\n<|im_start|>assistant\nSo 56.<|im_end|>\n",
            "<|im_start|>system\nSolve.\n\n<|im_end|>\n<|im_start|>user\nQ: 7 x 8?<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            "qwen2.5",
            "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
            "<|im_start|>user\nQ: 7 x 8?<|im_end|>\n<|im_start|>assistant\nSo 56.<|im_end|>\n",
            "<|im_start|>system\nSolve.\n\n<|im_end|>\n<|im_start|>user\nQ: 7 x 8?<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            "llama3",
            "<bos><|start_header_id|>user<|end_header_id|>\n\nQ: 7 x 8?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nSo 56.<|eot_id|>",
            "<bos><|start_header_id|>system<|end_header_id|>\n\nSolve.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nQ: 7 x 8?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        (
            "gemma3",
            "<bos><start_of_turn>user\nQ: 7 x 8?<end_of_turn>\n<start_of_turn>model\nSo 56.<end_of_turn>\n",
            "<bos><start_of_turn>user\nSolve.\n\n\n\nQ: 7 x 8?<end_of_turn>\n<start_of_turn>model\n",
        ),
    ],
)
def test_each_renders_as_the_models_of_its_name(name: str, plain: str, with_system: str) -> None:
    assert render(name, [USER, ANSWER]) == plain
    assert render(name, [SYSTEM, USER], asks=True) == with_system
    assert render(name, [SYSTEM, USER, ANSWER]).startswith(with_system + ANSWER["content"]), "as training needs it"


def test_all_of_them_are_tested() -> None:
    assert template_names() == ("chatml", "gemma3", "llama3", "qwen2.5")


def keys(made: Plan) -> dict[str, set[str]]:
    """Stage -> keys of its steps."""
    found: dict[str, set[str]] = {}
    for step in made.steps():
        found.setdefault(step.stage, set()).add(step.key)
    return found


def planned(make: Make, **changes: Any) -> Plan:
    experiment = make(**changes)
    return plan(experiment, resolve_models(experiment))


def test_one_template_is_used_untouched_in_training_and_distilled(make: Make, tmp_path: Path) -> None:
    student = "tiny-student-0.15m"
    own = planned(make, students=[student])
    named = planned(make, students=[student], chat_templates={student: "chatml"})
    text = read_template("chatml")
    for (model, _), scored in {**named.measured, **named.baselines}.items():
        assert scored.complete.params.get("chat_template") == (text if model == student else None), (
            "teachers keep theirs"
        )
    assert all(cell.train.params["chat_template"] == text for cell in named.cells)
    assert all("chat_template" not in step.params for step in own.steps()), "identities of before stay"
    assert not keys(own)["train"] & keys(named)["train"]
    assert keys(own)["examples"] == keys(named)["examples"]
    assert keys(own)["audit"] != keys(named)["audit"], "it is made of the untouched models' answers"
    file = tmp_path / "mine.jinja"
    file.write_text(text)
    assert keys(planned(make, students=[student], chat_templates={student: str(file)})) == keys(named), "a label"
    cell = named.cells[0]
    assert recipe_card(named.experiment, cell, summary(cell.train)).chat_template == "chatml"
    assert recipe_card(own.experiment, own.cells[0], summary(own.cells[0].train)).chat_template == "own"


@pytest.mark.parametrize(
    ("templates", "message"),
    [
        ({"tiny-teacher-small": "chatml"}, r"chat_templates: 'tiny-teacher-small' is no student"),
        (
            {"tiny-student-0.15m": "chatlm"},
            r"chat_templates\.tiny-student-0\.15m: 'chatlm' is no file PATH\.jinja and no",
        ),
        ({"tiny-student-0.15m": "gone.jinja"}, r"known: chatml, gemma3, llama3, qwen2\.5"),
    ],
)
def test_a_template_that_there_is_not_is_named(make: Make, templates: dict[str, str], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        resolve_models(make(chat_templates=templates))
