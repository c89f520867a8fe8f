from __future__ import annotations

import subprocess
import sys

import pytest

RANKS = 3


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, str, str]]:
    """Exit status, output and errors of every rank."""
    store = str(tmp_path_factory.mktemp("ranks") / "store")
    started = [
        subprocess.Popen(
            [sys.executable, __file__, str(rank), store], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for rank in range(RANKS)
    ]
    try:
        said = [each.communicate(timeout=60) for each in started]
    finally:
        for each in started:
            each.kill()
    return [(each.returncode, *texts) for each, texts in zip(started, said, strict=True)]


def test_results_are_those_of_gloo_and_ranks_elsewhere_are_told(ranks: list[tuple[int, str, str]]) -> None:
    for _, output, error in ranks:
        assert output == "equal\napart\n", error


def test_a_rank_that_dies_ends_the_others(ranks: list[tuple[int, str, str]]) -> None:
    *others, last = ranks
    assert last[0] == 9
    for status, _, error in others:
        assert status == 1
        assert "ConnectionError: another rank of the training has ended" in error or "BrokenPipeError" in error


# --- what a rank does ----------------------------------------------------------------------------------------


def collectives(rank: int) -> None:
    """The same results as Gloo's, whatever the length: sums of small integers are exact in any order."""
    import torch
    import torch.distributed as dist

    from capgap_ray.stages import sft_shared

    sft_shared.SLOT_BYTES = 240  # so that most go in several pieces
    shared = sft_shared.share()
    assert shared is not None
    made = torch.Generator().manual_seed(rank)
    for dtype in (torch.float32, torch.bfloat16, torch.int64):
        for length in (1, 9, 10, 57, 60, 400):
            whole = torch.randint(-9, 9, (RANKS * length,), generator=made).to(dtype)
            part = whole[:length]
            gathered, expected = torch.empty_like(whole), torch.empty_like(whole)
            dist.all_gather_into_tensor(expected, part)
            shared.all_gather(gathered, part)
            assert gathered.equal(expected)
            total = whole.clone()
            dist.all_reduce(total)
            mine = total[rank * length : (rank + 1) * length]
            scattered = whole.clone()[rank * length : (rank + 1) * length]
            shared.reduce_scatter(scattered, whole)
            assert scattered.equal(mine)
            shared.all_reduce(whole)
            assert whole.equal(total)
        wholes = [torch.randint(-9, 9, shape, generator=made).to(dtype) for shape in ((2, 3), (6,), (4,), (1,))]
        if dtype.is_floating_point:
            parts = shared.mean_parts(wholes)
            assert parts is not None
            for whole, part in zip(wholes, parts, strict=True):
                dist.all_reduce(total := whole.clone())
                padded = torch.nn.functional.pad(total.view(-1), (0, -total.numel() % RANKS)) / RANKS
                assert part.equal(padded.chunk(RANKS)[rank])
        assert shared.mean_parts([torch.zeros(61, dtype=torch.float32)]) is None  # more than a slot holds
    scalar = torch.tensor(rank)
    shared.all_reduce(scalar)
    assert scalar == sum(range(RANKS))


def machines(rank: int) -> None:
    """One of the ranks is elsewhere."""
    from capgap_ray.stages import sft_shared

    true_machine = sft_shared._machine
    if rank == 1:
        sft_shared._machine = lambda: 1
    assert sft_shared.share() is None
    sft_shared._machine = true_machine


def death(rank: int) -> None:
    import os

    import torch

    from capgap_ray.stages.sft_shared import share

    shared = share()
    assert shared is not None
    for turn in range(1000):
        if rank == RANKS - 1 and turn == 500:
            os._exit(9)
        shared.all_reduce(torch.ones(3))


def main() -> None:
    import torch.distributed as dist

    rank, store = int(sys.argv[1]), sys.argv[2]
    dist.init_process_group("gloo", store=dist.FileStore(store, RANKS), rank=rank, world_size=RANKS)
    collectives(rank)
    print("equal", flush=True)
    machines(rank)
    print("apart", flush=True)
    death(rank)


if __name__ == "__main__":
    main()
