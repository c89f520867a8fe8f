"""Raw prompts to replies, outside any experiment: the judge of `jobs/parity.py`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
from capgap_ray.records import Completion, Message, Request, content_id
from capgap_ray.rows import from_row, to_row
from capgap_ray.settings import Engine, Resources
from capgap_ray.stages.cluster import cluster
from capgap_ray.stages.engine import Decoding
from capgap_ray.stages.engine_pool import EnginePool
from capgap_ray.stages.inference import run_slices
from capgap_ray.stages.known_rows import made_by
from capgap_ray.stages.slices import Slice


def ask(
    store: Store, source: str, identity: str, prompts: Sequence[str], max_tokens: int, engine: Engine, where: Resources
) -> list[str | None]:
    """One greedy reply per prompt, which is sent as it is. Equal prompts are asked once, and never again in the store.

    None stands for what the model cannot be asked: a prompt longer than `engine` allows.

    `source` and `identity` are a model's, as in `catalog.models.Model`.
    """
    distinct = list(dict.fromkeys(prompts))
    ids = {prompt: content_id(prompt) for prompt in distinct}
    decoding = Decoding(temperature=0.0, top_p=1.0, max_tokens=max_tokens, stop=(), seed=0, plain=True)
    step = Step(
        stage="ask",
        version=1,
        params={
            "model": identity,
            "prompts": sorted(ids.values()),
            "max_tokens": max_tokens,
            "engine": engine.of_all(),
        },
        label="prompts",
    )
    requests, shard = f"{step.address}/rows/requests.parquet", "rows/replies.parquet"
    if not store.exists(f"{step.address}/{shard}"):
        turns = [
            Request(example_id=ids[each], task="", messages=(Message(role="user", content=each),)) for each in distinct
        ]
        store.write_rows(requests, [to_row(turn) for turn in turns])
        wanted = Slice(
            address=step.address,
            shard=shard,
            source=source,
            model=identity,
            requests=requests,
            start=0,
            stop=len(distinct),
            decoding=decoding,
            maker=made_by(identity, engine.of_all(), "ask"),
        )
        with cluster(where, 0, store), closing(EnginePool(engine, where)) as pool:
            for _ in run_slices(store, pool, [wanted]):
                pass
    replies = {
        row.example_id: row.text
        for row in (from_row(Completion, each) for each in store.read_rows(f"{step.address}/{shard}"))
    }
    return [replies.get(ids[prompt]) for prompt in prompts]
