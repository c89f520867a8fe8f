"""Six procedural tasks in the form of BIG-Bench Hard (Suzgun et al. 2022, arXiv:2210.09261), made from a seed."""

from collections.abc import Callable
from random import Random

from capgap_ray.tiny import scene_puzzles, symbol_puzzles
from capgap_ray.tiny.item import Item, Solution, to_item

PUZZLES: dict[str, Callable[[Random], Solution]] = {
    "tracking_shuffled_objects_three_objects": scene_puzzles.tracking_shuffled_objects,
    "dyck_languages": symbol_puzzles.dyck_languages,
    "word_sorting": symbol_puzzles.word_sorting,
    "logical_deduction_three_objects": scene_puzzles.logical_deduction,
    "boolean_expressions": symbol_puzzles.boolean_expressions,
    "temporal_sequences": scene_puzzles.temporal_sequences,
}
TASKS = tuple(PUZZLES)
DESCRIPTIONS = {
    "tracking_shuffled_objects_three_objects": "Track who holds which object after a sequence of swaps.",
    "dyck_languages": "Correctly close a Dyck-n word.",
    "word_sorting": "Sort a list of words.",
    "logical_deduction_three_objects": "Deduce the order of three objects.",
    "boolean_expressions": "Evaluate the result of a random Boolean expression.",
    "temporal_sequences": "Find the times when an event could have occurred.",
}
"""System message of each task; lm-eval's `description` is this and a blank line."""

SHOT_SEED, ITEM_SEED = 20240, 20241
SHOTS, ITEMS = 3, 1000


def one_item(task: str, rng: Random) -> Item:
    """The next item of a task; may repeat an earlier one."""
    if task not in PUZZLES:
        raise ValueError(f"task = {task!r} is unknown; choose one of {', '.join(PUZZLES)}")
    return to_item(PUZZLES[task](rng))


def generate(task: str, n: int, seed: int, exclude: frozenset[str] = frozenset()) -> list[Item]:
    """`n` items with distinct questions, none in `exclude`; the same on every machine and Python version.

    Raises ValueError for an unknown task, or where the task has too few different questions for `n`.
    """
    # Seeding with text goes through SHA-512, not through hash(), which changes from process to process.
    rng = Random(f"{task}/{seed}")
    items: dict[str, Item] = {}
    for _ in range(50 * n + 1000):
        if len(items) == n:
            break
        item = one_item(task, rng)
        if item.question not in exclude:
            items.setdefault(item.question, item)
    if len(items) < n:
        raise ValueError(f"n = {n}: {task} has too few different questions; ask for at most {len(items)}")
    return list(items.values())


def shots(task: str) -> list[Item]:
    """The three worked examples of the task's few-shot prompt, short style."""
    return generate(task, SHOTS, SHOT_SEED)


def task_items(task: str) -> list[Item]:
    """The 1,000 items of the task, none of them a worked example. Training must exclude all of these."""
    return generate(task, ITEMS, ITEM_SEED, exclude=frozenset(shot.question for shot in shots(task)))
