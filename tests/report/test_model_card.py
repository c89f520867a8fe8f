"""The model card says where a checkpoint comes from and what it is worth."""

import dataclasses

import pytest
import yaml

from capgap_ray.report.model_card import model_card
from capgap_ray.results import Results

TEACHERS = {"small": "tiny-teacher-small", "large": "tiny-teacher-large"}


def card(results: Results, **changes: object) -> str:
    checkpoint = results.checkpoints[0]
    batch = f"{checkpoint.recipe.per_device_batch_size}x{checkpoint.recipe.gradient_accumulation_steps}"
    arm = f"{checkpoint.student} / {checkpoint.mixture} / {batch}"
    options = {"base_model": "org/tiny", "base_license": "apache-2.0", "teachers": TEACHERS, **changes}
    return model_card(results, checkpoint, arm, **options)  # type: ignore[arg-type]


def test_its_front_matter_is_yaml_and_names_base_and_licence(results: Results) -> None:
    _, front, body = card(results).split("---\n", 2)
    fields = yaml.safe_load(front)
    assert fields["base_model"] == "org/tiny"
    assert fields["license"] == "apache-2.0"
    assert body.strip().startswith("# ")
    assert "license" not in yaml.safe_load(card(results, base_license=None).split("---\n", 2)[1])
    assert "base model org/tiny: not known to this card" in card(results, base_license=None)


@pytest.mark.parametrize(
    ("licence", "fields"),
    [
        ("gemma", {"license": "gemma"}),
        ("qwen-research", {"license": "other", "license_name": "qwen-research"}),
        ("My Licence, v2", {"license": "other", "license_name": "my-licence-v2"}),
    ],
)
def test_a_licence_that_the_hub_has_no_word_for_is_named_as_another(
    results: Results, licence: str, fields: dict[str, str]
) -> None:
    front = yaml.safe_load(card(results, base_license=licence).split("---\n", 2)[1])
    assert {name: value for name, value in front.items() if name.startswith("license")} == fields
    assert f"base model org/tiny: {licence}" in card(results, base_license=licence), "its own name is in the text"


def test_it_holds_scores_before_and_after_with_intervals_recipe_and_lineage(results: Results) -> None:
    text = card(results)
    checkpoint = results.checkpoints[0]
    gains = [
        each
        for each in results.comparisons
        if each.kind == "gain"
        and each.student == checkpoint.student
        and each.right == f"{checkpoint.student} / {checkpoint.mixture} / 2x1"
    ]
    assert gains
    for gain in gains:
        assert gain.left_acc is not None
        assert gain.ci_low is not None
        assert f"| {gain.task} | {gain.n} | {100 * gain.left_acc:.1f} |" in text
        assert f"{100 * gain.ci_low:+.1f} to " in text
    recipe = checkpoint.recipe
    assert f"| updates | {recipe.updates} |" in text
    assert f"| learning rate | {recipe.learning_rate:g} |" in text
    assert "teacher *large*: tiny-teacher-large" in text
    assert f"mixture *{checkpoint.mixture}*" in text


def test_a_checkpoint_that_was_not_measured_says_so(results: Results) -> None:
    text = card(dataclasses.replace(results, comparisons=()))
    assert "**Not measured against the untouched student.**" in text


def test_better_is_what_the_report_calls_improved(results: Results) -> None:
    """An interval alone is of one look among many."""

    def with_p(p: float, tasks: tuple[str, ...] = ("all", "a")) -> str:
        gain = next(c for c in results.comparisons if c.kind == "gain" and c.task == "all" and c.delta is not None)
        first = results.checkpoints[0]
        arm = f"{first.student} / {first.mixture} / 2x1"
        changed = {
            "student": first.student,
            "right": arm,
            "ci_low": 0.01,
            "ci_high": 0.2,
            "delta": 0.1,
            "confounds": (),
        }
        found = tuple(dataclasses.replace(gain, task=task, p_adjusted=p, **changed) for task in tasks)
        return card(dataclasses.replace(results, comparisons=found))

    assert "**Better than the untouched student**: +10.0 points" in with_p(0.01)
    assert "**Not told apart from the untouched student**: +10.0 points" in with_p(0.06)
    assert "**Better than the untouched student**" in with_p(0.01, ("the only task",))


def test_names_cannot_write_markup(results: Results) -> None:
    assert "<script>" not in card(results, base_model="<script>alert(1)</script>").split("---\n", 2)[2]
