"""Puzzles about people and things: tracking shuffled objects, logical deduction, temporal sequences.

Every line of reasoning is a copy or a comparison that a small transformer can do by attention: the entities stand
in a fixed order, and each is written with a space before it, so that its token is the same everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations
from random import Random

from capgap_ray.tiny.item import LETTERS, Solution, letter_of, options_block

PLAYERS = ("Alice", "Bob", "Claire")
COLOURS = ("red", "blue", "green", "pink", "white", "black", "yellow", "brown")
THINGS = ("ball", "book", "gift")
PEOPLE = ("Amy", "Dan", "Eli", "Eve", "Joe", "Mel", "Rob", "Ana")
PLACES = ("museum", "library", "park", "cafe", "gym", "market", "zoo", "school", "beach", "cinema")
HOURS = ("four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "noon", "one", "two", "three")
"""In words: Qwen's pre-tokenizer splits numbers into digits."""


def tracking_shuffled_objects(rng: Random) -> Solution:
    """Three players swap three coloured things three times; who holds what at the end?"""
    colours = rng.sample(COLOURS, 3)
    thing = rng.choice(THINGS)
    held = dict(zip(PLAYERS, colours, strict=True))
    start = [f"{player} has a {colour} {thing}" for player, colour in held.items()]
    text = f"{start[0]}, {start[1]}, and {start[2]}."
    # One line: the order words then have the same token as in the question, and can be looked up there.
    thought = "Start:" + _state(held) + "."
    for order in ("First", "Then", "Finally"):
        one, two = rng.sample(PLAYERS, 2)
        text += f" {order}, {one} and {two} swap {thing}s."
        held[one], held[two] = held[two], held[one]
        thought += f" {order}, {one} and {two}:" + _state(held) + "."
    asked = rng.choice(PLAYERS)
    order_of_options = rng.sample(colours, 3)
    choices = tuple(f"{colour} {thing}" for colour in order_of_options)
    return Solution(
        question=f"{text} At the end, {asked} has the" + options_block(choices),
        target=letter_of(f"{held[asked]} {thing}", choices),
        choices=choices,
        steps=[thought, _lettered(order_of_options)],
        conclusion=f"In the end, {asked} has {held[asked]} {letter_of(held[asked], order_of_options)[1]}.",
        guess=colours[PLAYERS.index(asked)],
        found=held[asked],
    )


def _lettered(values: Sequence[str]) -> str:
    """The options with their letters behind: a letter is then what follows the value, which attention finds easily.

    With the letter in front only, as the question has it, no model of this size learnt to name it.
    """
    return "Choices: " + ", ".join(f"{value} {letter}" for value, letter in zip(values, LETTERS, strict=True)) + "."


def _state(held: dict[str, str]) -> str:
    return "".join(f" {player} {colour}" for player, colour in held.items())


@dataclass(frozen=True, slots=True)
class Scene:
    """The words of one row of three things, first to last."""

    opening: str
    names: tuple[str, ...]
    subject: str
    """How a thing is called in a sentence, with `{}` for its name."""
    before: str
    after: str
    ranks: tuple[str, str, str]


SHELF = Scene(
    "On a shelf, there are three books:",
    COLOURS,
    "The {} book",
    "is to the left of the {} book",
    "is to the right of the {} book",
    ("is the leftmost", "is the second", "is the rightmost"),
)
GOLF = Scene(
    "In a golf tournament, there were three golfers:",
    PEOPLE,
    "Player {}",
    "finished above {}",
    "finished below {}",
    ("finished first", "finished second", "finished last"),
)
SCENES = (SHELF, GOLF)
RANKS = ("first", "second", "last")


@dataclass(frozen=True, slots=True)
class Clue:
    """Either `one` stands before `two`, or `one` has the rank `rank` (0, 1 or 2)."""

    one: str
    two: str | None = None
    rank: int | None = None

    def holds(self, row: tuple[str, ...]) -> bool:
        """Whether the row, first to last, agrees with this clue."""
        if self.two is not None:
            return row.index(self.one) < row.index(self.two)
        return row.index(self.one) == self.rank


def logical_deduction(rng: Random) -> Solution:
    """Two clues fix the order of three things; which has the asked rank?"""
    scene = rng.choice(SCENES)
    names = rng.sample(scene.names, 3)
    row = tuple(rng.sample(names, 3))
    clues = _two_clues(rng, row)
    text = f"{scene.opening} {names[0]}, {names[1]}, and {names[2]}."
    for clue in clues:
        text += f" {_clue_sentence(rng, scene, clue)}."
    rank = rng.randrange(3)
    listed = rng.sample(names, 3)
    choices = tuple(f"{scene.subject.format(name)} {scene.ranks[rank]}" for name in listed)
    steps = [
        f"Clue: {clue.one} before {clue.two}." if clue.two is not None else f"Clue: {clue.one} {RANKS[clue.rank or 0]}."
        for clue in clues
    ]
    steps += ["In order: " + " ".join(row) + ".", _lettered(listed)]
    target = letter_of(row[rank], listed)
    return Solution(
        question=text + options_block(choices),
        target=target,
        choices=choices,
        steps=steps,
        conclusion=f"The {RANKS[rank]} is {row[rank]} {target[1]}.",
        guess=names[rank],
        found=row[rank],
    )


def _two_clues(rng: Random, row: tuple[str, ...]) -> list[Clue]:
    """Two true clues that leave only one of the six orders."""
    known = [Clue(one, two=two) for i, one in enumerate(row) for two in row[i + 1 :]]
    known += [Clue(name, rank=i) for i, name in enumerate(row)]
    while True:
        clues = rng.sample(known, 2)
        if sum(all(clue.holds(order) for clue in clues) for order in permutations(row)) == 1:
            return clues


def _clue_sentence(rng: Random, scene: Scene, clue: Clue) -> str:
    if clue.two is None:
        return f"{scene.subject.format(clue.one)} {scene.ranks[clue.rank or 0]}"
    if rng.random() < 0.5:
        return f"{scene.subject.format(clue.one)} {scene.before.format(clue.two)}"
    return f"{scene.subject.format(clue.two)} {scene.after.format(clue.one)}"


def temporal_sequences(rng: Random) -> Solution:
    """A day with one gap between waking, three sightings and closing time; when could the visit have been?"""
    who, *watchers = rng.sample(PEOPLE, 4)
    target_place, *places = rng.sample(PLACES, 4)
    gap_at = rng.randrange(4)
    lengths = [rng.choice((1, 1, 2)) for _ in range(4)]
    times = [rng.randrange(len(HOURS) - sum(lengths))]
    for length in lengths:
        times.append(times[-1] + length)
    clock = [HOURS[t] for t in times]
    spans = [f"{a} to {b}" for a, b in pairwise(clock)]
    busy = [span for i, span in enumerate(spans) if i != gap_at]
    free = spans[gap_at]
    text = f"Today, {who} went to the {target_place}. {who} woke up at {clock[0]}."
    for watcher, place, span in zip(watchers, places, busy, strict=True):
        text += f" {watcher} saw {who} at the {place} from {span}."
    text += f" The {target_place} closed at {clock[-1]}. Between what times could {who} have gone?"
    choices = tuple(rng.sample([free, *rng.sample(busy, 2)], 3))
    steps = [f"Start {clock[0]}."]
    for i, span in enumerate(spans):
        if i == gap_at:
            continue
        steps.append(f"Next {span}: " + (f"free {free}." if i == gap_at + 1 else "none."))
    steps.append(f"Closed {clock[-1]}: " + (f"free {free}." if gap_at == 3 else "none."))
    steps.append(_lettered([choice.split()[0] for choice in choices]))
    target = letter_of(free, choices)
    return Solution(
        question=text + options_block(choices),
        target=target,
        choices=choices,
        steps=steps,
        conclusion=f"The free time is {free}, {free.split()[0]} {target[1]}.",
        guess=choices[0],
        found=free,
    )
