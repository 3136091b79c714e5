"""The report in a real browser: what it shows, what a click does, and that its console stays empty."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import browser
import eplb
import numpy as np
import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    browser.chromium() is None, reason="no Chromium; make test-report says what to install"
)
RANDOM = np.random.default_rng(3)
# Loads that stay alike and drift a bit, so that updates pay.
STEPS = RANDOM.normal(0, 0.15, (20, 3, 16)).cumsum(axis=0)
TRACE = (RANDOM.lognormal(5, 1, (3, 16)) * np.exp(STEPS)).astype(np.int64)
ODD = {"a.b[0]</script><b>'\"": lambda *_: [[*range(16), *range(4)]] * 3}
REPLAY = eplb.replay(
    TRACE,
    {"trivial": "trivial", "deepseek": "deepseek", "multiwindow": "multiwindow", **ODD},
    num_gpus=4,
    num_replicas=20,
    expert_bytes=1000,
    time_model=(1, 0.5, 1.1),
    snapshots=True,
)
HELPERS = """
const text = (node) => node.textContent.trim();
const rows = (id) => [...document.querySelectorAll(`#${id} tbody tr`)].map((row) => [...row.cells].map(text));
const pick = async (id, value) => {
  const list = document.getElementById(id);
  list.value = value;
  list.dispatchEvent(new Event("change"));
  for (let turn = 0; turn < 10; turn += 1) await pause();
};
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    REPLAY.report(path, title="<i>trace</i>.npy")
    return path


def shown(page: Path, script: str, **options: Any) -> Any:
    """What a script returns; the console must stay empty."""
    visit = browser.visit(page, HELPERS + script, **options)
    assert visit.console == []
    return visit.value


def test_the_figures_are_those_of_json(page: Path) -> None:
    table = shown(page, "return rows('settings')")
    values = REPLAY.to_dict()["settings"]
    assert len(table) == len(values) == 4
    for cells, figures in zip(table, values, strict=True):
        assert cells == [
            figures["name"],
            f"{figures['balancedness_mean']:.4f}",
            f"{figures['balancedness_p10']:.4f}",
            f"{figures['balancedness_worst']:.4f}",
            str(figures["copies"]),
            f"{figures['copies_share']:.2%}",
            f"{figures['gigabytes']:.1f}",
            f"{figures['lost_share']:.2%}",
            f"{figures['seconds'] * 1000:.2f}",
        ]


def test_every_window_and_layer_of_every_setting(page: Path) -> None:
    """The tables of windows and layers, as the list of settings changes them."""
    script = """
    const found = [];
    for (const option of document.getElementById("setting").options) {
      await pick("setting", option.value);
      found.push([rows("rows"), rows("layers"), document.querySelectorAll("#heat .mark-rect path").length]);
    }
    return found;
    """
    for result, (windows, layers, cells) in zip(REPLAY.results, shown(page, script), strict=True):
        expected = [row for row in REPLAY.table() if row["setting"] == result.setting.name]
        assert windows == [
            [
                str(row["window"]),
                f"{row['balancedness_mean']:.4f}",
                f"{row['balancedness_worst']:.4f}",
                str(row["worst_layer"]),
                str(row["copies"]),
                f"{row['seconds'] * 1000:.2f}",
            ]
            for row in expected
        ]
        values = result.balancedness
        assert layers == [
            [
                str(layer),
                f"{values[:, layer].mean():.4f}",
                f"{values[:, layer].min():.4f}",
                str(result.rows[int(values[:, layer].argmin())].window),
            ]
            for layer in range(3)
        ]
        # One more for the legend, whose gradient is a rectangle.
        assert cells in (values.size, values.size + 1)


def test_a_click_on_a_cell_shows_its_gpus(page: Path) -> None:
    script = """
    const cells = [...document.querySelectorAll("#heat .mark-rect.role-mark path")];
    const found = [];
    for (const cell of PLACES.map((place) => cells[place])) {
      cell.dispatchEvent(new MouseEvent("click", { bubbles: true }));
      for (let turn = 0; turn < 10; turn += 1) await pause();
      const bars = [...document.querySelectorAll("#gpus path[fill='#0072b2']")].map((bar) => bar.getAttribute("aria-label"));
      found.push([cell.getAttribute("aria-label"), text(document.getElementById("gpus-words")), rows("moved"), bars]);
    }
    return found;
    """
    result = REPLAY[REPLAY.recommendation.setting or ""]
    changed = [
        number * 3 + layer
        for number, row in enumerate(result.rows)
        for layer in range(3)
        if row.snapshot is not None and row.snapshot.moved(layer)
    ]
    assert len(changed) >= 2
    places = [*changed[:2], len(result.rows) * 3 - 1]
    at = {row.window: number for number, row in enumerate(result.rows)}
    assert result.setting.name == "multiwindow"
    seen = set()
    for label, words, moved, bars in shown(page, script.replace("PLACES", str(places))):
        window, layer = (
            int(re.search(rf"\b{what}: (\d+)", label)[1])  # type: ignore[index]
            for what in ("window", "layer")
        )
        reached = result.balancedness[at[window], layer]
        start = f"{result.setting.name}, window {window}, layer {layer}: balancedness "
        assert words.startswith(start)
        assert words[len(start) :].startswith(f"{reached:.4f}. ")
        snapshot = result.rows[at[window]].snapshot
        assert snapshot is not None
        expected = snapshot.moved(layer)
        assert [row[0] for row in moved] == [str(one.expert) for one in expected]
        assert [row[2:] for row in moved] == [
            [", ".join(map(str, one.gpus_before)), ", ".join(map(str, one.gpus_after))]
            for one in expected
        ]
        loads = snapshot.relative_loads()[1][layer]
        heights = [float(re.search(r"after it: ([\d.]+)", bar)[1]) for bar in bars]  # type: ignore[index]
        assert heights == pytest.approx(loads.tolist(), abs=6e-4)
        seen.add((window, layer))
    assert len(seen) == 3


def test_tables_sort(page: Path) -> None:
    script = """
    const heading = (name) => [...document.querySelectorAll("#settings th button")].find((one) => text(one) === name);
    const found = [];
    for (const name of ["mean", "mean", "copies", "setting"]) {
      heading(name).click();
      found.push([rows("settings").map((row) => row[0]), heading(name).parentNode.getAttribute("aria-sort")]);
    }
    return found;
    """
    falling, rising, copies, names = shown(page, script)
    figures = {result.setting.name: result.figures for result in REPLAY.results}
    means = {name: round(each.balancedness_mean or 0, 4) for name, each in figures.items()}
    assert (falling[1], rising[1]) == ("descending", "ascending")
    assert [means[name] for name in falling[0]] == sorted(means.values(), reverse=True)
    assert [means[name] for name in rising[0]] == sorted(means.values())
    counts = [figures[name].copies for name in copies[0]]
    assert counts == sorted(counts, reverse=True)
    assert names[0] == sorted(figures, reverse=True, key=str.lower)


def test_lines_can_be_chosen(page: Path) -> None:
    script = """
    const count = () => document.querySelectorAll("#lines .mark-line path").length;
    const found = [count()];
    for (const box of document.querySelectorAll("#legend input:checked")) {
      box.click();
      for (let turn = 0; turn < 10; turn += 1) await pause();
      found.push(count());
    }
    return found;
    """
    counts = shown(page, script)
    # The default placement, what moves most, and what is recommended; the last one stays.
    first = len({"trivial", "deepseek", REPLAY.recommendation.setting})
    assert counts == [*range(first, 0, -1), 1]


def test_lines_look_as_their_names_say(page: Path) -> None:
    """Each line has colour, width and dash of its swatch, and that of the recommended setting is thick."""
    script = """
    for (const box of document.querySelectorAll("#legend input:not(:checked)")) box.click();
    for (let turn = 0; turn < 10; turn += 1) await pause();
    const look = (path) => ["stroke", "stroke-width"].map((name) => path.getAttribute(name));
    return ["#legend path", "#lines .mark-line path"].map((paths) => [...document.querySelectorAll(paths)].map(look));
    """
    swatches, lines = shown(page, script)
    assert lines == swatches
    names = [result.setting.name for result in REPLAY.results]
    taken = names.index(REPLAY.recommendation.setting or "")
    assert [at for at, look in enumerate(lines) if look == ["#0072b2", "3"]] == [taken]
    assert len({colour for colour, _ in lines}) == len(names)


@pytest.mark.parametrize("width", [360, 1600])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_and_can_be_read(page: Path, width: int, *, dark: bool) -> None:
    """Nothing is wider than the page, and text and its background differ, in light and dark."""
    script = """
    const style = (selector, name) => getComputedStyle(document.querySelector(selector))[name];
    const charts = [...document.querySelectorAll(".chart svg.marks")].map((svg) => svg.getBoundingClientRect().right);
    const { scrollWidth, clientWidth } = document.documentElement;
    return [scrollWidth, clientWidth, Math.max(...charts), charts.length,
      style("body", "backgroundColor"), style("body", "color"), style("#lines svg text", "fill")];
    """
    flags = (f"--blink-settings=preferredColorScheme={0 if dark else 1}",)
    wide, inner, right, charts, *colours = shown(page, script, width=width, flags=flags)
    assert width - 20 <= inner <= width  # the bar to scroll
    assert wide <= inner
    assert right <= inner
    assert charts == 3
    paper, ink, labels = (_brightness(colour) for colour in colours)
    assert (paper < 50) is dark
    assert abs(paper - ink) > 180
    assert labels == ink


def _brightness(colour: str) -> float:
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3


def test_without_snapshots_the_page_says_so(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    eplb.replay(TRACE, "trivial multiwindow", num_gpus=4, num_replicas=20).report(path)
    note, words = shown(
        path, "return ['kept-note', 'gpus-words'].map((id) => text(document.getElementById(id)))"
    )
    assert note.startswith("No GPU loads were kept")
    assert not words


def test_a_page_that_fails_is_seen(page: Path) -> None:
    """The console is really read."""
    visit = browser.visit(page, "console.warn('a b c'); return 1")
    assert visit.value == 1
    assert len(visit.console) == 1
    assert "a b c" in visit.console[0]
