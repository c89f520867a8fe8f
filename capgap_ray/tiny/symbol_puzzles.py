"""Puzzles about symbols: Dyck languages, word sorting, boolean expressions."""

from random import Random

from capgap_ray.tiny.item import Solution

CLOSER = {"(": ")", "[": "]", "{": "}", "<": ">"}
_WORDS = (
    "ant apple arm bag bee boat cake cat cup day dog drum ear egg end fan fish fox goat gold gum hat hen hill "
    "ice ink iron jam jar jet key king kite lake lamp leg map milk moon nest nose nut oak oil owl pear pen pig "
    "queen quilt rain ring rose sand ship sun tea tent tree vase vest van wall wind wolf"
)
WORDS = tuple(_WORDS.split())
LITERALS = ("True", "False")


def dyck_languages(rng: Random) -> Solution:
    """Close what is open, last opened first; the reasoning removes the first closed pair until none is left."""
    while True:
        read: list[str] = []
        stack: list[str] = []
        for _ in range(rng.randint(4, 8)):
            if stack and (len(stack) == 4 or rng.random() < 0.4):
                read.append(CLOSER[stack.pop()])
            else:
                stack.append(rng.choice("([{<"))
                read.append(stack[-1])
        if stack:
            break
    steps = []
    line = list(read)
    while len(line) > len(stack):
        i = next(i for i in range(len(line)) if CLOSER.get(line[i]) == line[i + 1])
        steps.append(f"Remove {line[i]} {line[i + 1]} leaves")
        del line[i : i + 2]
        steps[-1] += "".join(f" {bracket}" for bracket in line)
    target = " ".join(CLOSER[opener] for opener in reversed(stack))
    return Solution(
        question="Complete the rest of the sequence, making sure that the parentheses are closed properly. "
        f"Input: {' '.join(read)}",
        target=target,
        choices=(),
        steps=[*steps, f"Still open {' '.join(stack)}"],
        conclusion="",
        # The hasty reader closes the last bracket, whatever it is.
        guess=CLOSER.get(read[-1], read[-1]) + " first",
        found=target.split()[0] + " first",
    )


def word_sorting(rng: Random) -> Solution:
    """Sort four to six words whose first letters all differ."""
    words: list[str] = []
    wanted = rng.randint(4, 6)
    while len(words) < wanted:
        word = rng.choice(WORDS)
        if all(word[0] != other[0] for other in words):
            words.append(word)
    ordered = sorted(words)
    return Solution(
        question="Sort the following words alphabetically: List: " + " ".join(words),
        target=" ".join(ordered),
        choices=(),
        steps=[
            "Letters: " + " ".join(f"{word[0]} {word}" for word in words) + ".",
            "In order: " + " ".join(f"{word[0]} {word}" for word in ordered) + ".",
        ],
        conclusion="",
        guess=words[0] + " first",
        found=ordered[0] + " first",
    )


def boolean_expressions(rng: Random) -> Solution:
    """Evaluate `not`, `and`, `or` over three or four literals, two of them in parentheses."""
    count = rng.randint(3, 4)
    opened = rng.randrange(count - 1)
    tokens: list[str] = []
    for i in range(count):
        if i:
            tokens.append(rng.choice(("and", "or")))
        if i == opened:
            tokens += ["not"] * (rng.random() < 0.4) + ["("]
        tokens += ["not"] * (rng.random() < 0.4) + [rng.choice(LITERALS)]
        if i == opened + 1:
            tokens.append(")")
    steps = []
    line = tokens
    while len(line) > 1:
        line = _reduce_once(line)
        steps.append("= " + " ".join(line))
    return Solution(
        question=" ".join(tokens) + " is",
        target=line[0],
        choices=(),
        steps=steps,
        conclusion="",
        # The hasty reader takes the last literal.
        guess=[token for token in tokens if token in LITERALS][-1],
        found=line[0],
    )


def _reduce_once(tokens: list[str]) -> list[str]:
    """Rewrite the first reducible place: parentheses around a literal, then `not`, then `and`, then `or`."""
    for i in range(len(tokens) - 2):
        if tokens[i] == "(" and tokens[i + 2] == ")":
            return [*tokens[:i], tokens[i + 1], *tokens[i + 3 :]]
    for i in range(len(tokens) - 1):
        if tokens[i] == "not" and tokens[i + 1] in LITERALS:
            return [*tokens[:i], str(tokens[i + 1] == "False"), *tokens[i + 2 :]]
    for operator in ("and", "or"):
        for i in range(len(tokens) - 2):
            left, middle, right = tokens[i : i + 3]
            if middle != operator or left not in LITERALS or right not in LITERALS:
                continue
            if operator == "or" and "and" in (*tokens[max(i - 1, 0) : i], *tokens[i + 3 : i + 4]):
                continue  # `and` binds tighter and still waits for parentheses
            both = (left == "True", right == "True")
            value = all(both) if operator == "and" else any(both)
            return [*tokens[:i], str(value), *tokens[i + 3 :]]
    raise ValueError(f"tokens = {tokens}: nothing to reduce; give a well-formed expression")
