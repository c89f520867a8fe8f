"""An OpenAI-compatible API as a model: the same asks and outputs as an engine's.

The `openai` client retries with exponential back-off and honours the server's `Retry-After`; here are the limits of
requests per minute and in flight, and what each kind of failure means: one row's, or everybody's.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from capgap_ray.catalog.models import Endpoint
from capgap_ray.stages.engine import Ask, Decoding, Output, Refusal

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_GIVE_UP = 8
"""Rows in a row that fail after all their retries: the endpoint is gone, and the rest need not be tried."""
_OTHER_BUDGET = "max_completion_tokens"


class EndpointError(RuntimeError):
    """An endpoint that will not answer any row; the message is one line for people and holds no key."""

    made: Mapping[int, Output | Refusal] = MappingProxyType({})
    """What had come back before, by its ask's place in the call."""


def is_endpoint(source: str) -> bool:
    """Whether a model's source is an API and not weights."""
    return source.startswith(Endpoint.PREFIX)


class EndpointClient:
    """Completions by one endpoint, shared by all who ask it, so that its limits hold for all together."""

    def __init__(self, source: str, key: str | None) -> None:
        """`key`: from `endpoint_key`, which the driver calls; no other process need have it in its environment."""
        self._spec = Endpoint.from_source(source)
        self._client: AsyncOpenAI | None = None
        self._key = key
        self._room = asyncio.Semaphore(self._spec.concurrency)
        self._next_start = 0.0
        self._failed = 0
        """Rows that failed since the last that did not."""
        self._budget = "max_tokens"
        """How the API calls the budget: some models of OpenAI refuse this name, and ask for the other one."""

    @property
    def fingerprint(self) -> str:
        """What is known of the engine behind the endpoint."""
        return f"endpoint, {self._spec.model}"

    async def complete(self, asks: Sequence[Ask], decoding: Decoding) -> list[Output | Refusal]:
        """One completion per ask, in order; those cut off once more with the larger budget, if there is one.

        Raises EndpointError, with what had come back, where the endpoint refuses the key or the model, or is not there.
        """
        budgets = [decoding.max_tokens, *([decoding.retry_truncated] if decoding.retry_truncated else [])]
        made: dict[int, Output | Refusal] = {}
        try:
            for budget in budgets:
                await self._all(made, asks, decoding, budget, budget is budgets[-1])
        except EndpointError as error:
            error.made = made
            raise
        return [made[index] for index in range(len(asks))]

    async def _all(
        self, made: dict[int, Output | Refusal], asks: Sequence[Ask], decoding: Decoding, max_tokens: int, last: bool
    ) -> None:
        """Ask what is not made yet. What is cut off is made by the `last` try only."""

        async def one(index: int) -> None:
            output = await self._one(asks[index], decoding, max_tokens)
            if last or isinstance(output, Refusal) or output.finish_reason != "length":
                made[index] = output

        tasks = [asyncio.create_task(one(index)) for index in range(len(asks)) if index not in made]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _one(self, ask: Ask, decoding: Decoding, max_tokens: int) -> Output | Refusal:
        if not any(turn.content for turn in ask.chat):
            return Refusal(reason="no prompt", detail=f"{len(ask.chat)} messages without text")
        async with self._room:
            await self._turn()
            made = await self._request(ask, decoding, max_tokens)
        if isinstance(made, Refusal) and made.reason == "unavailable":
            self._failed += 1
            if self._failed >= _GIVE_UP:
                raise EndpointError(f"{self._who}: {made.detail}; {self._failed} rows in a row")
        else:
            self._failed = 0
        return made

    async def _turn(self) -> None:
        """Wait until the requests per minute allow one more."""
        if self._spec.requests_per_minute is None:
            return
        now = time.monotonic()
        start = max(now, self._next_start)
        self._next_start = start + 60 / self._spec.requests_per_minute
        await asyncio.sleep(start - now)

    @property
    def _who(self) -> str:
        return f"endpoint {self._spec.url} ({self._spec.model})"

    def _connected(self) -> AsyncOpenAI:
        if self._client is None:
            from openai import AsyncOpenAI

            self._client = AsyncOpenAI(
                base_url=self._spec.url,
                api_key=self._key or "none",
                max_retries=self._spec.retries,
                timeout=self._spec.timeout_s,
            )
        return self._client

    async def _request(self, ask: Ask, decoding: Decoding, max_tokens: int) -> Output | Refusal:
        import openai

        client = self._connected()
        settings: dict[str, Any] = {
            "model": self._spec.model,
            "temperature": decoding.temperature,
            "top_p": decoding.top_p,
            self._budget: max_tokens,
            "stop": list(decoding.stop) or openai.omit,
            "seed": openai.omit if ask.seed is None else ask.seed,
        }
        try:
            if decoding.plain:
                prompt = "".join(turn.content for turn in ask.chat)
                answer: Any = await client.completions.create(prompt=prompt, **settings)
            else:
                turns: Any = [{"role": turn.role, "content": turn.content} for turn in ask.chat]
                answer = await client.chat.completions.create(messages=turns, **settings)
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            key = self._spec.key_env
            mend = f"check the key in {key}" if key else "it wants a key; name its environment variable in key_env"
            raise EndpointError(f"{self._who}: answers {error.status_code}; {mend}") from None
        except openai.NotFoundError:
            raise EndpointError(f"{self._who}: answers 404; check `endpoint` (it ends in /v1) and `model`") from None
        except openai.APIStatusError as error:
            if error.status_code == 400 and _OTHER_BUDGET in error.message and _OTHER_BUDGET not in settings:
                self._budget = _OTHER_BUDGET
                return await self._request(ask, decoding, max_tokens)
            said = error.message.replace(self._key, "***") if self._key else error.message  # some servers quote it
            tried = f"answers {error.status_code}: {_short(said)}"
            again = error.status_code in (408, 409, 429) or error.status_code >= 500
            if again:
                return Refusal(reason="unavailable", detail=f"{tried} after {self._spec.retries} retries")
            long = "context" in error.message.lower() or "too long" in error.message.lower()
            return Refusal(reason="overlong" if long else "refused", detail=tried)
        except openai.APIConnectionError as error:  # a time-out is one, too
            kind = "no answer in time" if isinstance(error, openai.APITimeoutError) else "no connection"
            return Refusal(reason="unavailable", detail=f"{kind} after {self._spec.retries} retries")
        except (openai.APIResponseValidationError, ValueError) as error:  # a body that is no JSON
            return Refusal(reason="bad answer", detail=_short(str(error)))
        return _read(answer, decoding)


def endpoint_key(source: str) -> str | None:
    """The key from the environment; None where the endpoint wants none. Raises EndpointError if it is not set."""
    spec = Endpoint.from_source(source)
    if spec.key_env is None:
        return None
    key = spec.key()
    if not key:
        raise EndpointError(f"endpoint {spec.url}: environment variable {spec.key_env} (key_env) is not set")
    return key


def _read(answer: Any, decoding: Decoding) -> Output | Refusal:
    """A completion as the protocol has it, or why it is none."""
    try:
        choice, usage = answer.choices[0], answer.usage
        text = choice.text if decoding.plain else _with_thinking(choice.message)
        finish, counts = choice.finish_reason, (usage.prompt_tokens, usage.completion_tokens)
        refused = None if decoding.plain else getattr(choice.message, "refusal", None)
    except (AttributeError, IndexError, TypeError):
        return Refusal(reason="bad answer", detail=f"no completion: {_short(str(answer))}")
    if finish == "content_filter" or refused:
        return Refusal(reason="refused", detail=_short(str(refused or "content filter")))
    text = "" if text is None else text
    if finish not in ("stop", "length") or not isinstance(text, str) or not all(type(n) is int for n in counts):
        return Refusal(reason="bad answer", detail=f"finish_reason {finish!r}, tokens {counts}, {_short(repr(text))}")
    if decoding.text_needed and not text.strip():
        return Refusal(reason="empty", detail=f"{counts[1]} tokens, no text")
    stop = getattr(choice, "stop_reason", None)  # vLLM's server tells it; the protocol does not
    return Output(
        text=_characters(text),
        finish_reason=finish,
        stop_reason=_characters(stop) if isinstance(stop, str) else None,
        prompt_tokens=counts[0],
        completion_tokens=counts[1],
    )


def _characters(text: str) -> str:
    """JSON may escape half of a surrogate pair, which is no character and in no file: the replacement character."""
    return re.sub(r"[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)


def _with_thinking(message: Any) -> Any:
    """The content after the think block that the server has cut from it; without content, the thinking has no end."""
    thought = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    if not isinstance(thought, str) or not thought.strip():
        return message.content
    begun = f"<think>\n{thought.strip()}"
    return f"{begun}\n</think>\n\n{message.content.lstrip()}" if message.content else begun


def _short(text: str) -> str:
    line = " ".join(_characters(text).split())
    return line if len(line) <= 200 else f"{line[:200]}…"
