"""The page in headless Chromium, from disk and without a network: it opens, sorts, filters, turns pages, prints, and
nothing that a model wrote comes alive. Skipped where no Chromium and chromedriver are found."""

from __future__ import annotations

import base64
import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from capgap_ray.report import bundle
from capgap_ray.report.items import TaskSource
from capgap_ray.results import Results

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install selenium")

HOSTILE = (
    "</script><script>window.ran = 1</script><img src=x onerror='window.ran = 2'><svg onload='window.ran = 3'>"
    "<a href='javascript:window.ran = 4'>x</a><style>body { display: none }</style>{{ 7*7 }}\u2028${7*7}"
)
_CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_DRIVER = shutil.which("chromedriver")
_ARGUMENTS = ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking")
_ARGUMENTS += ("disable-component-update", "disable-sync")

pytestmark = pytest.mark.skipif(
    not (_CHROMIUM and _DRIVER), reason="no chromium or no chromedriver on PATH; the page is not tested in a browser"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = _CHROMIUM
    for argument in (*_ARGUMENTS, f"user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(_DRIVER))
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    yield driver
    driver.quit()


def write(files: dict[str, bytes], folder: Path) -> str:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return (folder / "index.html").as_uri()


@pytest.fixture(scope="module")
def address(results: Results, make_source: Callable[..., TaskSource], tmp_path_factory: pytest.TempPathFactory) -> str:
    tasks = [make_source(task, 80) for task in ("boxes", "dates")]
    return write(dict(bundle.report_files(results, tasks)), tmp_path_factory.mktemp("report"))


@pytest.fixture
def opened(browser: Any, address: str) -> Any:
    browser.get(address)
    return browser


def _cells(browser: Any, grid: str, column: str) -> list[str]:
    script = """
        const table = document.querySelector(`.grid[data-name=${arguments[0]}] table`);
        const at = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent === arguments[1]);
        return [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[at].textContent);
    """
    found: list[str] = browser.execute_script(script, grid, column)
    return found


def _press(browser: Any, grid: str, column: str) -> str | None:
    script = """
        const heads = [...document.querySelectorAll(`.grid[data-name=${arguments[0]}] th`)];
        const head = heads.find((cell) => cell.textContent === arguments[1]);
        head.querySelector("button").click();
        return head.getAttribute("aria-sort");
    """
    state: str | None = browser.execute_script(script, grid, column)
    return state


def test_it_opens_without_a_word_on_the_console_and_asks_nobody(opened: Any) -> None:
    assert "does distillation help?" in opened.title
    assert opened.get_log("browser") == []
    asked = opened.execute_script("return performance.getEntriesByType('resource').map((each) => each.name)")
    assert asked == []
    assert opened.execute_script("return document.querySelectorAll('.item').length") == 8


def test_tables_sort_by_number_and_by_name_with_unknowns_last(opened: Any) -> None:
    before = _cells(opened, "comparisons", "change")
    assert _press(opened, "comparisons", "p") == "ascending"
    assert _press(opened, "comparisons", "change") == "ascending"
    up = _cells(opened, "comparisons", "change")
    assert up[-1] == "—"
    assert [float(x) for x in up[:-1]] == sorted(float(x) for x in before if x != "—")
    assert _press(opened, "comparisons", "change") == "descending"
    down = _cells(opened, "comparisons", "change")
    assert down[-1] == "—" and [float(x) for x in down[:-1]] == sorted((float(x) for x in up[:-1]), reverse=True)
    assert _press(opened, "comparisons", "change") is None
    assert _cells(opened, "comparisons", "change") == before
    assert _press(opened, "pooled", "arm") == "ascending"
    names = _cells(opened, "pooled", "arm")
    assert names == sorted(names)


def test_tables_filter(opened: Any) -> None:
    box = opened.find_element("css selector", ".grid[data-name=accuracies] input")
    box.send_keys("boxes mix 5x4")
    assert _cells(opened, "accuracies", "arm") == ["tiny-student-0.5m / mix / 5x4", "tiny-student-2m / mix / 5x4"]
    assert opened.find_element("css selector", ".grid[data-name=accuracies] .count").text == "2 of 36 rows"
    box.clear()
    box.send_keys(" ")
    assert len(_cells(opened, "accuracies", "arm")) == 36


def _choose(browser: Any, name: str, value: str) -> None:
    script = """
        const select = document.querySelector(`.choose select[name=${arguments[0]}]`);
        select.value = arguments[1];
        select.dispatchEvent(new Event("change"));
    """
    browser.execute_script(script, name, value)


def test_items_are_found_by_what_changed_and_turned_page_by_page(opened: Any) -> None:
    _choose(opened, "task", "dates")
    _choose(opened, "arm", "mix / 5x4")
    _choose(opened, "change", "lost")
    lost = int(
        next(
            n
            for n, student, mixture, batch, task in zip(
                *(_cells(opened, "flips", name) for name in ("lost", "student", "mixture", "batch", "task")),
                strict=True,
            )
            if (student, mixture, batch, task) == ("tiny-student-0.5m", "mix", "5x4", "dates")
        )
    )
    at = opened.find_element("css selector", ".pager .at").text
    assert at == f"1–{min(8, lost)} of {lost} items"
    items = opened.find_elements("css selector", ".item")
    assert len(items) == min(8, lost)
    replies = items[0].find_elements("css selector", ".reply")
    told = [reply.find_element("css selector", "summary").text for reply in replies]
    assert [words.split(":")[0] for words in told] == ["Teacher", "Teacher", "Before", "After"]
    assert "lost" in told[3] and "✓ right" in told[2]
    assert "The ball starts there." in replies[3].text, "one arm chosen: its answer is open"
    _choose(opened, "change", "")
    assert opened.find_element("css selector", ".pager .at").text == "1–8 of 80 items"
    opened.execute_script("document.querySelectorAll('.pager button')[1].click()")
    assert opened.find_element("css selector", ".pager .at").text == "9–16 of 80 items"


@pytest.mark.parametrize("width", [320, 375, 768])
def test_no_width_scrolls_sideways(browser: Any, address: str, width: int) -> None:
    metrics = {"width": width, "height": 700, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        browser.get(address)
        browser.execute_script("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        sizes = browser.execute_script(
            "return [...document.querySelectorAll('.panel svg text')].map((t) => t.getBoundingClientRect().height)"
        )
        assert min(h for h in sizes if h > 0) >= 6
    finally:
        wide = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", wide)


def test_it_prints(opened: Any) -> None:
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        hidden = (
            "return ['nav', '.choose', '.bar input'].map((s) => getComputedStyle(document.querySelector(s)).display)"
        )
        assert opened.execute_script(hidden) == ["none"] * 3
        cut = """
            return [...document.querySelectorAll('.scroll')]
                .filter((each) => each.getBoundingClientRect().height && getComputedStyle(each).overflowY !== 'visible')
                .length;
        """
        assert opened.execute_script(cut) == 0, "no row hides in a box that scrolls"
        pdf = base64.b64decode(opened.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"])
    finally:
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert pdf.startswith(b"%PDF") and 4 <= pdf.count(b"/Type /Page\n") <= 40


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_picture_of_it_is_not_blank(browser: Any, address: str, scheme: str, tmp_path: Path) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    browser.get(address)
    picture = tmp_path / f"{scheme}.png"
    assert browser.save_screenshot(str(picture))
    import numpy as np
    from matplotlib.image import imread

    pixels = np.asarray(imread(picture))[..., :3]
    assert pixels.shape[:2] == (900, 1280) and pixels.std() > 0.05
    assert (pixels[5, 5].mean() > 0.9) == (scheme == "light")


def test_text_of_models_never_runs(
    browser: Any, results: Results, make_source: Callable[..., TaskSource], tmp_path: Path
) -> None:
    hostile = dataclasses.replace(
        results,
        experiment=f"demo {HOSTILE}",
        command=HOSTILE,
        experiment_yaml=HOSTILE,
        versions={HOSTILE: HOSTILE},
        verdicts=tuple(dataclasses.replace(v, reasons=(HOSTILE,)) for v in results.verdicts),
    )
    browser.get(write(dict(bundle.report_files(hostile, [make_source("boxes", 12, HOSTILE)])), tmp_path))
    assert browser.get_log("browser") == []
    assert browser.execute_script("return window.ran === undefined")
    assert browser.execute_script("return document.scripts.length") == 2
    assert not browser.find_elements("css selector", "img, iframe, a[href^=javascript], svg[onload]")
    question = browser.find_element("css selector", ".question")
    assert HOSTILE.replace("\u2028", "") in question.get_property("textContent").replace("\u2028", "")
    assert question.is_displayed()


def test_the_policy_stops_what_escaping_would_miss(opened: Any) -> None:
    opened.execute_script("""
        const script = document.createElement("script");
        script.textContent = "window.ran = 5";
        document.body.append(script);
        const holder = document.createElement("div");
        holder.innerHTML = "<img src=x onerror='window.ran = 6'>";
        document.body.append(holder);
    """)
    assert opened.execute_script("return window.ran === undefined")
    assert any("Content Security Policy" in each["message"] for each in opened.get_log("browser"))
