"""Plans of several windows, and figures of each window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import pytest
from eplb import EplbError, LoadError

if TYPE_CHECKING:
    from pathlib import Path

WINDOWS = np.random.default_rng(5).integers(1, 1000, (6, 3, 8))
SIZES: dict[str, Any] = {"num_gpus": 4, "num_replicas": 12}


def history(windows: Any = WINDOWS) -> eplb.LoadHistory:
    seen = eplb.LoadHistory()
    seen.observe(windows)
    return seen


def test_windows_are_planned_as_their_history() -> None:
    plan = eplb.plan(WINDOWS, **SIZES)
    assert plan == eplb.plan(history(), **SIZES) == eplb.plan([*WINDOWS], **SIZES, threads=3)
    assert plan.policy == "multiwindow"
    assert plan.made_from is not None
    assert (plan.made_from.windows, plan.made_from.history) == (6, history().digest())
    assert plan.duplicates.tolist() == [0, 0, 0]
    # The figures are those of the newest window.
    newest = eplb.evaluate(plan, WINDOWS[-1])
    assert (newest.gpu_load == plan.gpu_load).all()
    assert (newest.lower_bound == plan.lower_bound).all()
    for made_from in (WINDOWS, history(), WINDOWS[-1]):
        assert eplb.verify(plan, made_from).startswith("verified")
    with pytest.raises(eplb.VerificationError, match="other loads"):
        eplb.verify(plan, WINDOWS[:-1])
    assert "the windows that follow 6 windows" in str(plan)


def test_one_window_is_planned_by_minimax_and_by_name_as_a_history() -> None:
    assert eplb.plan(WINDOWS[0], **SIZES).policy == "minimax"
    one = eplb.plan(WINDOWS[0], **SIZES, policy="multiwindow")
    assert one == eplb.plan(WINDOWS[:1], **SIZES) == eplb.plan(history(WINDOWS[0]), **SIZES)


@pytest.mark.parametrize("policy", ["deepseek", "adaptive", "minimax"])
def test_other_policies_plan_the_sum_and_say_so(policy: str) -> None:
    plan = eplb.plan(WINDOWS, **SIZES, policy=policy)
    assert plan.phy2log.tolist() == (
        eplb.plan(WINDOWS.sum(axis=0), **SIZES, policy=policy).phy2log.tolist()
    )
    told = "  planned for   the sum of 6 windows\n  figures       of that sum\n"
    assert f"\n  policy        {policy}\n{told}  balancedness " in str(plan)
    assert eplb.verify(plan, WINDOWS) == eplb.verify(plan, WINDOWS.sum(axis=0))
    with pytest.raises(EplbError, match=f"policy {policy} plans loads, not a history"):
        eplb.plan(history(), **SIZES, policy=policy)


def test_sums_are_exact() -> None:
    large = np.full((3, 1, 4), 2**62 + 1)
    plan = eplb.plan(large, num_gpus=2, policy="minimax")
    assert eplb.verify(plan, [[3 * (2**62 + 1)] * 4])
    with pytest.raises(LoadError, match="the windows sum to"):
        eplb.plan(np.full((5, 1, 4), 2**62), num_gpus=2, policy="minimax")
    with pytest.raises(LoadError, match="some windows have integers"):
        eplb.plan([np.ones((1, 4)), np.ones((1, 4), np.int64)], num_gpus=2, policy="minimax")


def test_a_layer_that_saw_no_load() -> None:
    windows = WINDOWS.copy()
    windows[:, 1] = 0
    plan = eplb.plan(windows, **SIZES)
    assert plan.loaded_layers.tolist() == [0, 2]
    assert sorted(plan.logcnt[1].tolist()) == [1] * 4 + [2] * 4
    assert eplb.verify(plan, windows).startswith("verified")
    # The newest window in which a layer had load counts.
    windows[-1] = 0
    assert eplb.plan(windows, **SIZES).loaded_layers.tolist() == [0, 2]


def test_every_window_has_its_figures() -> None:
    plan = eplb.plan(WINDOWS[0], **SIZES)
    windows = WINDOWS.copy()
    windows[3, 2] = 0
    figures = eplb.evaluate(plan, windows)
    assert isinstance(figures, eplb.WindowFigures)
    assert figures.gpu_load.shape == (6, 3, 4)
    for window, loads in enumerate(windows):
        alone = eplb.evaluate(plan, loads)
        for name in ("gpu_load", "balancedness", "lower_bound", "gap"):
            assert (getattr(figures, name)[window] == getattr(alone, name)).all()
    assert figures.loaded.sum() == 17
    assert not figures.loaded[3, 2]
    lines = str(figures).splitlines()
    assert len(lines) == 8
    assert "no load" in str(eplb.evaluate(plan, windows * 0))
    assert len(str(eplb.evaluate(plan, np.tile(WINDOWS, (3, 1, 1)))).splitlines()) == 2
    assert (eplb.evaluate(plan, history()).gpu_load == figures.gpu_load[-1]).all()


def test_figures_over_windows_worked_by_hand() -> None:
    """GPUs with 1 and k have balancedness (k + 1) / 2k."""
    plan = eplb.Plan.from_phy2log([[0, 1], [1, 0]], num_gpus=2)
    windows = [[[1, k], [0, 0]] for k in range(1, 21)]
    reached = [(k + 1) / (2 * k) for k in range(1, 21)]
    over = eplb.evaluate(plan, [*windows, [[0, 0], [0, 0]]]).over_windows()
    assert over.balancedness_mean == pytest.approx(np.mean(reached))
    # The second lowest of twenty; a window without load does not count.
    assert (over.balancedness_p10, over.balancedness_worst) == (reached[18], reached[19])
    few = eplb.evaluate(plan, [[[1, 3], [1, 1]], [[1, 1], [1, 1]]])
    worst = few.over_windows().balancedness_worst
    assert worst == few.over_windows().balancedness_p10 == pytest.approx(5 / 6)
    assert str(few).splitlines() == [
        "2 windows of 2 layers",
        "  over windows  balancedness mean 0.9167, 10th percentile 0.8333, worst 0.8333",
        "  window 0      balancedness mean 0.8333, worst 0.6667",
        "  window 1      balancedness mean 1.0000, worst 1.0000",
    ]
    nothing = eplb.evaluate(plan, np.zeros((2, 2, 2))).over_windows()
    assert (
        nothing.balancedness_mean is nothing.balancedness_p10 is nothing.balancedness_worst is None
    )


def test_groups_and_global_plans() -> None:
    plan = eplb.plan(WINDOWS, **SIZES, num_groups=4, num_nodes=2)
    assert eplb.verify(plan, WINDOWS).startswith("verified")
    ignored = eplb.plan(WINDOWS, num_gpus=6, num_replicas=12, num_groups=4, num_nodes=3)
    assert ignored.is_global
    alone = eplb.plan(WINDOWS, num_gpus=6, num_replicas=12)
    assert ignored.phy2log.tolist() == alone.phy2log.tolist()


def test_plan_files_keep_what_a_plan_was_made_from(tmp_path: Path) -> None:
    for plan in (
        eplb.plan(WINDOWS, **SIZES),
        eplb.plan(WINDOWS, **SIZES, policy="minimax", effort="fast", target_gap=0.01),
        eplb.plan(WINDOWS[0], **SIZES, policy="deepseek"),
        eplb.Plan.from_phy2log([[0, 1, -1, 0]], num_gpus=2),
    ):
        for name in ("plan.json", "plan.npz"):
            plan.save(tmp_path / name)
            read = eplb.load_plan(tmp_path / name)
            assert read == plan
            assert (read.options, read.made_from) == (plan.options, plan.made_from)
    fast = eplb.plan(WINDOWS, **SIZES, policy="minimax", effort="fast", target_gap=0.01)
    assert fast.options == {"effort": "fast", "target_gap": 0.01}


def test_plan_files_of_version_1_are_read() -> None:
    plan = eplb.plan(WINDOWS[0], **SIZES)
    old = plan.to_dict() | {"version": 1}
    for key in ("options", "made_from", "cluster"):
        del old[key]
    read = eplb.Plan.from_dict(old)
    assert (read, read.options, read.made_from) == (plan, {}, None)
    assert eplb.verify(read, WINDOWS[0]).startswith("verified")


def test_an_empty_slot_is_one_everywhere() -> None:
    plan = eplb.evaluate(eplb.Plan.from_phy2log([[0, 1, -1, 0]], num_gpus=2), [[4, 6]])
    assert plan.rank.tolist() == [[0, 0, -1, 1]]
    assert plan.log2phy().tolist() == [[[0, 3], [1, -1]]]
    assert plan.gpu_load.tolist() == [[8, 2]]
    assert eplb.verify(plan, [[4, 6]]).startswith("verified")
    assert "1 empty slot" in str(plan)
    with pytest.raises(eplb.PlanFileError, match="slot 2 is empty"):
        plan.save("plan.json", "sglang")


def test_passes_are_merged_into_windows_of_about_equal_load(tmp_path: Path) -> None:
    passes = np.random.default_rng(2).integers(0, 50, (100, 2, 8))
    passes[40:60] = 0
    passes[70:] *= 3
    np.save(tmp_path / "passes.npy", passes)
    read = eplb.load_files.read_loads(tmp_path / "passes.npy")
    merged = read.merged(10)
    assert len(merged.windows) == 10
    assert (merged.table == passes.sum(axis=0)).all()
    loads = [int(window.sum()) for window in merged.windows]
    assert max(loads) < 1.5 * min(loads)
    # They are consecutive: each begins where the one before ends.
    ends = np.cumsum(loads)
    assert set(ends.tolist()) <= set(np.cumsum(passes.sum(axis=(1, 2))).tolist())
    # Floats are merged alike, and few windows stay as they are.
    np.save(tmp_path / "floats.npy", passes.astype(float))
    floats = eplb.load_files.read_loads(tmp_path / "floats.npy").merged(10)
    assert all((a == b).all() for a, b in zip(floats.windows, merged.windows, strict=True))
    assert len(read.merged(100).windows) == 100
    assert len(read.merged(1).windows) == 1
    # A window of more than its part leaves fewer.
    passes[0, 0, 0] = 10**6
    np.save(tmp_path / "passes.npy", passes)
    assert len(eplb.load_files.read_loads(tmp_path / "passes.npy").merged(10).windows) < 10
    np.save(tmp_path / "passes.npy", passes * 0)
    assert len(eplb.load_files.read_loads(tmp_path / "passes.npy").merged(10).windows) == 100
    for wrong, error in ((0, EplbError), (2.5, EplbError), ("2", TypeError)):
        with pytest.raises(error, match="windows"):
            read.merged(wrong)  # type: ignore[arg-type]
