"""`eplb.replay` beside a naive twin, and beside the harness of `make quality-over-time`."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import pyarrow.parquet as pq
import pytest
from over_time.floors import FLOORS
from over_time.judge import DeepSeek, OverTime, Score, score

if TYPE_CHECKING:
    from pathlib import Path

    from eplb.analysis.replay.result import Result
    from over_time.sequences import Counts, Sequence

RANDOM = np.random.default_rng(3)
TRACE = RANDOM.lognormal(5, 1, (12, 3, 16)).astype(np.int64)
SIZES: dict[str, Any] = {"num_gpus": 4, "num_replicas": 20}
LAYERS, EXPERTS = 3, 16


def naive_balancedness(
    phy2log: list[list[int]], window: Counts, gpu_of_slot: list[int], speeds: dict[int, int]
) -> list[Fraction | None]:
    """Of each layer, in fractions; GPUs in use are those with a speed."""
    found: list[Fraction | None] = []
    for row, loads in zip(phy2log, window.tolist(), strict=True):
        gpu_load = dict.fromkeys(speeds, Fraction(0))
        for slot, expert in enumerate(row):
            if expert >= 0:
                gpu_load[gpu_of_slot[slot]] += Fraction(loads[expert], row.count(expert))
        worst = max(load / speeds[gpu] for gpu, load in gpu_load.items())
        mean = sum(gpu_load.values(), Fraction(0)) / sum(speeds.values())
        found.append(mean / worst if worst else None)
    return found


def naive_copies(
    before: list[list[int]], after: list[list[int]], gpu_of_slot: list[int], lost: int | None
) -> int:
    """Arrivals, slot after slot; what was on the GPU ``lost`` is not held."""
    copies = 0
    for old, new in zip(before, after, strict=True):
        for gpu in {*gpu_of_slot}:
            held = [old[slot] for slot, its in enumerate(gpu_of_slot) if its == gpu != lost]
            for expert in (new[slot] for slot, its in enumerate(gpu_of_slot) if its == gpu):
                if expert in held:
                    held.remove(expert)
                elif expert >= 0:
                    copies += 1
    return copies


def recorded(inner: Any, placements: list[Any]) -> Any:
    """A callable that plans by ``inner`` and keeps what it returned."""

    def planner(load: Any, previous: Any, sizes: Any) -> Any:
        placements.append(inner(load, previous, sizes))
        return placements[-1]

    return planner


def deepseek(load: Any, _: Any, sizes: Any) -> Any:
    return eplb.plan(
        load, num_gpus=sizes.num_gpus, num_replicas=sizes.num_replicas, policy="deepseek"
    ).phy2log


def check_rows(result: Result, trace: Counts, placements: list[Any], warmup: int) -> None:
    """The rows are those of these placements: one after the warm-up, and one for each window."""
    gpu_of_slot, speeds = [slot // 5 for slot in range(20)], dict.fromkeys(range(4), 1)
    assert [row.window for row in result.rows] == [*range(warmup + 1, len(trace))]
    for before, after, row in zip(placements[:-1], placements[1:], result.rows, strict=True):
        expected = naive_balancedness(after.tolist(), trace[row.window], gpu_of_slot, speeds)
        for value, exact in zip(row.balancedness.tolist(), expected, strict=True):
            assert (
                math.isnan(value)
                if exact is None
                else value == pytest.approx(float(exact), rel=1e-12)
            )
        assert row.copies == naive_copies(before.tolist(), after.tolist(), gpu_of_slot, None)


def test_it_is_its_naive_twin() -> None:
    trace = TRACE.copy()
    trace[7, 1] = 0
    trace[9] = 0
    placements: list[Any] = []
    run = eplb.replay(
        trace, {"mine": recorded(deepseek, placements), "deepseek": "deepseek"}, **SIZES
    )
    mine, theirs = run.results
    assert run.course.warmup == 3
    check_rows(mine, trace, placements, 3)
    assert (mine.balancedness == theirs.balancedness)[~np.isnan(mine.balancedness)].all()
    assert [row.copies for row in mine.rows] == [row.copies for row in theirs.rows]
    # The figures from the rows, by another way.
    values = sorted(value for row in mine.rows for value in row.balancedness if value == value)  # noqa: PLR0124
    figures = mine.figures
    assert len(values) == 8 * 3 - 1 - 3
    assert figures.balancedness_mean == math.fsum(values) / len(values)
    assert (figures.balancedness_worst, figures.balancedness_p10) == (values[0], values[2])
    assert figures.worst_window is not None
    at = mine.rows[figures.worst_window - 4]
    assert at.balancedness[figures.worst_layer] == values[0]
    assert figures.copies == sum(row.copies for row in mine.rows)
    assert figures.copies_share == pytest.approx(figures.copies / 8 / 60, rel=1e-12)
    assert figures.updates == 8


def test_multiwindow_is_the_balancer() -> None:
    balancer = eplb.Balancer(rows=8, move_price=0.005)
    update = balancer.step([*TRACE[:3]], **SIZES)
    placements = [update.plan.phy2log]
    copies = []
    for window in TRACE[3:-1]:
        update = balancer.step(window, update.plan)
        placements.append(update.plan.phy2log)
        copies.append(int(update.copies.sum()))
    run = eplb.replay(TRACE, "multiwindow:rows=8,move_price=0.005", **SIZES)
    check_rows(run.results[0], TRACE, placements, 3)
    assert [row.copies for row in run.results[0].rows] == copies


def test_static_and_hindsight_never_move() -> None:
    history = eplb.LoadHistory(rows=32, decay=1)
    history.observe(TRACE[3:])
    plans = {
        "trivial": eplb.plan(TRACE[0], **SIZES).trivial(),
        "static": eplb.plan(TRACE[:3], **SIZES),
        "static:windows=2,policy=minimax": eplb.plan(TRACE[:2], policy="minimax", **SIZES),
        "hindsight": eplb.plan(history, **SIZES),
    }
    run = eplb.replay(TRACE, [*plans], **SIZES)
    for name, plan in plans.items():
        check_rows(run[name], TRACE, [plan.phy2log] * 9, 3)
        assert run[name].figures.copies == 0
    late = eplb.replay(TRACE, "static:windows=6", **SIZES)["static:windows=6"]
    kept = [plans["trivial"].phy2log] * 3 + [eplb.plan(TRACE[:6], **SIZES).phy2log] * 6
    check_rows(late, TRACE, kept, 3)


def test_updates_every_few_windows() -> None:
    placements: list[Any] = []
    seen: list[Any] = []

    class Planner:
        def observe(self, load: Any) -> None:
            seen.append(load)

        def __call__(self, load: Any, previous: Any, sizes: Any) -> Any:
            assert (load == seen[-1]).all()
            assert not load.flags.writeable
            placements.append((sizes.window, deepseek(load, previous, sizes)))
            return placements[-1][1]

    run = eplb.replay(TRACE, Planner(), every=3, warmup=2, **SIZES)
    assert [window for window, _ in placements] == [2, 5, 8, 11]
    assert (np.array(seen) == TRACE[:11]).all()
    rows = run["Planner"].rows
    assert [row.window for row in rows if row.updated] == [5, 8, 11]
    in_force = {window: table for first, table in placements for window in range(first, first + 3)}
    check_rows(run["Planner"], TRACE, [in_force[window] for window in range(2, 12)], 2)
    assert run["Planner"].figures.updates == 3


EVENTS = ["5:dead=1", "7:live=1", (8, {"gpu_speed": [2, 1, 1, 1]}), "10:add=1"]


def test_events() -> None:
    """Every setting has nothing on a dead GPU, and pays for what it gets when it is back."""
    placements: list[Any] = []
    clusters: list[Any] = []

    def mine(load: Any, previous: Any, sizes: Any) -> Any:
        if previous is not None:
            assert previous.shape == (LAYERS, sizes.num_replicas)
        clusters.append((sizes.window, previous, sizes.cluster))
        placements.append(eplb.plan(load, cluster=sizes.cluster, policy="minimax").phy2log)
        return placements[-1]

    trace = TRACE // 10 + 1
    names = ["trivial", "static", "multiwindow", "minimax", "hindsight"]
    slots: dict[str, Any] = {"num_gpus": 4, "num_replicas": 24}
    run = eplb.replay(
        trace, {"mine": mine, **{name: name for name in names}}, warmup=3, events=EVENTS, **slots
    )
    assert str(run.course.events[0]) == "window 5: dead_gpus=[1]"
    rows = {row.window: row for row in run["mine"].rows}
    by_window = dict(zip([window for window, _, _ in clusters], placements, strict=True))
    for window, previous, cluster in clusters[1:]:
        row, after = rows[window], by_window[window]
        speeds = {int(g): int(cluster.gpu_speed[g]) for g in np.flatnonzero(cluster.used)}
        exact = naive_balancedness(
            after.tolist(), trace[window], cluster.gpu_of_slot.tolist(), speeds
        )
        assert row.balancedness.tolist() == pytest.approx([float(value or 0) for value in exact])
        assert (previous[:, ~cluster.used[cluster.gpu_of_slot]] == -1).all()
        assert row.copies == naive_copies(
            previous.tolist(), after.tolist(), cluster.gpu_of_slot.tolist(), None
        )
    assert (clusters[4][1][:, 6:12] == -1).all(), "GPU 1 is back, empty"
    assert (run["minimax"].balancedness == run["mine"].balancedness).all()
    static = run["static"].rows
    assert [row.window for row in static if row.copies] == [5, 7, 10]
    assert static[3].copies == 18, "all slots of the GPU that is back"
    # Copies of our updates are those that they say themselves.
    balancer = eplb.Balancer(num_groups=1)
    update = balancer.step([*trace[:3]], cluster=eplb.Cluster.uniform(4, 6))
    changes: dict[int, dict[str, Any]] = {
        5: {"dead_gpus": [1]},
        7: {"live_gpus": [1]},
        8: {"gpu_speed": [2, 1, 1, 1]},
        10: {"added_gpus": 1},
    }
    for row in run["multiwindow"].rows:
        update = balancer.step(trace[row.window - 1], update.plan, **changes.get(row.window, {}))
        assert row.copies == update.copies.sum()


def test_groups_stay_on_nodes() -> None:
    """Plans and updates with groups."""
    run = eplb.replay(
        TRACE,
        "trivial static deepseek minimax multiwindow",
        num_gpus=4,
        num_replicas=24,
        num_groups=4,
        num_nodes=2,
    )
    balancer = eplb.Balancer(num_groups=4)
    update = balancer.step([*TRACE[:3]], cluster=eplb.Cluster.uniform(4, 6, 2))
    for row in run["multiwindow"].rows:
        update = balancer.step(TRACE[row.window - 1], update.plan)
        assert update.plan.num_groups == 4
        worth = eplb.evaluate(update.plan, TRACE[row.window]).balancedness
        assert row.balancedness == pytest.approx(worth, rel=1e-9)
    for row in run["deepseek"].rows:
        sizes = {"num_gpus": 4, "num_replicas": 24, "num_groups": 4, "num_nodes": 2}
        plan = eplb.plan(TRACE[row.window - 1], policy="deepseek", **sizes)  # type: ignore[arg-type]
        worth = eplb.evaluate(plan, TRACE[row.window]).balancedness
        assert row.balancedness == pytest.approx(worth, rel=1e-9)
    command = eplb.replay(
        TRACE, "deepseek", num_gpus=4, num_groups=4, num_nodes=2, most_copies=1
    ).recommendation.command
    assert (
        command == "eplb plan NEWEST_WINDOW --gpus 4 --redundant 0 --groups 4 --nodes 2 "
        "--policy deepseek --out plan.json"
    )


def test_published_policies_plan_on_the_gpus_in_use() -> None:
    run = eplb.replay(TRACE, "deepseek", warmup=3, events="6:dead=2", num_gpus=4, num_replicas=24)
    rows = {row.window: row for row in run["deepseek"].rows}
    plan = eplb.plan(TRACE[6], num_gpus=3, num_replicas=18, policy="deepseek")
    worth = eplb.evaluate(plan, TRACE[7]).balancedness
    assert rows[7].balancedness == pytest.approx(worth, rel=1e-9)
    assert rows[7].slots == 54
    with pytest.raises(eplb.TopologyError, match=r"setting deepseek, window 6: .*equal"):
        eplb.replay(TRACE, "deepseek", warmup=3, events=[(6, {"gpu_speed": [2, 1, 1, 1]})], **SIZES)


def as_score(result: Result) -> Score:
    figures = result.figures
    assert figures.balancedness_mean is not None
    assert figures.balancedness_p10 is not None
    return Score(
        figures.balancedness_mean * 100, figures.balancedness_p10 * 100, figures.copies_share * 100
    )


@pytest.mark.parametrize("name", [*FLOORS])
def test_the_table_of_the_docs(name: str) -> None:
    """The same figures as those of `make quality-over-time`, on the real sequences."""
    sequence: Sequence = FLOORS[name][0]
    run = eplb.replay(
        sequence.windows,
        ["multiwindow", "deepseek"],
        num_gpus=sequence.num_gpus,
        num_replicas=sequence.num_replicas,
    )
    for setting, planner in (("multiwindow", OverTime(sequence)), ("deepseek", DeepSeek(sequence))):
        expected = score(sequence, planner)
        found = as_score(run[setting])
        assert (found.mean, found.p10, found.moved) == pytest.approx(
            (expected.mean, expected.p10, expected.moved), rel=1e-10
        )


def without_times(value: Any) -> Any:
    """A replay as plain values, without what differs from run to run."""
    if isinstance(value, dict):
        return {name: without_times(each) for name, each in value.items() if name != "seconds"}
    return [without_times(each) for each in value] if isinstance(value, list) else value


def test_it_is_deterministic() -> None:
    options: dict[str, Any] = {
        "num_gpus": 4,
        "num_replicas": 24,
        "events": ["6:drain=3"],
        "time_model": (1, 0.5, 1.1),
    }
    settings = "trivial static minimax multiwindow hindsight"
    runs = [
        eplb.replay(trace, settings, threads=threads, **options)
        for trace, threads in ((TRACE, 1), (TRACE.astype(np.float32), 4), ([*TRACE], 2))
    ]
    first, *others = [without_times(run.to_dict()) for run in runs]
    assert all(other == first for other in others)


NONSENSE: dict[str, tuple[Any, str]] = {
    "shape": (lambda table: table[:, 1:], r"has shape \(3, 19\); expected \(3, 20\)"),
    "rows": (lambda table: table[1:], r"has shape \(2, 20\)"),
    "range": (
        lambda table: np.where(np.arange(20) == 7, 16, table),
        r"layer 0, slot 7: 16 is not an expert; expected 0 to 15",
    ),
    "below": (
        lambda table: np.where(np.arange(20) == 7, -2, table),
        r"layer 0, slot 7: -2 is not an expert",
    ),
    "missing": (
        lambda table: np.concatenate([table[:2], np.where(table[2:] == 3, 4, table[2:])]),
        r"layer 2: expert 3 has no slot; expected one for each of the 16 experts",
    ),
    "floats": (lambda table: table * 1.0, r"what it returned must hold integers, got float64"),
    "nothing": (lambda _: None, r"what it returned has shape \(\)"),
    "raises": (lambda _: 1 // 0, r"it raised ZeroDivisionError: .*zero$"),
}


@pytest.mark.parametrize("name", [*NONSENSE])
def test_nonsense_of_a_callable_is_named(name: str) -> None:
    spoil, words = NONSENSE[name]

    def planner(load: Any, previous: Any, sizes: Any) -> Any:
        table = deepseek(load, previous, sizes)
        return spoil(table) if sizes.window == 6 else table

    with pytest.raises(eplb.EplbError, match=f"^setting planner, window 6: .*{words}"):
        eplb.replay(TRACE, planner, **SIZES)


def test_a_callable_may_not_use_a_dead_gpu() -> None:
    with pytest.raises(
        eplb.EplbError, match=r"window 5: layer 0, slot 6: expert .* is on GPU 1, which"
    ):
        eplb.replay(TRACE, deepseek, events="5:dead=1", num_gpus=4, num_replicas=24)


def test_the_time_model() -> None:
    run = eplb.replay(TRACE, "trivial", time_model="2,0.5,1.2", expert_bytes=10**9, **SIZES)
    values = run.results[0].balancedness.ravel().tolist()
    times = [2 + 0.5 * max(0, 1 / value - 1.2) for value in values]
    figures = run.results[0].figures
    assert figures.lost_time == pytest.approx(sum(times) / len(times) - 2)
    assert figures.lost_share == pytest.approx(1 - 2 * len(times) / sum(times))
    below = eplb.replay(TRACE, "trivial", time_model=(2, 0.5, 0.8), **SIZES).results[0].figures
    times = [2 + 0.5 * max(0, 1 / value - 0.8) for value in values]
    assert below.lost_time == pytest.approx(sum(times) / len(times) - 2.1)
    moved = eplb.replay(TRACE, "deepseek", expert_bytes=10**9, **SIZES).results[0].figures
    assert (moved.gigabytes, figures.gigabytes) == (moved.copies, 0)


def test_what_is_recommended() -> None:
    """The best within the budget, if it is better by more than the noise; else the one that moves least."""
    skewed = np.tile(RANDOM.lognormal(5, 1.5, (3, 16)), (12, 1, 1))
    run = eplb.replay(skewed, "trivial static deepseek multiwindow", **SIZES)
    assert run.recommendation.setting == "static"
    assert "Updates do not pay on this trace." in run.recommendation.reason
    assert run.recommendation.variables is None
    even = eplb.replay(np.ones((12, 3, 16)), "trivial multiwindow", num_gpus=4)
    assert even.recommendation.setting == "trivial"
    assert "do not pay" in even.recommendation.reason
    sequence = FLOORS["V2-Lite, six windows of each task"][0]
    sizes: dict[str, Any] = {"num_gpus": sequence.num_gpus, "num_replicas": sequence.num_replicas}
    settings = "trivial static deepseek multiwindow:move_price=0.008,rows=12"
    run = eplb.replay(sequence.windows, settings, **sizes)
    assert run.recommendation.setting == "multiwindow:move_price=0.008,rows=12"
    assert run.recommendation.variables == {
        "EPLB_POLICY": "multiwindow",
        "EPLB_MOVE_PRICE": "0.008",
        "EPLB_HISTORY": "12",
    }
    none = eplb.replay(sequence.windows, "deepseek minimax", **sizes).recommendation
    assert none.setting is None
    assert none.reason.startswith("No setting is within the budget of 20.0%")
    dear = eplb.replay(sequence.windows, "static deepseek", most_copies=1, **sizes).recommendation
    assert dear.variables == {"EPLB_POLICY": "deepseek"}
    assert dear.command is not None
    assert dear.command.startswith("eplb plan NEWEST_WINDOW --gpus 8 --redundant 16 --policy dee")
    unloaded = eplb.replay(np.zeros((5, 3, 16)), "trivial", **SIZES)
    assert unloaded.recommendation.reason == "No window that was judged has load."
    assert unloaded.results[0].figures.balancedness_mean is None


def test_default_settings_are_those_that_can_plan() -> None:
    run = eplb.replay(TRACE, **SIZES)
    assert [result.setting.name for result in run.results][:5] == [
        "trivial",
        "static",
        "deepseek",
        "minimax",
        "multiwindow",
    ]
    with pytest.raises(eplb.TopologyError):
        eplb.replay(TRACE, "minimax", num_gpus=2, num_replicas=34)


def test_results_are_plain_tables(tmp_path: Path) -> None:
    run = eplb.replay(TRACE, "trivial multiwindow", **SIZES)
    values = json.loads(json.dumps(run.to_dict()))
    assert [row["setting"] for row in values["rows"]] == ["trivial"] * 8 + ["multiwindow"] * 8
    row = run["multiwindow"].rows[2]
    written = values["rows"][10]
    assert written == {
        "setting": "multiwindow",
        "window": 6,
        "balancedness_mean": pytest.approx(row.balancedness.mean()),
        "balancedness_worst": row.balancedness.min(),
        "worst_layer": row.balancedness.argmin(),
        "updated": True,
        "copies": row.copies,
        "seconds": row.seconds,
    }
    run.save(tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == values
    run.save(tmp_path / "a.csv")
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert len(lines) == 17
    assert lines[0].split(",") == [*written]
    assert lines[11].split(",")[:3] == ["multiwindow", "6", repr(written["balancedness_mean"])]
    run.save(tmp_path / "a.parquet")
    assert pq.read_table(tmp_path / "a.parquet").to_pylist() == values["rows"]
    with pytest.raises(eplb.EplbError, match=r"expected .json, .csv or .parquet"):
        run.save(tmp_path / "a.xlsx")
    assert (
        str(run).splitlines()[0]
        == "Replay of 12 windows, 3 layers: 16 experts in 20 slots on 4 GPUs"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"settings": "multiwindo"}, "unknown setting 'multiwindo'; .*did you mean 'multiwindow'"),
        ({"settings": "multiwindow:row=3"}, "'row' is not an option of multiwindow; expected rows"),
        ({"settings": "minimax:rows=3"}, "expected for example minimax:effort=fast"),
        ({"settings": "multiwindow:rows=x"}, "rows is 'x'; expected a whole number"),
        ({"settings": "multiwindow:rows=3,rows=4"}, "rows is given twice"),
        ({"settings": "multiwindow:rows=2"}, "^setting multiwindow:rows=2: rows=2 is"),
        ({"settings": "static:windows=0"}, "windows is 0; expected at least 1"),
        ({"settings": "static:policy=best"}, "unknown policy 'best'"),
        ({"settings": "trivial:rows=3"}, "trivial has no options"),
        ({"settings": "trivial trivial"}, "two settings have the name 'trivial'"),
        ({"settings": []}, "no settings"),
        ({"warmup": 11}, "warmup=11 is too large for 12 windows; expected at most 10"),
        ({"every": 0}, "every=0 is too small"),
        ({"events": "40:dead=1"}, "event at window 40: the trace has windows 0 to 11"),
        ({"events": "4:dead=9"}, "event at window 4: .*9"),
        ({"events": "6:dead=3"}, "event at window 6: the GPUs in use have 15 slots for 16 experts"),
        ({"events": "4:killed=1"}, "'4:killed=1' is not an event; expected for example 40:dead=5"),
        ({"events": [(4, {"killed": 1})]}, "killed is unknown; expected one of added_gpus"),
        ({"time_model": "1,2"}, "'1,2' is not a time model; expected flat,slope,knee"),
        ({"time_model": (1, -2, 1)}, "is not a time model"),
        ({"most_copies": -1}, "most_copies=-1 is out of range"),
        ({"expert_bytes": 0}, "expert_bytes=0 is too small"),
    ],
)
def test_what_does_not_go_is_said(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(eplb.EplbError, match=words):
        eplb.replay(TRACE, arguments.pop("settings", "multiwindow"), **SIZES, **arguments)


def test_traces_that_are_none() -> None:
    for trace, words in (
        (TRACE[0], "a replay needs several windows"),
        (TRACE[:2], "the trace has 2 windows; expected at least 3"),
        ([*TRACE, TRACE[0][:2]], "window 12 has 2 layers x 16 experts, but window 0 has 3"),
        ([*TRACE[:4], -TRACE[4]], "window 4: layer 0, expert 0"),
    ):
        with pytest.raises(eplb.LoadError, match=words):
            eplb.replay(trace, "trivial", **SIZES)
    with pytest.raises(TypeError, match="a setting is a text or a callable, got 7"):
        eplb.replay(TRACE, [7], **SIZES)
