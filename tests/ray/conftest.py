"""A local Ray, a store and requests in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from capgap_ray.artifacts.store import Store
from capgap_ray.settings import Engine, Resources
from capgap_ray.stages.cluster import cluster
from capgap_ray.stages.engine import Decoding
from capgap_ray.stages.engine_pool import EnginePool
from capgap_ray.stages.slices import Slice

DECODING = Decoding(temperature=0.0, top_p=1.0, max_tokens=24, stop=(), seed=0)
MakePool = Callable[..., EnginePool]


def request(item: str, text: str) -> dict[str, Any]:
    return {"example_id": item, "task": "t", "messages": [{"role": "user", "content": text}]}


def slices(store: Store, rows: Sequence[dict[str, Any]], source: str, size: int, decoding: Decoding) -> list[Slice]:
    """Write the requests and cut them into slices of `size` of one made-up step."""
    store.write_rows("requests.parquet", rows)
    return [
        Slice(
            address="complete/step",
            shard=f"rows/{start:09d}.parquet",
            source=source,
            model="m",
            requests="requests.parquet",
            start=start,
            stop=min(start + size, len(rows)),
            decoding=decoding,
        )
        for start in range(0, len(rows), size)
    ]


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    with cluster(Resources(engines=2, engine_cpus=1), 1):
        yield


@pytest.fixture
def make_pool(local_ray: None) -> Iterator[MakePool]:
    """Pools that are closed at the end of the test."""
    pools = []

    def make(engines: int = 1, actor: Any = None, **settings: Any) -> EnginePool:
        resources = Resources(engines=engines, engine_cpus=1, engine_timeout_s=settings.pop("timeout_s", 120))
        pools.append(EnginePool(Engine(**{"dtype": "float32", "max_model_len": 256, **settings}), resources, actor))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))
