"""Decontamination: training text that holds a test question's words.

A test question counts as seen to the share of its n-grams that stand in the training text. Any single n-gram would
not do: items of one task share a template, and most of them would be "contaminated" by each other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from capgap_ray.records import ContaminationMatch, Example

_WORD = re.compile(r"""\w+|[^\w\s.,;:!?'"]""")


def words(text: str) -> list[str]:
    """The text's words in order, case folded; other symbols are words of their own, save those that punctuate.

    Items of one task can differ in their symbols alone: brackets, operators.
    """
    return _WORD.findall(text.casefold())


class ContaminationIndex:
    """Test questions by their n-grams."""

    def __init__(self, tests: Iterable[Example], ngram: int, overlap: float) -> None:
        """`ngram`: words in a row; a shorter question counts whole. `overlap`: the share from which on training text
        is dropped; pairs from half of it on are listed."""
        self._overlap = overlap
        self._tests: dict[str, Example] = {}
        self._grams: dict[str, int] = {}
        """Test id -> number of its different n-grams."""
        self._index: dict[tuple[str, ...], list[str]] = {}
        for test in tests:
            found = words(test.question)
            if not found or test.id in self._tests:
                continue
            grams = set(_ngrams(found, min(ngram, len(found))))
            self._tests[test.id] = test
            self._grams[test.id] = len(grams)
            for gram in grams:
                self._index.setdefault(gram, []).append(test.id)
        self._sizes = sorted({len(gram) for gram in self._index})

    def matches(self, example_id: str, task: str, text: str) -> list[ContaminationMatch]:
        """The test items whose question the training text holds, to at least half the share that drops it."""
        found = words(text)
        hits: Counter[str] = Counter()
        for size in self._sizes:
            for gram in set(_ngrams(found, size)):
                hits.update(self._index.get(gram, ()))
        matches = []
        for test, count in sorted(hits.items()):
            share = count / self._grams[test]
            if share >= self._overlap / 2:
                matches.append(
                    ContaminationMatch(
                        train_id=example_id,
                        train_task=task,
                        test_id=test,
                        test_task=self._tests[test].task,
                        overlap=share,
                        dropped=share >= self._overlap,
                    )
                )
        return matches


def _ngrams(found: list[str], size: int) -> Iterable[tuple[str, ...]]:
    return zip(*(found[start:] for start in range(size)), strict=False)
