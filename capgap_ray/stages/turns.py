"""Where an assistant's turn ends under a chat template: there training's text ends, and generation stops."""

from __future__ import annotations

from typing import Any

_TEXT = "ANSWER"


def end_of_turn(tokenizer: Any, template: str | None = None) -> str | None:
    """The token that the chat template (None: the tokenizer's own) writes right after an assistant's text.

    It is not always the tokenizer's end token: Gemma's is `<eos>`, and its turns end with `<end_of_turn>`. None where
    the tokenizer has no token of its own for what follows, or the template renders no conversation that ends so.
    """
    from jinja2 import TemplateError

    turns = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": _TEXT}]
    try:
        whole = tokenizer.apply_chat_template(turns, chat_template=template, tokenize=False)
    except TemplateError:
        return None
    after = tokenizer.encode(whole.rpartition(_TEXT)[2], add_special_tokens=False)
    token = tokenizer.added_tokens_decoder.get(after[0]) if after else None
    return None if token is None else str(token.content)
