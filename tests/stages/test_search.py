"""What a search proposes, and what is seen of a training on the way; no Ray runs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
from capgap_ray.plan import Scored
from capgap_ray.records import Score
from capgap_ray.rows import to_row
from capgap_ray.settings import EarlyStop, Search
from capgap_ray.stages.search import Candidates, Hopeless, Look, Picker, Watched, follow, hopeless, looks

AXES = {f"{a}{b}": {"sft.batch": str(a), "sft.epochs": str(b)} for a in range(4) for b in range(5)}


def proposals(
    searcher: str, trials: int, begun: Sequence[str] = (), known: dict[str, float] | None = None
) -> list[str]:
    settings = Search(searcher=searcher, trials=trials)
    picker = Picker(Candidates(settings=settings, axes=AXES, begun=begun, known=known or {}))
    found = []
    while (config := picker.suggest(f"trial-{len(found)}")) != Picker.FINISHED:
        key = config["key"]
        picker.on_trial_complete(f"trial-{len(found)}", {"accuracy": int(key[0]) * int(key[1]) / 12})
        found.append(key)
    return found


@pytest.mark.parametrize("searcher", ["optuna", "random"])
def test_as_many_cells_as_asked_for_are_proposed_and_none_twice(searcher: str) -> None:
    found = proposals(searcher, 12)
    assert len(found) == len(set(found)) == 12
    assert found == proposals(searcher, 12), "the seed decides"
    assert sorted(proposals(searcher, 99)) == sorted(AXES)


@pytest.mark.parametrize("searcher", ["optuna", "random"])
def test_what_an_earlier_run_began_comes_first_and_what_it_ended_does_not_come_again(searcher: str) -> None:
    found = proposals(searcher, 6, begun=["31", "02"], known={"11": 0.5, "33": 0.9})
    assert found[:2] == ["31", "02"]
    assert len(found) == 4
    assert not {"11", "33"} & set(found)


def test_optuna_learns_from_what_it_is_told() -> None:
    """Half of the trials random, the others drawn towards large values of both axes."""
    found = proposals("optuna", 16)
    values = [int(key[0]) * int(key[1]) for key in found]
    assert sum(values[10:]) / 6 > sum(values[:10]) / 10


# --- on the way ----------------------------------------------------------------------------------------------


def look(update: int, differences: Sequence[float], updates: int = 10) -> Look:
    return Look(update=update, updates=updates, accuracy=0.5, differences=tuple(differences))


def test_a_cell_is_given_up_only_when_it_is_surely_worse_and_late_enough() -> None:
    rule = EarlyStop(alpha=0.05, after=0.5)
    bad, fair = [-1.0] * 20, [-1.0, 1.0] * 10
    assert hopeless([look(4, bad)], rule) is None, "too early"
    found = hopeless([look(4, bad), look(5, bad)], rule)
    assert found is not None
    assert (found["look"], found["alpha"]) == (1, 0.025)
    assert found["high_points"] < 0
    assert hopeless([look(5, bad), look(6, fair)], rule) is None, "the last look counts"
    assert hopeless([look(5, [-1.0, -1.0])], rule) is None, "two items prove nothing"
    assert hopeless([look(5, bad)], EarlyStop(margin_points=100)) is None


def score_step(name: str) -> Scored:
    complete = Step("complete", 1, {"n": name}, (), name)
    return Scored(complete=complete, score=Step("score", 1, {}, (complete,), name))


def write(store: Store, scored: Scored, right: Sequence[bool]) -> None:
    def row(number: int, good: bool) -> dict[str, Any]:
        return to_row(
            Score(
                example_id=f"item-{number}",
                task="t",
                model="m",
                target="x",
                text="x",
                answer="x",
                finish_reason="stop",
                completion_tokens=1,
                outcome="right" if good else "wrong",
                strict=float(good),
                flexible=float(good),
                judged=None,
                judge_verdict=None,
            )
        )

    store.build_rows(scored.score, lambda: ([row(i, good) for i, good in enumerate(right)], {}))


TRAIN = Step("train", 1, {"sft": {"checkpoints": {"every": 2}}}, (), "cell")
END = score_step("end")
BEFORE = score_step("before")


def watched(early_stop: EarlyStop | None = None) -> Watched:
    stop = Step("stop", 1, {}, (TRAIN,), "cell") if early_stop else None
    return Watched(end=(END,), untouched=(BEFORE.score,), early_stop=early_stop, stop=stop)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A training that has told of update 5 of 9 and exported 2 and 4."""
    store = Store(str(tmp_path))
    attempt = f"{TRAIN.address}/attempts/one"
    told = {"update": 5, "updates": 9, "loss": 1.0, "attempt": attempt}
    store.write_bytes(f"{TRAIN.address}/progress.json", json.dumps(told).encode())
    for update in (2, 4):
        store.write_bytes(f"{attempt}/update-{update:06d}/config.json", b"{}")
    write(store, BEFORE, [True] * 30)
    return store


def test_each_scored_export_is_reported_in_order_and_the_end_last(store: Store) -> None:
    write(store, END.after(2), [True] * 15 + [False] * 15)
    reported: list[dict[str, float]] = []
    turns = iter(["score 4", "train", "score the end"])

    def check() -> None:
        match next(turns):
            case "score 4":
                assert [each["accuracy"] for each in reported] == [0.5]
                write(store, END.after(4), [True] * 30)
            case "train":
                assert [each["accuracy"] for each in reported] == [0.5, 1.0]
                store.commit(TRAIN, f"{TRAIN.address}/attempts/one", {"updates": 9}, 1.0)
            case "score the end":
                write(store, END, [True] * 24 + [False] * 6)

    follow(store, TRAIN, watched(), lambda: not store.built(TRAIN), reported.append, check)
    assert reported[-1] == {"accuracy": 0.8, "percent": 100.0}
    assert [round(each["percent"]) for each in reported] == [22, 44, 100]


def test_an_export_scored_after_a_later_one_is_not_looked_at(store: Store) -> None:
    """Where the engines are slower than the training, the newest is scored first."""
    write(store, END.after(4), [True] * 30)
    seen = list(looks(store, TRAIN, watched()))
    write(store, END.after(2), [False] * 30)
    assert [look.update for look in seen] == [4]
    assert list(looks(store, TRAIN, watched(), after=seen[-1].update)) == []


def test_a_hopeless_training_is_ended_and_what_was_seen_is_kept(store: Store) -> None:
    rule = EarlyStop(after=0.4)
    for update in (2, 4):
        write(store, END.after(update), [False] * 30)
    with pytest.raises(Hopeless):
        follow(store, TRAIN, watched(rule), lambda: True, lambda told: None, lambda: None)
    stop = watched(rule).stop
    assert stop is not None
    record = store.record(stop)
    assert record is not None
    assert record.summary["update"] == 4
    assert record.summary["difference_points"] == -100
    assert record.summary["items"] == 30


def test_what_ends_the_training_ends_the_waiting(store: Store) -> None:
    def check() -> None:
        raise ValueError("refused by the workers")

    with pytest.raises(ValueError, match="refused by the workers"):
        follow(store, TRAIN, watched(), lambda: False, lambda told: None, check)
