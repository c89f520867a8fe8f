"""Who is in a set of results: its arms by task, student, teacher and recipe; which of two teachers is the weaker."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from capgap_ray.core.arms import UNTOUCHED, Arm

_RANKS = ({"small": 0, "large": 1}, {"weak": 0, "strong": 1}, {"weaker": 0, "stronger": 1}, {"short": 0, "long": 1})
"""Words of teacher names that say which is the weaker; short CoT counts as the weaker, as in the paper."""


class Lineup:
    """The arms of one set of results.

    `arms` by (task, student, teacher, recipe); `tasks`, `teachers` and `recipes` in the order in which they come;
    `students` with their sizes in billions (None: not known), ascending; `teacher_sizes` of those that are known.
    """

    def __init__(
        self,
        arms: Sequence[Arm],
        sizes: Mapping[str, float | None],
        weaker: str | None,
        teacher_sizes: Mapping[str, float],
    ) -> None:
        """`weaker` names the weaker teacher where neither sizes nor names tell; `teacher_sizes` go before `sizes`.

        Raises ValueError where there is no student, or `weaker` is no teacher.
        """
        self.arms = {(a.task, *a.key): a for a in arms}
        self.tasks = tuple(dict.fromkeys(a.task for a in arms))
        self.teachers = tuple(dict.fromkeys(a.teacher for a in arms if a.teacher != UNTOUCHED))
        self.recipes = tuple(dict.fromkeys(a.recipe for a in arms if a.teacher != UNTOUCHED))
        distilled = {a.student for a in arms if a.teacher != UNTOUCHED}
        names = [s for s in dict.fromkeys(a.student for a in arms) if s in distilled or s not in self.teachers]
        own = {s: sizes.get(s) for s in names}
        self.students = dict(sorted(own.items(), key=lambda pair: (pair[1] is None, pair[1] or 0.0)))
        if not self.students:
            raise ValueError("the results hold no student: every row is of a teacher")
        if weaker is not None and weaker not in self.teachers:
            raise ValueError(f"weaker: {weaker!r} is no teacher of these results; they are {', '.join(self.teachers)}")
        self.weaker = weaker
        self.teacher_sizes = {
            t: size for t in self.teachers if (size := teacher_sizes.get(t, sizes.get(t))) is not None
        }

    def trained(self) -> list[tuple[str, str, str]]:
        """(student, teacher, recipe) of distilled students, by the students' size."""
        order = {s: i for i, s in enumerate(self.students)}
        keys = dict.fromkeys(a.key for a in self.arms.values() if a.teacher != UNTOUCHED)
        return sorted(keys, key=lambda key: order[key[0]])

    def untouched(self, task: str, student: str, recipe: str) -> Arm | None:
        """The student before distillation: measured under the same recipe's name, or the only one there is."""
        if (same := self.arms.get((task, student, UNTOUCHED, recipe))) is not None:
            return same
        every = [a for a in self.arms.values() if (a.task, a.student, a.teacher) == (task, student, UNTOUCHED)]
        return every[0] if len(every) == 1 else None

    def no_baseline(self, task: str, student: str, recipe: str) -> str:
        """Why `untouched` finds none, and the mend."""
        others = [a.recipe for a in self.arms.values() if (a.task, a.student, a.teacher) == (task, student, UNTOUCHED)]
        if not others:
            return (
                f"there is no untouched {student} on {task}; measure it on the same items (rows with an empty teacher)"
            )
        told = " and ".join(other or "an empty one" for other in others)
        return (
            f"the untouched {student} on {task} is there {len(others)} times, under the recipes {told}, and not under "
            f"{recipe or 'an empty one'}; leave one of them, or name it by the recipe that it belongs to"
        )

    def both(self, task: str, student: str, weak: str, strong: str, recipe: str) -> tuple[Arm, Arm] | None:
        first, second = (self.arms.get((task, student, teacher, recipe)) for teacher in (weak, strong))
        return None if first is None or second is None else (first, second)

    def few_shot(self, task: str) -> tuple[list[Arm], list[Arm]]:
        """(teachers, students), untouched, on one task."""
        untouched = [a for a in self.arms.values() if a.task == task and a.teacher == UNTOUCHED]
        return (
            [a for a in untouched if a.student in self.teachers],
            [a for a in untouched if a.student in self.students],
        )

    def order(self, first: str, second: str) -> tuple[str, str, bool]:
        """(weaker, stronger, whether that is known): as told, by size, by words of their names."""
        if self.weaker in (first, second):
            return (first, second, True) if self.weaker == first else (second, first, True)
        sizes = [self.teacher_sizes.get(t) for t in (first, second)]
        if None not in sizes and sizes[0] != sizes[1]:
            return (first, second, True) if (sizes[0] or 0) < (sizes[1] or 0) else (second, first, True)
        for ranks in _RANKS:
            found = [[ranks[w] for w in re.findall(r"[a-z]+", t.lower()) if w in ranks] for t in (first, second)]
            if all(len(each) == 1 for each in found) and found[0] != found[1]:
                return (first, second, True) if found[0] < found[1] else (second, first, True)
        low, high = sorted((first, second))
        return low, high, False
