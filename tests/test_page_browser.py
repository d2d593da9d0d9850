"""The page in a real browser: what is seen, what a keyboard reaches, how narrow it may be, and that it follows the lake."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pipelines.bronze.tables import EVENTS
from pipelines.gold.tables import FRONTIERS, STATISTICS
from pipelines.lake import Lake
from pipelines.paths import log_path
from pipelines.silver.tables import CONTROLS, QUARANTINE
from tests.pages import FRONTIER, decided, filled, get, serve_day, served
from tests.test_page import damaged
from tests.watching import DAY, reach

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[test]'")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH: apt install chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
POINTS = "#chart .scatterlayer .trace .points path"

TRACES = """() => document.getElementById('chart').data.map((t) => (
  {dash: t.line.dash ?? '', fill: t.fillpattern?.shape ?? '', y: t.y.filter((y) => y !== null).length, axis: t.yaxis}))"""

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return filled(tmp_path_factory.mktemp("browser") / "lake")[0]


@pytest.fixture(scope="module")
def address(lake: Lake) -> Iterator[str]:
    with served(lake.root) as found:
        yield found


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Open]:
    """Open the page, drawn; it must end without an error, and have loaded nothing from elsewhere."""
    contexts, wrong = [], []

    def at(query: str = "", of: str = address, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if "Content Security" in said.text else None)
        page.on("request", lambda asked: None if asked.url.startswith((of, "data:", "blob:")) else wrong.append(asked.url))
        page.goto(f"{of}/{query}")
        return page

    yield at
    for context in contexts:
        context.close()
    assert not wrong


def drawn(page: Any, windows: int) -> Any:
    """The page, once so many windows are drawn."""
    page.wait_for_selector(f"#windows caption:has-text('{windows} windows')")
    page.wait_for_selector(POINTS)
    return page


def test_what_may_still_change_looks_different_from_what_is_final(opened: Open, address: str) -> None:
    page = drawn(opened("?metric=accuracy"), 6)
    assert page.locator("tr.provisional").count() == 2
    assert page.locator("tr.provisional >> text=provisional").count() == 2
    traces = page.evaluate(TRACES)
    assert [(one["dash"], one["y"]) for one in traces if one["axis"] == "y" and not one["fill"]][-2:] == [("", 4), ("dash", 3)]
    assert [one["axis"] for one in traces if one["fill"] == "/"] == ["y", "y2"]
    assert "2 are provisional" in page.get_attribute("#chart", "aria-label")
    windows = get(f"{address}/api/metrics?model=m&label=late&metric=accuracy&every=1+day")[1]["windows"]
    shown = page.locator("#windows tbody tr td:nth-child(2)").all_inner_texts()
    assert [float(text) for text in shown] == pytest.approx([one["values"]["accuracy"] for one in reversed(windows)], abs=1e-4)


def test_a_point_is_explained_in_a_panel_that_can_be_linked_to(opened: Open) -> None:
    page = drawn(opened("?metric=accuracy&by=origin"), 12)
    page.locator(POINTS).first.hover(force=True)
    box = page.locator(POINTS).first.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("dialog[open] >> text=what the rows below post")
    assert "cell=2026-03-02T00" in page.url
    assert "segment=origin" in page.url
    linked = opened("?" + urlsplit(page.url).query)
    linked.wait_for_selector("dialog[open] >> text=what the rows below post")
    assert linked.inner_text("dialog dl.path") == page.inner_text("dialog dl.path")
    linked.locator("dialog button.link").first.click()
    linked.wait_for_selector("dialog[open] >> text=Votes, as the policy sees them")
    linked.go_back()
    linked.wait_for_selector("dialog[open] >> text=what the rows below post")
    linked.keyboard.press("Escape")
    linked.wait_for_selector("dialog[open]", state="detached")
    assert "cell" not in linked.url


def test_a_panel_closes_at_once_though_its_answer_is_still_to_come(opened: Open) -> None:
    page = drawn(opened("?metric=accuracy"), 6)
    held: list[Any] = []

    def hold(route: Any) -> None:
        held.append(route)

    page.route("**/explain/**", hold)
    page.locator("#windows button").first.click()
    page.wait_for_selector("dialog[open] >> text=reading the lake")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog[open]", state="detached")
    held[0].continue_()


def test_a_keyboard_reaches_and_works_everything(opened: Open) -> None:
    page = drawn(opened("?metric=accuracy"), 6)
    reached: list[str] = []
    for _ in range(80):
        page.keyboard.press("Tab")
        one = page.evaluate("""() => { const e = document.activeElement, s = getComputedStyle(e);
            return [e.id || e.name || e.dataset.key || e.textContent.slice(0, 20) || e.className, s.outlineStyle] }""")
        if page.evaluate("document.activeElement === document.body"):
            break  # round
        reached.append(one[0])
        assert one[1] != "none", f"no focus is seen on {one[0]}"
    assert {"as_of", "model", "label", "metric", "by", "every", "last", "earlier"} <= set(reached)
    page.locator("#windows button").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open] >> text=what the rows below post")
    assert page.evaluate("document.querySelector('dialog').contains(document.activeElement)")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog[open]", state="detached")
    page.locator("select[name=metric]").focus()
    page.keyboard.type("recall")
    page.wait_for_selector("#headline >> text=recall")
    assert "metric=recall" in page.url


CONTRAST = """() => {
  const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return { rgb: [r, g, b], a }; };
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const light = (rgb) => rgb.map((c, i) => linear(c / 255) * [0.2126, 0.7152, 0.0722][i]).reduce((a, b) => a + b);
  const behind = (e) => {
    const { rgb, a } = parse(getComputedStyle(e).backgroundColor);
    return a === 1 ? rgb : e.parentElement ? behind(e.parentElement) : [255, 255, 255];
  };
  const says = (e) => [...e.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  const texts = [...document.querySelectorAll('body *')].filter((e) => e.checkVisibility() && !e.closest('svg') && !e.disabled && says(e));
  return texts.map((e) => {
    const [a, b] = [light(parse(getComputedStyle(e).color).rgb), light(behind(e))].sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), e.textContent.slice(0, 40)];
  }).filter(([ratio]) => ratio < 4.5);
}"""
"""The texts whose contrast is below 4.5, which WCAG 2.2 AA wants of text of this size."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_by_light_and_dark_and_on_a_narrow_screen(opened: Open, scheme: str) -> None:
    page = drawn(opened("?by=origin&metric=accuracy", color_scheme=scheme, viewport={"width": 360, "height": 740}), 12)
    page.wait_for_selector("#quarantine table")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate(CONTRAST) == []
    page.locator("#windows button").first.click()
    page.wait_for_selector("dialog[open] >> text=what the rows below post")
    assert page.evaluate("document.querySelector('dialog').scrollWidth") <= 360
    assert page.evaluate(CONTRAST) == []


def test_another_time_shows_what_was_known_then_and_now_leads_back(opened: Open) -> None:
    page = drawn(opened("?metric=accuracy"), 6)
    page.fill("#as_of", "2026-03-04T12:00")
    page.locator("#as_of").dispatch_event("change")
    drawn(page, 3)
    assert "as_of=2026-03-04T12" in page.url
    page.wait_for_selector("#headline >> text=as known at 2026-03-04 12:00")
    page.click("#now")
    drawn(page, 6)


def test_what_cannot_be_shown_is_said_in_words_and_the_rest_is_shown(opened: Open, lake: Lake, tmp_path: Path) -> None:
    page = opened("?model=n")
    page.wait_for_selector('#windows >> text=there is no model "n"')
    page.wait_for_selector("#flow table")
    new = Lake(tmp_path / "new")
    new.create(EVENTS, CONTROLS, FRONTIERS, STATISTICS)
    log_path(new.root).parent.mkdir()
    log_path(new.root).touch()
    with served(new.root) as address:
        page = opened(of=address)
        page.wait_for_selector("#windows >> text=nothing has been processed to an end yet")
        reach(new, FRONTIER)
        page.wait_for_selector("#windows >> text=The lake knows of no model yet")
        page.close()
    shutil.copytree(lake.root, tmp_path / "lake")
    damaged(Lake(tmp_path / "lake"), QUARANTINE)
    with served(tmp_path / "lake") as address:
        page = drawn(opened("?metric=accuracy", of=address), 6)
        page.wait_for_selector("#quarantine >> text=says what else is damaged")
        page.close()


def test_alerts_drift_triggers_the_loop_and_releases_are_shown(opened: Open, tmp_path: Path) -> None:
    lake, _ = filled(tmp_path / "lake", days=1)
    decided(lake)
    said = {"alerts": "open", "drift": "◆ 0.3", "triggers": "fired", "loop": "judged → promoted", "releases": "m/late/1"}
    with served(lake.root) as address:
        page = opened("?as_of=2026-03-05", of=address)
        for section, text in said.items():
            page.wait_for_selector(f"#{section} tbody >> text={text}")
        page.wait_for_selector("#drift .chart .main-svg")
        assert "1 reach the reference" in page.get_attribute("#drift .chart", "aria-label")
        page.close()
        before = opened("?as_of=2026-03-04", of=address)
        before.wait_for_selector("#loop >> text=No trigger has been acted on")
        assert [before.locator(f"#{one} table").count() for one in ("alerts", "drift", "triggers", "loop", "releases")] == [0] * 5
        before.close()


def test_the_page_follows_the_lake(opened: Open, tmp_path: Path) -> None:
    lake, watched = filled(tmp_path / "lake")
    with served(lake.root) as address:
        page = drawn(opened("?metric=accuracy", of=address), 6)
        page.wait_for_selector("#live.on")
        page.locator("#windows button").first.focus()
        key = page.evaluate("document.activeElement.dataset.key")
        serve_day(lake, watched, 6)
        reach(lake, FRONTIER + DAY)
        drawn(page, 7)
        assert page.evaluate("document.activeElement.dataset.key") == key
        assert page.evaluate("document.getElementById('chart').data.at(-1).x.length") == 7
        page.close()
