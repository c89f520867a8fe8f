"""A report of 200,000 predictions: size of the page, time and memory to make it, and whether Chromium opens it.

    python tests/benchmarks/report.py [--quick] [--keep FOLDER]

Predictions are made up (random words, random outcomes) and lie in a store before the clock starts. The report is made
in a process of its own: read, joined, drawn, written. Ends with the goals; with `--quick` there are a tenth as many
predictions, and the goals stay the same.
"""

import argparse
import importlib.util
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from capgap_ray.artifacts.store import Store
from capgap_ray.records import Example, Score, content_id
from capgap_ray.report.bundle import report_files
from capgap_ray.report.items import Arm, TaskSource
from capgap_ray.rows import from_row, to_row

PAGE_MB, SECONDS, MEMORY_MB = 15.0, 60.0, 2000.0
TASKS = tuple(f"task-{i}" for i in range(10))
STUDENTS = {f"student-{size}m": size * 1_000_000 for size in (1, 3, 10, 30)}
MIXTURES = {
    "small": {"small": 1.0},
    "large": {"large": 1.0},
    "mix": {"small": 0.8, "large": 0.2},
    "same": {"small": 1.0},
}
ITEMS = 530
WORDS = (
    "box",
    "swaps",
    "then",
    "therefore",
    "Ann",
    "Ben",
    "12",
    "moves",
    "left",
    "to",
    "the",
    "answer",
    "is",
    "so",
    "<b>",
)


def builders() -> Any:
    """The tests' own builders of results, set to a larger grid."""
    path = Path(__file__).parents[1] / "report" / "conftest.py"
    spec = importlib.util.spec_from_file_location("builders", path)
    assert spec and spec.loader
    made = importlib.util.module_from_spec(spec)
    sys.modules["builders"] = made
    spec.loader.exec_module(made)
    for name, value in (("TASKS", TASKS), ("SELECTED", TASKS), ("STUDENTS", STUDENTS), ("MIXTURES", MIXTURES)):
        setattr(made, name, value)
    return made


def arms(made: Any) -> list[Arm]:
    found = [Arm(name, "teacher", None, None, None) for name in made.TEACHERS]
    found += [Arm(name, "baseline", name, None, None) for name in STUDENTS]
    return found + [
        Arm(f"{student} / {mixture} / {batch}", "distilled", student, mixture, batch)
        for student in STUDENTS
        for mixture in MIXTURES
        for batch in made.BATCHES
    ]


def fill(store: Store, everyone: list[Arm], items: int) -> None:
    """Write every task's examples and every arm's scores, texts of 40 to 320 words."""
    draw = random.Random(1)
    for task in TASKS:
        examples = [
            Example(
                id=content_id(task, str(i)),
                task=task,
                split="test",
                question=" ".join(draw.choices(WORDS, k=60)),
                target="(B)",
            )
            for i in range(items)
        ]
        store.write_rows(f"{task}/examples.parquet", [to_row(each) for each in examples])
        for at, arm in enumerate(everyone):
            rows = []
            for example in examples:
                right = draw.random() < 0.5
                rows.append(
                    Score(
                        example_id=example.id,
                        task=task,
                        model=arm.label,
                        target="(B)",
                        text=" ".join(draw.choices(WORDS, k=draw.randint(40, 320))),
                        answer="(B)" if right else "(A)",
                        finish_reason="stop",
                        completion_tokens=100,
                        outcome="right" if right else "wrong",
                        strict=float(right),
                        flexible=float(right),
                        judged=float(right),
                        judge_verdict=None if right else "INCORRECT",
                    )
                )
            store.write_rows(f"{task}/{at}.parquet", [to_row(each) for each in rows])


def sources(store: Store, everyone: list[Arm]) -> list[TaskSource]:
    def read(kind: type, path: str) -> Callable[[], Iterable[Any]]:
        return lambda: (from_row(kind, row) for row in store.read_rows(path))

    return [
        TaskSource(
            task,
            read(Example, f"{task}/examples.parquet"),
            [(arm, read(Score, f"{task}/{at}.parquet")) for at, arm in enumerate(everyone)],
        )
        for task in TASKS
    ]


def make(folder: str) -> None:
    """The process that is measured."""
    begun = time.monotonic()
    store, made = Store(folder), builders()
    for name, contents in report_files(made.results.__wrapped__(), sources(store, arms(made))):
        store.write_bytes(f"report/{name}", contents)
    seconds = time.monotonic() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    processor = time.process_time()
    print(json.dumps({"seconds": round(seconds, 1), "processor seconds": round(processor, 1), "peak MB": round(peak)}))


def opens(page: Path) -> tuple[float | None, int | None]:
    """Seconds until Chromium has drawn the page, and messages on its console; None without Chromium."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        return None, None
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    with tempfile.TemporaryDirectory() as profile:
        arguments = [
            "headless",
            "no-sandbox",
            "disable-gpu",
            "disable-quic",
            "no-first-run",
            "disable-component-update",
        ]
        for argument in (*arguments, "disable-background-networking", "disable-sync", f"user-data-dir={profile}"):
            options.add_argument(f"--{argument}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        try:
            begun = time.monotonic()
            browser.get(page.as_uri())
            assert len(browser.find_elements("css selector", ".item")) == 8
            return time.monotonic() - begun, len(browser.get_log("browser"))
        finally:
            browser.quit()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the predictions")
    parser.add_argument("--keep", metavar="FOLDER", help="leave store and report there")
    parser.add_argument("--make", metavar="FOLDER", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make:
        make(given.make)
        return
    folder = given.keep or tempfile.mkdtemp()
    try:
        everyone = arms(builders())
        items = ITEMS // 10 if given.quick else ITEMS
        fill(Store(folder), everyone, items)
        predictions = items * len(TASKS) * len(everyone)
        print(
            json.dumps({"predictions": predictions, "tasks": len(TASKS), "arms": len(everyone), "items": items}),
            flush=True,
        )
        measured = subprocess.run(
            [sys.executable, __file__, "--make", folder], stdout=subprocess.PIPE, text=True, check=True
        )
        found = json.loads(measured.stdout.splitlines()[-1])
        page = Path(folder) / "report" / "index.html"
        seconds, messages = opens(page)
        sizes = {path.name: round(path.stat().st_size / 1e6, 2) for path in (page, page.parent / "items.parquet")}
        print(
            json.dumps({**found, "MB": sizes, "seconds to open in Chromium": seconds and round(seconds, 1)}), flush=True
        )
        limits = (
            ("page, MB", sizes["index.html"], PAGE_MB),
            ("seconds to make it", found["seconds"], SECONDS),
            ("peak memory, MB", found["peak MB"], MEMORY_MB),
        )
        goals = {name: {"value": value, "goal": goal, "met": value < goal} for name, value, goal in limits}
        goals["console messages in Chromium"] = {"value": messages, "goal": 0, "met": messages == 0}
        print(json.dumps({"name": "report", "goals": goals}))
    finally:
        if not given.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
