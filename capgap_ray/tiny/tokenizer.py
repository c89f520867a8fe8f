"""One byte-level BPE of Qwen 2's kind for the whole tiny family: its splitting rules, NFC, at most 1,024 tokens.

A name, a colour or an hour is one token wherever a space stands before it.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random

from capgap_ray.tiny.documents import IM_END, IM_START, PAD, Stream
from capgap_ray.tiny.procedural import TASKS

VOCABULARY = 1024
CAP = 50
"""Occurrences of one word that count in training: the tasks' words are all needed, common or not."""
JOINED = re.compile(r"[^a-z]*[][(){}<>][^a-z]+|[^a-zĠ]+[][(){}<>]")
"""A bracket with its neighbour: no merge is learnt from it, so that a bracket, or the letter in `(B)`, is the same
token at the end of a line as inside one."""
SPECIALS = (PAD, IM_START, IM_END)
DEFAULT_SYSTEM = "You are a helpful assistant."
CHAT_TEMPLATE = (
    "{%- if messages[0]['role'] != 'system' -%}"
    "{{- '<|im_start|>system\\n" + DEFAULT_SYSTEM + "<|im_end|>\\n' -}}"
    "{%- endif -%}"
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
"""Qwen 2.5's ChatML template without its tool calls."""


def corpus(seed: int = 0, documents: int = 6000) -> list[str]:
    """Training texts of all tasks, both reasoning styles and the judge."""
    rng = Random(f"corpus/{seed}")
    streams = [Stream(dict.fromkeys(TASKS, 1.0), style, frozenset(), {}) for style in ("short", "long", "judge")]
    return [streams[i % 3].document(rng, 1).text for i in range(documents)]


def build(folder: Path, texts: Iterable[str]) -> None:
    """Train the merges on `texts` and write tokenizer.json, tokenizer_config.json and chat_template.jinja."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer

    # transformers rebuilds the splitting rules of every qwen2 model; the merges are learnt under those same rules.
    splitter = Qwen2Tokenizer().backend_tokenizer.pre_tokenizer
    counts: Counter[str] = Counter()
    for text in texts:
        for special in SPECIALS:
            text = text.replace(special, "")
        counts.update(piece for piece, _ in splitter.pre_tokenize_str(text) if not JOINED.fullmatch(piece))
    learner = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIALS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    # The pieces are byte-level text already, one symbol a byte.
    learner.train_from_iterator((piece for piece, n in counts.items() for _ in range(min(n, CAP))), trainer)
    learnt = json.loads(learner.to_str())["model"]
    order = sorted(learnt["vocab"], key=learnt["vocab"].__getitem__)
    tokenizer = Qwen2Tokenizer(
        vocab={token: i for i, token in enumerate([*SPECIALS, *order])},
        merges=[tuple(pair) for pair in learnt["merges"]],
        eos_token=IM_END,
        pad_token=PAD,
        additional_special_tokens=[IM_START],
        model_max_length=2048,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
