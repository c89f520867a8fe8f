"""An engine that answers by rule, for tests and benchmarks of what is around engines; no number rests on it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import ray

from capgap_ray.records import Message
from capgap_ray.stages.engine import Ask, Decoding, Output, Refusal
from capgap_ray.stages.engine_actor import Pulse

FINGERPRINT = "scripted"


@ray.remote
class ScriptedEngine:
    """Answers with the prompt's last word in capitals; obeys `ABORT`, `BREAK`, `DIE`, `FETCH`, `HANG`,
    `LOOK`, `RAISE`, `EMPTY`, `SLOW`, `STALL`.

    A call takes 50 ms, and half a second with the stop string `PAUSE`.
    """

    def __init__(self, desk: str, index: int, dtype: str, max_model_len: int, layout: Any, share: float | None) -> None:
        self._pulse = Pulse(desk, index)
        self._told = 0
        print(f"scripted engine {index} is ready", flush=True)

    def ready(self) -> None:
        """Answers once the process has started."""

    def complete(
        self, source: str, asks: Sequence[Ask], decoding: Decoding, canaries: Any, number: int = 0, joins: bool = False
    ) -> tuple[list[Output | Refusal], str]:
        if "ABORT" in asks[0].chat[-1].content:
            os._exit(1)
        if "BREAK" in asks[0].chat[-1].content:
            raise RuntimeError("CUDA driver is too old")
        if "FETCH" in asks[0].chat[-1].content:  # for longer than the time-out of the test
            for _ in range(10):
                self._pulse("fetching")
                time.sleep(0.5)
        if "STALL" in asks[0].chat[-1].content:
            self._pulse("fetching")
            time.sleep(3600)
        self._pulse("answering")
        if "LOOK" in asks[0].chat[-1].content and joins:  # for the call that follows; that one is answered with BEGUN
            begun, self._told = self._told == number, 0
            for _ in range(20):
                if found := ray.get(self._pulse.following()):
                    self._told = found[0]
                    assert len(ray.get(found[1][0])) == len(asks)
                    break
                time.sleep(0.1)
            if begun:
                asks = [Ask(chat=(Message(role="user", content="begun"),), seed=None)] * len(asks)
        time.sleep(0.5 if "PAUSE" in decoding.stop else 0.05)
        return [self._one(ask.chat[-1].content, decoding) for ask in asks], FINGERPRINT

    def _one(self, prompt: str, decoding: Decoding) -> Output | Refusal:
        if "DIE" in prompt:
            os._exit(1)
        if "HANG" in prompt:
            print("about to hang", flush=True)
            time.sleep(3600)
        if "RAISE" in prompt:
            raise RuntimeError("device-side assert")
        if "SLOW" in prompt:
            time.sleep(0.05)
        if "EMPTY" in prompt and decoding.text_needed:
            return Refusal(reason="empty", detail="1 tokens, no text")
        text = prompt.split()[-1].upper()
        return Output(text=text, finish_reason="stop", stop_reason=None, prompt_tokens=3, completion_tokens=2)
