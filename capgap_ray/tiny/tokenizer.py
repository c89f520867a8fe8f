"""One byte-level BPE for the whole tiny family: at most 768 tokens, lossless on any UTF-8 text.

The words of the tasks are vocabulary entries of their own and are looked up before any merge (`ignore_merges`, as
in Llama 3), so that a name, a colour or an hour is one token everywhere; all other text falls back to merges and
bytes. Punctuation splits character by character: `(B).` and `(B)` then hold the same tokens.
"""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random

from capgap_ray.tiny.documents import IM_END, IM_START, PAD, Stream
from capgap_ray.tiny.procedural import TASKS

VOCABULARY = 768
WHOLE_WORDS = 400
SPLIT = r" ?[\p{L}\p{N}]+| ?[^\s\p{L}\p{N}]|\s+(?!\S)|\s+"
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
    """Train the tokenizer on `texts` and write tokenizer.json, tokenizer_config.json and chat_template.jinja."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    splitter = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    specials = [PAD, IM_START, IM_END]
    counts: Counter[str] = Counter()
    for text in texts:
        for special in specials:
            text = text.replace(special, " ")
        counts.update(piece for piece, _ in splitter.pre_tokenize_str(text))
    words = [word for word, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))][:WHOLE_WORDS]

    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    trained.train_from_iterator((word for word, count in counts.items() for _ in range(min(count, 50))), trainer)
    learnt = json.loads(trained.to_str())["model"]

    vocabulary: dict[str, int] = {special: i for i, special in enumerate(specials)}
    for piece in [*sorted(pre_tokenizers.ByteLevel.alphabet()), *words]:
        vocabulary.setdefault(piece, len(vocabulary))
    merges = []
    for left, right in learnt["merges"]:
        if left + right not in vocabulary and len(vocabulary) == VOCABULARY:
            break
        vocabulary.setdefault(left + right, len(vocabulary))
        merges.append((left, right))

    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=True))
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(special, special=True, normalized=False) for special in specials])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": IM_END,
        "pad_token": PAD,
        "bos_token": None,
        "unk_token": None,
        "add_bos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 2048,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE + "\n")
