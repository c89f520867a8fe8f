"""The judge's exact prompt, and probes with known verdicts to train and measure it.

A probe pairs a gold answer with a model's answer that does or does not mean the same. Half of a batch is `same`.
The judge writes gold and answer side by side before its verdict: a verdict in one step was wrong on every second
near miss of a word list.
"""

from dataclasses import dataclass
from itertools import zip_longest
from random import Random

from capgap_ray.tiny.item import LETTERS
from capgap_ray.tiny.procedural import TASKS, one_item
from capgap_ray.tiny.symbol_puzzles import CLOSER, WORDS

JUDGE_SYSTEM = "You are a judge. Compare, then reply True or False."
JUDGE_USER = "Correct Answer: {gold}\nModel's Generated Answer: {answer}\nDo they mean the same? Your judgement:"
"""Filled with `.replace`, not `.format`: answers hold braces. See `judge_user`."""
TRUE, FALSE = "True", "False"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A gold answer, an answer to judge, and whether both mean the same."""

    gold: str
    answer: str
    same: bool
    thought: str
    """The comparison that leads to the verdict."""

    @property
    def reply(self) -> str:
        """What the judge should write."""
        return f"<think>\n{self.thought}\n</think>\n{TRUE if self.same else FALSE}"


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
        probe = _same(item.target, item.target, rng) if same else _different(item.target, item.short_cot, rng)
        probes.setdefault((probe.gold, probe.answer), probe)
        if n > 4000 and len(probes) == 4000:
            raise ValueError(f"n = {n}: short golds have too few different forms; ask for at most 4000 a seed")
    return list(probes.values())


def one_probe(rng: Random, weights: dict[str, float]) -> Probe:
    """The next probe of an endless stream, same or not with equal chance, of tasks drawn by weight.

    Half of the wrong answers are another item's gold: beside near misses only, a judge learns to read the gold twice.
    """
    task = rng.choices(list(weights), list(weights.values()))[0]
    item, other = one_item(task, rng), one_item(task, rng)
    if rng.random() < 0.5:
        return _same(item.target, item.target, rng)
    if rng.random() < 0.5 and other.target != item.target:
        return _same(item.target, other.target, rng)
    return _different(item.target, item.short_cot, rng)


def _same(gold: str, meant: str, rng: Random) -> Probe:
    """A probe whose answer means `meant`, in any dress."""
    return Probe(gold=gold, answer=_dressed(meant, rng), same=gold == meant, thought=_side_by_side(gold, meant))


def _side_by_side(gold: str, meant: str) -> str:
    """The answer read out, then part by part up to the first difference: `Compare: cake cake yes. fox jet no.`"""
    lines = [f"Answer: {' '.join(_parts(meant))}.\nCompare:"]
    for left, right in zip_longest(_parts(gold), _parts(meant), fillvalue="none"):
        lines.append(f" {left} {right} {'yes' if left == right else 'no'}.")
        if left != right:
            break
    return "".join(lines)


def _parts(answer: str) -> list[str]:
    return [answer[1]] if answer[0] == "(" and answer[1:2] in LETTERS else answer.split()


def _dressed(gold: str, rng: Random) -> str:
    """The answer in other dress: bare letter, lower case, commas, no spaces, bold, quotes, a sentence around it."""
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


def _different(gold: str, cot: str, rng: Random) -> Probe:
    """Another answer, a hedge, nothing, noise, or reasoning that stops before its answer."""
    kind = rng.random()
    answer, thought = "", "No answer."
    if 0.04 <= kind < 0.12:
        answer = " ".join(rng.choice(("the", "is", "not", "sure", "unknown", "I", "?", "...")) for _ in range(4))
    elif 0.12 <= kind < 0.24:
        steps = cot.split(" So the answer")[0].split("\nSo the answer")[0]
        answer = steps[: rng.randint(len(steps) // 3, len(steps))].strip()
    elif 0.24 <= kind < 0.34:
        pair = [gold, _wrong(gold, rng)]
        rng.shuffle(pair)
        answer, thought = _dress(f"{pair[0]} or {pair[1]}", rng), "Two answers."
    elif kind >= 0.34:
        return _same(gold, _wrong(gold, rng), rng)
    return Probe(gold=gold, answer=answer, same=False, thought=thought)


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
