"""The page of a report: its numbers, its size, what it says, and that it loads nothing."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import pytest
from eplb.analysis.replay import facts
from eplb.analysis.replay.snapshots import Limits
from eplb.analysis.report import library
from eplb.analysis.report.data import bins
from eplb.analysis.report.facts import Facts, SettingFacts, SnapshotFacts
from eplb.analysis.report.page import page_of

if TYPE_CHECKING:
    from pathlib import Path

RANDOM = np.random.default_rng(3)
TRACE = RANDOM.lognormal(5, 1, (20, 3, 16)).astype(np.int64)
SIZES: dict[str, Any] = {"num_gpus": 4, "num_replicas": 20}
SETTINGS = "trivial deepseek minimax multiwindow hindsight"


def content(text: str) -> Any:
    """What the script of a page reads."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def page(replay: eplb.Replay, folder: Path, title: str = "") -> str:
    path = folder / "report.html"
    replay.report(path, title)
    return path.read_text("utf-8")


def summary(text: str) -> str:
    """The words of the page above the charts."""
    words = re.sub(
        r"<[^>]+>", " ", text[text.index("<header>") : text.index('<table id="settings"')]
    )
    return re.sub(r"\s+", " ", words)


def test_charts_have_the_balancedness_of_each_layer_and_window(tmp_path: Path) -> None:
    replay = eplb.replay(TRACE, SETTINGS, **SIZES)
    data = content(page(replay, tmp_path))["data"]
    for result, line, heat, layers in zip(
        replay.results, data["lines"], data["heat"], data["layers"], strict=True
    ):
        values = result.balancedness
        windows = [row.window for row in result.rows]
        assert [point["window"] for point in line] == windows
        assert [point["mean"] for point in line] == pytest.approx(values.mean(axis=1))
        assert heat["windows"] == [[window, window] for window in windows]
        assert heat["cells"] == (values * 1000).round().astype(int).tolist()
        assert [row["mean"] for row in layers] == pytest.approx(values.mean(axis=0))
        assert [row["worst"] for row in layers] == values.min(axis=0).tolist()
        assert [row["window"] for row in layers] == [
            windows[at] for at in values.argmin(axis=0).tolist()
        ]


def test_snapshots_beside_a_naive_twin(tmp_path: Path) -> None:
    """A planner that tells what it planned; GPU loads and moves are counted slot by slot."""
    told: list[list[list[int]]] = []
    places = np.random.default_rng(5)

    def planner(load: Any, _previous: Any, _sizes: Any) -> Any:
        told.append(
            [[*places.permutation(16).tolist(), *places.integers(0, 16, 4).tolist()] for _ in load]
        )
        return told[-1]

    replay = eplb.replay(TRACE, planner, **SIZES, snapshots=True)
    kept = content(page(replay, tmp_path))["data"]["snapshots"][0]
    assert len(kept) == len(replay.results[0].rows) == 14
    first = replay.course.warmup
    for snapshot in kept:
        window = snapshot["window"]
        assert snapshot["layers"] == [0, 1, 2]
        for layer in range(3):
            loads = TRACE[window][layer]
            reached = replay.results[0].balancedness[window - first - 1, layer]
            assert snapshot["balancedness"][layer][1] == pytest.approx(reached, abs=6e-5)
            mean = loads.sum() / 4
            gpus = []
            for which, row in (
                ("before", told[window - first - 1][layer]),
                ("after", told[window - first][layer]),
            ):
                expected = [0.0] * 4
                for slot, expert in enumerate(row):
                    expected[slot // 5] += loads[expert] / row.count(expert) / mean
                assert snapshot[which][layer] == pytest.approx(
                    [1000 * load for load in expected], abs=0.51
                )
                gpus.append(
                    {
                        expert: sorted(slot // 5 for slot in range(20) if row[slot] == expert)
                        for expert in range(16)
                    }
                )
            moved = [e for e in range(16) if gpus[0][e] != gpus[1][e]]
            assert snapshot["num_moved"][layer] == len(moved)
            assert snapshot["moved"][layer] == [
                [e, pytest.approx(loads[e] / loads.sum(), abs=6e-5), gpus[0][e], gpus[1][e]]
                for e in sorted(moved, key=lambda e: (-loads[e], e))
            ]


def test_the_worst_windows_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of each setting, and not more of them than there is room for."""
    monkeypatch.setattr("eplb.analysis.replay.snapshots.MOST_LOADS", 2 * 2 * 4 * 3 * 2 + 1)
    replay = eplb.replay(TRACE, "deepseek multiwindow", **SIZES, snapshots=True)
    assert replay.course.snapshots == Limits(windows=2, layers=3)
    for result, each in zip(replay.results, facts_of(replay).settings, strict=True):
        means = result.balancedness.mean(axis=1)
        worst = [result.rows[at].window for at in np.argsort(means, kind="stable")[:2].tolist()]
        assert [one.window for one in each.snapshots] == worst
        assert sum(row.snapshot is not None for row in result.rows) < len(result.rows)


def test_how_many_windows_are_kept() -> None:
    """What docs/replay.md says."""
    assert Limits.of(2, 26, 8).windows >= 44
    assert Limits.of(9, 26, 8).windows >= 44
    assert Limits.of(5, 58, 32) == Limits(10, 58)


def test_the_worst_layers_are_kept_if_not_all_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eplb.analysis.replay.snapshots.MOST_LOADS", 2 * 4 * 2)
    replay = eplb.replay(TRACE, "deepseek", **SIZES, snapshots=True)
    assert replay.course.snapshots == Limits(windows=1, layers=2)
    (result,) = replay.results
    (kept,) = facts_of(replay).settings[0].snapshots
    row = next(row for row in result.rows if row.window == kept.window)
    assert kept.layers == sorted(np.argsort(row.balancedness)[:2].tolist())
    reached = 1 / kept.after.max(axis=1)
    assert reached == pytest.approx(row.balancedness[kept.layers], rel=1e-6)


def test_snapshots_change_no_figure() -> None:
    """And without them, rows keep nothing."""
    plain = eplb.replay(TRACE, SETTINGS, **SIZES)
    kept = eplb.replay(TRACE, SETTINGS, **SIZES, snapshots=True)
    assert plain.course.snapshots is None
    for one, other in zip(plain.results, kept.results, strict=True):
        assert (one.balancedness == other.balancedness).all()
        assert one.figures.copies == other.figures.copies
        assert all(row.snapshot is None for row in one.rows)
        assert all(row.snapshot is not None for row in other.rows)


def test_snapshots_of_other_processes_and_of_kept_results(tmp_path: Path) -> None:
    """Processes send them; a file of results has none, and the page says so of these settings."""
    here = eplb.replay(TRACE, "deepseek multiwindow", **SIZES, snapshots=True)
    there = eplb.replay(
        TRACE, "deepseek multiwindow", **SIZES, snapshots=True, jobs=2, results=tmp_path / "a.jsonl"
    )
    again = eplb.replay(TRACE, "multiwindow", **SIZES, snapshots=True, results=tmp_path / "a.jsonl")
    kept = [content(page(each, tmp_path))["data"]["snapshots"] for each in (here, there, again)]
    assert kept[0] == kept[1]
    assert kept[2] == [[]]


def test_a_lost_gpu_has_no_load_after(tmp_path: Path) -> None:
    replay = eplb.replay(
        TRACE, "multiwindow", num_gpus=4, num_replicas=24, events=["9:dead=2"], snapshots=True
    )
    kept = content(page(replay, tmp_path))["data"]["snapshots"][0]
    at = {one["window"]: one for one in kept}
    assert all(loads[2] > 0 for loads in at[9]["before"])
    assert all(loads[2] is None for loads in at[9]["after"])
    assert all(loads[2] is None for loads in at[10]["before"])


class Loads(HTMLParser):
    """What a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = ("src", "href", "srcset", "data", "poster", "action", "background")
        self.found += [f"{tag} {value}" for name, value in attrs if name in names]


def test_nothing_is_loaded(tmp_path: Path) -> None:
    text = page(eplb.replay(TRACE, SETTINGS, **SIZES, snapshots=True), tmp_path, "trace.npy")
    parser = Loads()
    parser.feed(text)
    assert parser.found == ["link data:,"]
    own = text.replace(library.bundle(), "")
    assert 850_000 < len(text) - len(own) < 950_000  # 0.9 MB, as docs/replay.md says
    # The name of a format, which nobody opens.
    assert {*re.findall(r"https?://[^\"' ]+", own)} == {
        "https://vega.github.io/schema/vega-lite/v6.json",
        "http://www.w3.org/2000/svg",
    }
    assert not re.search(r"@import|url\(|fetch\(|import\(|XMLHttpRequest|WebSocket", own)
    assert text.count("</script>") == 3


def test_names_cannot_break_the_page(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><!--"
    replay = eplb.replay(TRACE, {evil: "multiwindow", "s": "hindsight"}, **SIZES)
    assert replay.recommendation.setting == evil
    text = page(replay, tmp_path, title=evil)
    assert text.count("alert(1)") == text.count("alert(1)&lt;") + text.count("alert(1)\\u003c")
    assert text.count("</script>") == 3
    assert text.count("<!--") == 0
    assert content(text)["names"] == [evil, "s"]


def large_facts(settings: int, windows: int, layers: int, gpus: int) -> Facts:
    """What 9 settings that move everything would give at most."""
    limits = Limits.of(settings, layers, gpus)
    values = RANDOM.random((windows, layers))
    before, after = RANDOM.random((2, limits.layers, gpus)) * 1.5
    moved = [[(e, 0.0039, [31, 17], [28, 13, 9]) for e in range(256)]] * limits.layers
    one = SnapshotFacts(1, [*range(limits.layers)], before, after, moved)
    names = [f"multiwindow:move_price=0.{n}" for n in range(settings)]
    replay = eplb.replay(TRACE, "trivial", **SIZES).to_dict()
    rows = [
        {**replay["rows"][0], "setting": name, "window": at, "balancedness_mean": at / 7}
        for name in names
        for at in range(windows)
    ]
    figures = [{**replay["settings"][0], "name": name} for name in names]
    return Facts(
        "",
        {
            **replay,
            "settings": figures,
            "rows": rows,
            "recommendation": {**replay["recommendation"], "setting": names[0]},
        },
        ["setting"],
        [[name] for name in names],
        [
            SettingFacts(name, "multiwindow", range(windows), values, [one] * limits.windows)
            for name in names
        ],
        [],
    )


@pytest.mark.parametrize(
    ("settings", "windows", "layers", "gpus"),
    [(9, 1000, 58, 32), (9, 1300, 58, 8), (2, 20_000, 60, 64), (30, 400, 94, 320)],
)
def test_the_page_is_below_five_megabytes(
    settings: int, windows: int, layers: int, gpus: int
) -> None:
    """However much there is to show."""
    text = page_of(large_facts(settings, windows, layers, gpus))
    assert len(text.encode()) < 5_000_000
    data = content(text)["data"]
    assert all(len(line) <= 400 for line in data["lines"])
    lists = [layer for kept in data["snapshots"] for one in kept for layer in one["moved"]]
    (listed,) = {len(layer) for layer in lists}
    assert listed == 1 or listed * len(lists) <= 30_000
    assert listed == 40 or (listed + 1) * len(lists) > 30_000
    assert all(heat["windows"][-1][1] == windows - 1 for heat in data["heat"])
    assert (data["rows"] is None) == (settings * windows > 12_000)


def test_bins_cover_all() -> None:
    for length in range(1, 60):
        for most in (1, 7, 100):
            found = bins(range(length), most)
            assert [at for first, end in found for at in range(first, end)] == [*range(length)]
            assert len(found) <= most


def test_words_of_what_is_recommended(tmp_path: Path) -> None:
    replay = eplb.replay(
        TRACE, "trivial minimax multiwindow:max_copies=4", **SIZES, expert_bytes=10**9,
        time_model=(1, 0.5, 1.1), most_copies=0.5,
    )  # fmt: skip
    name = replay.recommendation.setting
    assert name == "multiwindow:max_copies=4"
    figures, trivial = replay[name].figures, replay["trivial"].figures
    said = summary(page(replay, tmp_path, "trace.npy"))
    assert "Replay of trace.npy" in said
    assert (
        f"Take {name}: balancedness on the next window goes from {trivial.balancedness_mean:.3f} to "
        f"{figures.balancedness_mean:.3f}." in said
    )
    assert f"{figures.copies / figures.updates:.0f} slots" in said
    assert f"{figures.gigabytes / figures.updates:.2f} GB" in said  # type: ignore[operator]
    assert f"{figures.copies_share:.2%} of all slots" in said
    assert f"{figures.lost_share:.2%} of the time is lost" in said
    assert "EPLB_PLUGIN=1 EPLB_POLICY=multiwindow EPLB_MAX_COPIES=4" in said
    assert "the first plan: eplb plan WINDOWS --gpus" in said
    assert (
        "for each update: eplb replan NEWEST_WINDOW --previous plan.json --history history.json "
        "--max-copies 4 --out plan.json" in said
    )
    assert "WINDOWS: those before the first plan (here " in said
    assert f"in layer {figures.worst_layer} in window {figures.worst_window}" in said
    assert "For comparison: minimax" in said
    idle, before = (1 - (each.balancedness_mean or 0) for each in (figures, trivial))
    assert f"waits for {idle:.1%} of the time" in said
    assert f"with the default placement, for {before:.1%}." in said
    ours, theirs = (replay[each].balancedness.mean(axis=1) for each in (name, "trivial"))
    assert 0 < (worse := int((ours < theirs).sum())) < len(ours) / 2
    assert f"In {worse} of {len(ours)} windows it is below the default placement." in said


def test_words_if_nothing_pays(tmp_path: Path) -> None:
    even = np.full((12, 3, 16), 10)
    said = summary(
        page(eplb.replay(even, "trivial multiwindow", num_gpus=4, num_replicas=16), tmp_path)
    )
    assert "Keep the default placement: it reaches balancedness 1.000" in said
    assert "It costs nothing while the model serves" in said
    assert "Do nothing" in said


def test_words_if_nothing_is_recommended(tmp_path: Path) -> None:
    said = summary(page(eplb.replay(TRACE, "deepseek", **SIZES, most_copies=0), tmp_path))
    assert "No setting is recommended." in said
    assert "--most-copies" in said


def test_words_of_a_trace_with_an_empty_layer(tmp_path: Path) -> None:
    trace = TRACE.copy()
    trace[:, 1] = 0
    replay = eplb.replay(trace, "trivial multiwindow", **SIZES, snapshots=True)
    text = page(replay, tmp_path)
    assert "Without any load, and in no figure: layer 1." in summary(text)
    data = content(text)["data"]
    assert data["layers"][0][1] == {"layer": 1, "mean": None, "worst": None, "window": None}
    assert {cells[1] for cells in data["heat"][0]["cells"]} == {None}
    assert {load for one in data["snapshots"][0] for load in one["before"][1]} == {None}


def test_a_trace_without_load(tmp_path: Path) -> None:
    said = summary(page(eplb.replay(TRACE * 0, "trivial", **SIZES, snapshots=True), tmp_path))
    assert "No setting is recommended. " in said


def test_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replay = eplb.replay(TRACE, "trivial", **SIZES)
    with pytest.raises(eplb.EplbError, match=r"'a\.pdf' is not a file name .* expected \.html"):
        replay.report(tmp_path / "a.pdf")
    with pytest.raises(FileNotFoundError):
        replay.report(tmp_path / "none" / "a.html")
    monkeypatch.setattr("eplb.analysis.report.library.find_spec", lambda _: None)
    with pytest.raises(eplb.EplbError, match=r"needs vl-convert-python") as raised:
        replay.report(tmp_path / "a.html")
    assert "eplb[report]" in str(raised.value)
    assert not (tmp_path / "a.html").exists()


def facts_of(replay: eplb.Replay) -> Facts:
    return facts.facts_of(replay, replay.to_dict(), "")
