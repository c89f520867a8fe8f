"""Texts that repeat an earlier one: exactly, or nearly by Jaccard similarity of word shingles."""

from __future__ import annotations

from collections.abc import Sequence

from capgap_ray.core.contamination import words

SHINGLE = 5
"""Words per shingle; a shorter text is one shingle."""
_PERMUTATIONS = 128


def exact_duplicates(texts: Sequence[str]) -> list[int]:
    """Places of the texts that an earlier one equals but for case and white space."""
    seen: set[str] = set()
    found = []
    for place, text in enumerate(texts):
        key = " ".join(text.casefold().split())
        if key in seen:
            found.append(place)
        seen.add(key)
    return found


def near_duplicates(texts: Sequence[str], threshold: float) -> list[int]:
    """Places of the texts whose similarity to an earlier one that is kept reaches `threshold`.

    Candidates come from datasketch's MinHash index (128 permutations), and each is then compared exactly, so that
    nothing is dropped by an estimate; a pair at the threshold is found with a probability near 1, not 1.
    """
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=max(0.05, threshold - 0.1), num_perm=_PERMUTATIONS)
    kept: dict[int, set[str]] = {}
    found = []
    for place, text in enumerate(texts):
        own = _shingles(text)
        sketch = MinHash(num_perm=_PERMUTATIONS, seed=1)
        sketch.update_batch([shingle.encode("utf-8", "surrogatepass") for shingle in own])
        if any(jaccard(own, kept[other]) >= threshold for other in index.query(sketch)):
            found.append(place)
        else:
            kept[place] = own
            index.insert(place, sketch)
    return found


def jaccard(one: set[str], other: set[str]) -> float:
    """Size of the intersection over size of the union; 1 for two empty sets."""
    return len(one & other) / len(one | other) if one or other else 1.0


def _shingles(text: str) -> set[str]:
    found = words(text)
    return {" ".join(found[start : start + SHINGLE]) for start in range(max(1, len(found) - SHINGLE + 1))}
