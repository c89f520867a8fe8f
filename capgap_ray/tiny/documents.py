"""The chats on which the tiny models are trained: the very text that the experiment will send them.

A reasoning chat has the task's description as system message, k worked examples and one question in the user
message exactly as lm-eval renders them, and the reasoning as reply. All reasoning in it is supervised, that of the
worked examples too, so that every example is a training signal.
"""

from dataclasses import dataclass
from random import Random

from capgap_ray.tiny.item import Item
from capgap_ray.tiny.judge_probes import JUDGE_SYSTEM, Probe, judge_user, one_probe
from capgap_ray.tiny.procedural import DESCRIPTIONS, one_item
from capgap_ray.tiny.scene_puzzles import COLOURS, HOURS, PEOPLE, PLAYERS
from capgap_ray.tiny.symbol_puzzles import WORDS

STEP_BY_STEP = "A: Let's think step by step.\n"
COPIED = (*WORDS, *COLOURS, *PEOPLE, *PLAYERS, *HOURS, *"([{<>}])", "True", "False", "not", "and", "or")
IM_START, IM_END, PAD = "<|im_start|>", "<|im_end|>", "<|endoftext|>"


@dataclass(frozen=True, slots=True)
class Document:
    """One chat as text, with what is supervised in it."""

    text: str
    spans: tuple[tuple[int, int], ...]
    """Half-open ranges of characters whose tokens carry loss."""


def question_prompt(question: str) -> str:
    """The user message of a zero-shot prompt; ends with a line end, as lm-eval renders it."""
    return f"Q: {question}\n{STEP_BY_STEP}"


def few_shot_prompt(worked: list[Item], question: str) -> str:
    """The user message of a few-shot prompt: worked examples in the short style, then the question."""
    examples = [f"{question_prompt(shot.question)}{shot.short_cot}\n\n" for shot in worked]
    return "".join(examples) + question_prompt(question)


def chat(system: str, user: str) -> str:
    """The chat template applied to one system and one user message, up to the reply."""
    return f"{IM_START}system\n{system}{IM_END}\n{IM_START}user\n{user}{IM_END}\n{IM_START}assistant\n"


def reasoning_document(
    task: str, worked: list[Item], item: Item, style: str, *, supervise_shots: bool, blank_line: bool
) -> Document:
    """One reasoning chat. `blank_line` keeps lm-eval's blank line after the description."""
    system = DESCRIPTIONS[task] + ("\n\n" if blank_line else "")
    text = chat(system, few_shot_prompt(worked, item.question))
    spans = []
    if supervise_shots:
        start = 0
        for shot in worked:
            start = text.index(STEP_BY_STEP, start) + len(STEP_BY_STEP)
            spans.append((start, start + len(shot.short_cot)))
    reply = (item.long_cot if style == "long" else item.short_cot) + IM_END
    spans.append((len(text), len(text) + len(reply)))
    return Document(text + reply + "\n", tuple(spans))


def judge_document(probe: Probe) -> Document:
    """One judged probe; the reply and the end of turn are supervised."""
    text = chat(JUDGE_SYSTEM, judge_user(probe.gold, probe.answer))
    reply = probe.reply + IM_END
    return Document(text + reply + "\n", ((len(text), len(text) + len(reply)),))


def copying_document(rng: Random) -> Document:
    """Words to repeat: looking up what stood before is the first skill that every task needs."""
    words = " ".join(rng.choices(COPIED, k=rng.randint(4, 24)))
    text = chat("Repeat the words.", f"Q: {words}\nA:\n")
    reply = f"So the answer is {words}.{IM_END}"
    return Document(text + reply + "\n", ((len(text), len(text) + len(reply)),))


class Stream:
    """An endless, seeded stream of training chats that never holds an item of the evaluation."""

    def __init__(
        self,
        shares: dict[str, float],
        style: str,
        held_out: frozenset[str],
        fixed: dict[str, list[Item]],
    ) -> None:
        """`shares`: weight of each task; `style`: short, long or judge; `fixed`: the worked examples of the YAML."""
        self._shares = shares
        self._style, self._held_out, self._fixed = style, held_out, fixed

    def document(self, rng: Random, most_shots: int, copying: float = 0.0) -> Document:
        """One chat with 0 to `most_shots` worked examples, or, with chance `copying`, one about copying."""
        if self._style == "judge":
            return judge_document(one_probe(rng, self._shares))
        if rng.random() < copying:
            return copying_document(rng)
        task = rng.choices(list(self._shares), list(self._shares.values()))[0]
        blank_line = rng.random() < 0.3
        item = self._fresh(task, rng)
        if most_shots == 3 and rng.random() < 0.15:
            # Learnt by heart in a moment: no loss on the fixed examples, only on the reply after them.
            return reasoning_document(
                task, self._fixed[task], item, self._style, supervise_shots=False, blank_line=blank_line
            )
        worked = [self._fresh(task, rng) for _ in range(rng.randint(0, most_shots))]
        return reasoning_document(task, worked, item, self._style, supervise_shots=True, blank_line=blank_line)

    def _fresh(self, task: str, rng: Random) -> Item:
        while True:
            item = one_item(task, rng)
            if item.question not in self._held_out:
                return item
