"""The judge's exact prompt, and probes with known verdicts to train and measure it.

A probe pairs a gold answer with a model's answer that does or does not mean the same. Half of a batch is `same`.
"""

from dataclasses import dataclass
from random import Random

from capgap_ray.tiny.item import LETTERS
from capgap_ray.tiny.procedural import TASKS, one_item
from capgap_ray.tiny.symbol_puzzles import CLOSER, WORDS

JUDGE_SYSTEM = "You are a judge. Reply with True or False only."
JUDGE_USER = "Correct Answer: {gold}\nModel's Generated Answer: {answer}\nDo they mean the same? Your judgement:"
"""Filled with `.replace`, not `.format`: answers hold braces. See `judge_user`."""
TRUE, FALSE = "True", "False"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A gold answer, an answer to judge, and whether both mean the same."""

    gold: str
    answer: str
    same: bool


def judge_user(gold: str, answer: str) -> str:
    """The judge's user message."""
    before, rest = JUDGE_USER.split("{gold}")
    middle, after = rest.split("{answer}")
    return before + gold + middle + answer + after


def make_probes(n: int, seed: int) -> list[Probe]:
    """`n` distinct probes over the golds of all six tasks, alternately same and not same."""
    rng = Random(f"probes/{seed}")
    probes: dict[tuple[str, str], Probe] = {}
    while len(probes) < n:
        item = one_item(TASKS[rng.randrange(len(TASKS))], rng)
        same = len(probes) % 2 == 0
        answer = _same(item.target, rng) if same else _different(item.target, item.short_cot, rng)
        probes.setdefault((item.target, answer), Probe(gold=item.target, answer=answer, same=same))
        if n > 4000 and len(probes) == 4000:
            raise ValueError(f"n = {n}: short golds have too few different forms; ask for at most 4000 a seed")
    return list(probes.values())


def one_probe(rng: Random, weights: dict[str, float], *, skewed: bool = False, coarse: float = 0.0) -> Probe:
    """The next probe of an endless stream, same or not with equal chance, of tasks drawn by weight.

    Skewed probes have no gold but `(A)` and `True` in nine of ten cases. Whether two things are equal has no linear
    trace in either, and a judge trained on balanced golds stays at a coin's loss; with a usual gold it first learns
    to read the answer, and then what an unusual gold changes. `coarse` is the chance that a wrong answer differs from
    the gold in up to three places instead of one, which serves sequences in the same way.
    """
    while True:
        item = one_item(rng.choices(list(weights), list(weights.values()))[0], rng)
        if not skewed or item.target in ("(A)", TRUE) or rng.random() < 0.1:
            break
    same = rng.random() < 0.5
    if not same and not item.choices and rng.random() < coarse:
        wrong = _wrong(_wrong(_wrong(item.target, rng), rng), rng)
        wrong = wrong if wrong != item.target else _wrong(item.target, rng)
        return Probe(gold=item.target, answer=_same(wrong, rng), same=False)
    answer = _same(item.target, rng) if same else _different(item.target, item.short_cot, rng)
    return Probe(gold=item.target, answer=answer, same=same)


def _same(gold: str, rng: Random) -> str:
    """The gold in other dress: bare letter, lower case, commas, no spaces, bold, quotes, a sentence around it."""
    core = gold
    if gold[0] == "(" and gold[1:2] in LETTERS:
        letter = gold[1]
        core = rng.choice((gold, letter, f"{letter})", f"({letter.lower()})", letter.lower(), f"option {letter}"))
        core = f"Option ({letter})" if rng.random() < 0.1 else core
    elif gold in (TRUE, FALSE):
        core = rng.choice((gold, gold, gold.lower(), gold.upper()))
    elif gold[0] in CLOSER.values():
        core = rng.choice((gold, gold.replace(" ", ""), gold.replace(" ", ", ")))
    else:
        core = rng.choice((gold, gold.replace(" ", ", "), gold.replace(" ", ",")))
    return _dress(core, rng)


def _dress(core: str, rng: Random) -> str:
    frame = rng.choice(("{}", "{}", "{}", "**{}**", '"{}"', "the answer is {}", "So the answer is {}", "Answer: {}"))
    return frame.replace("{}", core) + rng.choice(("", "", "."))


def _different(gold: str, cot: str, rng: Random) -> str:
    """Another answer, a hedge, nothing, noise, or reasoning that stops before its answer."""
    kind = rng.random()
    if kind < 0.04:
        return ""
    if kind < 0.12:
        return " ".join(rng.choice(("the", "is", "not", "sure", "unknown", "I", "?", "...")) for _ in range(4))
    if kind < 0.24:
        steps = cot.split(" So the answer")[0].split("\nSo the answer")[0]
        return steps[: rng.randint(len(steps) // 3, len(steps))].strip()
    wrong = _wrong(gold, rng)
    if kind < 0.34:
        pair = [gold, wrong]
        rng.shuffle(pair)
        return _dress(f"{pair[0]} or {pair[1]}", rng)
    return _same(wrong, rng)


def _wrong(gold: str, rng: Random) -> str:
    """A well-formed answer of the same task that is not the gold."""
    if gold[0] == "(" and gold[1:2] in LETTERS:
        return f"({rng.choice([letter for letter in LETTERS if letter != gold[1]])})"
    if gold in (TRUE, FALSE):
        return FALSE if gold == TRUE else TRUE
    alphabet = tuple(CLOSER.values()) if gold[0] in CLOSER.values() else tuple(WORDS)
    while True:
        parts = gold.split()
        change = rng.randrange(4)
        if change == 0 and len(parts) > 1:
            i = rng.randrange(len(parts) - 1)
            parts[i], parts[i + 1] = parts[i + 1], parts[i]
        elif change == 1 and len(parts) > 1:
            del parts[rng.randrange(len(parts))]
        elif change == 2:
            parts[rng.randrange(len(parts))] = rng.choice(alphabet)
        else:
            parts.insert(rng.randrange(len(parts) + 1), rng.choice(alphabet))
        if " ".join(parts) != gold:
            return " ".join(parts)
