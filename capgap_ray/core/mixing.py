"""Mixing: the kept examples of several teachers become one ordered training set with exact shares.

Every item is used once: if two teachers solved it, one of them provides the rationale. (Where a pool has several
samples of an item, the item's second samples are an item of their own, and so on.) Which one, and the order of
the rows, follow from sha256 of (seed, item), so a mixture is the same on every machine and does not depend on the
order of its inputs.

Two teachers' mixtures of equal size are nested: what a teacher contributes at a smaller share is a subset
of what it contributes at a larger one, so that shares can be compared without resampling the items. For
this the teachers choose in the order of their names. (Minority first would exchange the roles at one
half, and the sets with them.)

Shares of tokens cannot be exact, for rows are whole: each teacher gives rows until the next would exceed its share.
The first teacher by name takes items from the front of the seeded order and the last from its back, so that two
teachers' mixtures are nested again; with more than two, the first and the last teacher's parts are.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Literal

from capgap_ray.records import MixtureReport, TrainingExample

_SHARE_TOLERANCE = 1e-9
_FINEST_SHARE = 1_000_000  # shares are read as fractions with at most this denominator


def mix(
    pools: Mapping[str, Sequence[TrainingExample]],
    shares: Mapping[str, float],
    *,
    seed: int,
    rows: int | None = None,
    tokens: int | None = None,
    by: Literal["rows", "tokens"] = "rows",
) -> list[TrainingExample]:
    """Return the mixture: N rows, teacher t giving shares[t] x N of them (largest remainder).

    `pools` holds each teacher's kept examples, of one task or several; teachers without a share are
    ignored. N is `rows`, or the largest number for which every teacher can give its part without using an
    item twice; a single teacher with share 1 gives all its rows. All mixtures of one N from equal pools cover
    the same items. By tokens, N is `tokens`, or the largest number likewise.

    Raises ValueError for shares that are not positive or do not sum to one, a teacher without rows, a row
    in another teacher's pool, a number of rows or tokens that the pools cannot give, and, by tokens, a row whose
    tokens are not known.
    """
    teachers = _checked_teachers(pools, shares)
    first = [_by_key(pools[teacher]) for teacher in teachers]
    owners: dict[str, int] = {}  # item -> bit set of the teachers that solved it
    for index, items in enumerate(first):
        for item in items:
            owners[item] = owners.get(item, 0) | 1 << index
    available = _available(Counter(owners.values()), len(teachers))

    # A share written as 1 / 3 is meant as a third: equal remainders must be equal, and go by name.
    exact = [Fraction(shares[teacher]).limit_denominator(_FINEST_SHARE) for teacher in teachers]
    if by == "tokens":
        chosen = _of_tokens(teachers, first, exact, tokens, seed)
        return [first[chosen[item]][item] for item in sorted(chosen, key=lambda item: _order("order", seed, item))]
    total = _largest_total(exact, available) if rows is None else rows
    counts = _largest_remainder(exact, total)
    if total < 1 or not _feasible(counts, available):
        most = _largest_total(exact, available)
        asked = ", ".join(f"{c} of {t} ({len(f)} kept)" for t, c, f in zip(teachers, counts, first, strict=True))
        raise ValueError(
            f"cannot mix {total} rows: that takes {asked}, from {len(owners)} different items; "
            f"the most that these shares allow is {most}"
        )

    chosen = _assign(sorted(owners, key=lambda item: _order("assign", seed, item)), owners, counts, available)
    return [first[chosen[item]][item] for item in sorted(chosen, key=lambda item: _order("order", seed, item))]


def mixture_report(
    mixture: str,
    pools: Mapping[str, Sequence[TrainingExample]],
    shares: Mapping[str, float],
    examples: Sequence[TrainingExample],
    *,
    seed: int,
) -> MixtureReport:
    """Return the composition of `examples`, which `mix` made of `pools` and `shares` under this name."""
    by_teacher = Counter(row.teacher for row in examples)
    return MixtureReport(
        mixture=mixture,
        shares=dict(shares),
        rows_by_teacher={teacher: by_teacher[teacher] for teacher in shares},
        rows_by_task=dict(sorted(Counter(row.task for row in examples).items())),
        kept_by_teacher={teacher: len(pools[teacher]) for teacher in shares},
        rows=len(examples),
        seed=seed,
        tokens_by_teacher=_sum_tokens(examples, shares),
        borrowed_by_teacher={
            teacher: sum(row.teacher == teacher and row.written_by is not None for row in examples)
            for teacher in shares
        },
    )


def composition(report: MixtureReport) -> str:
    """The mixture in one line: what each teacher was to give and what it gives."""
    tokens = report.tokens_by_teacher
    total = sum(tokens.values()) if tokens else 0
    parts = []
    for teacher, share in report.shares.items():
        rows = report.rows_by_teacher[teacher]
        part = f"{teacher} {100 * share:g} %: {rows} rows ({100 * rows / report.rows:.2f} %)"
        if tokens and total:
            part += f", {tokens[teacher]:,} tokens ({100 * tokens[teacher] / total:.2f} %)"
        borrowed = (report.borrowed_by_teacher or {}).get(teacher, 0)
        parts.append(part + (f", {borrowed} of them by another teacher" if borrowed else ""))
    return f"{report.mixture}: {report.rows} rows; " + "; ".join(parts)


def _sum_tokens(examples: Sequence[TrainingExample], shares: Mapping[str, float]) -> dict[str, int] | None:
    """Teacher -> tokens; None where a row's are not known."""
    if any(row.tokens is None for row in examples):
        return None
    return {teacher: sum(row.tokens or 0 for row in examples if row.teacher == teacher) for teacher in shares}


def _by_key(pool: Sequence[TrainingExample]) -> dict[str, TrainingExample]:
    """Rows by item; an item's second row is an item of its own, and so on."""
    found: dict[str, TrainingExample] = {}
    seen: Counter[str] = Counter()
    for row in pool:
        rank = seen[row.example_id]
        found[f"{row.example_id}#{rank}" if rank else row.example_id] = row
        seen[row.example_id] += 1
    return found


def _of_tokens(
    teachers: Sequence[str],
    pools: Sequence[Mapping[str, TrainingExample]],
    shares: Sequence[Fraction],
    total: int | None,
    seed: int,
) -> dict[str, int]:
    """Return item -> teacher for shares of `total` tokens, or of the most that the pools can give."""
    length = [{item: _tokens(row) for item, row in pool.items()} for pool in pools]
    orders = [sorted(pool, key=lambda item: _order("assign", seed, item)) for pool in pools]
    orders[-1] = orders[-1][::-1] if len(pools) > 1 else orders[-1]
    for index in range(1, len(pools) - 1):
        orders[index].sort(key=lambda item: _order(f"assign {teachers[index]}", seed, item))

    def taken(tokens: int) -> dict[str, int] | None:
        chosen: dict[str, int] = {}
        # The middle ones last: what they skip does not move the parts that are nested.
        for index in dict.fromkeys([0, len(pools) - 1, *range(1, len(pools) - 1)]):
            left = shares[index] / sum(shares) * tokens
            for item in orders[index]:
                if item in chosen:
                    continue
                if length[index][item] > left:
                    break
                chosen[item] = index
                left -= length[index][item]
            else:
                if left > 0:
                    return None
        return chosen

    low, high = 0, sum(max(each.get(item, 0) for each in length) for item in {i for pool in pools for i in pool})
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if taken(middle) is not None else (low, middle - 1)
    found = taken(low if total is None else total)
    if not found or len(set(found.values())) < len(pools):
        asked = f"{total:,} tokens" if total is not None else "one row of each teacher"
        raise ValueError(
            f"cannot mix {asked} of {', '.join(teachers)}; the most that these shares allow is {low:,} tokens"
        )
    return found


def _tokens(row: TrainingExample) -> int:
    if row.tokens is None:
        raise ValueError(f"item {row.example_id!r} of {row.teacher}: its tokens are not known; mix by rows")
    return row.tokens


def _checked_teachers(pools: Mapping[str, Sequence[TrainingExample]], shares: Mapping[str, float]) -> list[str]:
    stated = ", ".join(f"{teacher}: {share}" for teacher, share in shares.items())
    if not all(share >= 1 / _FINEST_SHARE for share in shares.values()):
        raise ValueError(f"shares must be positive, got {{{stated}}}; leave out a teacher that gives nothing")
    if not abs(sum(shares.values()) - 1) <= _SHARE_TOLERANCE:
        raise ValueError(f"shares must sum to 1, got {{{stated}}} = {sum(shares.values())}")
    for teacher in shares:
        if not pools.get(teacher):
            raise ValueError(f"no rows of teacher {teacher} passed the filter")
        if wrong := next((row for row in pools[teacher] if row.teacher != teacher), None):
            raise ValueError(f"item {wrong.example_id!r} of teacher {wrong.teacher} is in the pool of {teacher}")
    return sorted(shares)


def _order(purpose: str, seed: int, item: str) -> tuple[bytes, str]:
    text = f"{purpose}:{seed}:{item}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).digest(), item


def _subsets(count: int) -> range:
    """All non-empty sets of teachers as bit sets: 2^T - 1 of them, and mixtures have few teachers."""
    return range(1, 1 << count)


def _members(subset: int) -> Iterator[int]:
    return (index for index in range(subset.bit_length()) if subset >> index & 1)


def _available(items_by_owners: Mapping[int, int], count: int) -> dict[int, int]:
    """Return, for every set of teachers, the number of items that at least one of them solved."""
    return {subset: sum(n for owners, n in items_by_owners.items() if owners & subset) for subset in _subsets(count)}


def _largest_remainder(shares: Sequence[Fraction], total: int) -> list[int]:
    """Return whole numbers that sum to `total`, each within one of its share (Hamilton's method)."""
    exact = [share * total / sum(shares) for share in shares]
    counts = [int(part) for part in exact]
    by_remainder = sorted(range(len(shares)), key=lambda index: (counts[index] - exact[index], index))
    for index in by_remainder[: total - sum(counts)]:
        counts[index] += 1
    return counts


def _feasible(counts: Sequence[int], available: Mapping[int, int]) -> bool:
    """Hall's theorem: disjoint items exist if and only if no set of teachers asks for more than it has."""
    return all(sum(counts[index] for index in _members(subset)) <= n for subset, n in available.items())


def _largest_total(shares: Sequence[Fraction], available: Mapping[int, int]) -> int:
    # Rounding gives a set of k teachers at least its share minus k rows, which bounds the search.
    total = min(
        int((n + subset.bit_count()) / sum(shares[index] for index in _members(subset)) * sum(shares))
        for subset, n in available.items()
    )
    while not _feasible(_largest_remainder(shares, total), available):
        total -= 1
    return total


def _assign(
    items: Sequence[str], owners: Mapping[str, int], counts: Sequence[int], available: Mapping[int, int]
) -> dict[str, int]:
    """Return item -> teacher: each teacher in turn takes the first items that leave enough for the others.

    The sets that leave enough are the independent sets of a matroid (the dual of a transversal matroid),
    so that taking greedily always ends with the full count.
    """
    chosen: dict[str, int] = {}
    left = dict(available)  # items still free for each set of teachers
    for index, count in enumerate(counts):
        later = [subset for subset in left if subset & -subset > 1 << index]
        spare = {subset: left[subset] - sum(counts[i] for i in _members(subset)) for subset in later}
        touched = {bits: [s for s in later if s & bits] for bits in set(owners.values())}
        taken = 0
        for item in items:
            if taken == count:
                break
            bits = owners[item]
            if item in chosen or not bits >> index & 1 or any(spare[s] < 1 for s in touched[bits]):
                continue
            chosen[item] = index
            taken += 1
            for subset in touched[bits]:
                spare[subset] -= 1
                left[subset] -= 1
        assert taken == count, "Hall's condition held, so the greedy choice must succeed"
    return chosen
