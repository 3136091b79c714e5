"""The plug-in for vLLM, call by call."""

from __future__ import annotations

import logging
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import eplb
import fake_engines
import numpy as np
import pytest
import torch
from eplb import plugins
from eplb.plugins.reproduce import Reproduction, reproduce

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RANDOM = np.random.default_rng(20)
USUAL = RANDOM.lognormal(5, 1, (3, 16))
WINDOWS = (USUAL * RANDOM.lognormal(0, 0.4, (9, 3, 16))).astype(np.int64)
START = np.tile(np.arange(20) % 16, (3, 1))


@pytest.fixture(autouse=True)
def _engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("EPLB_PLUGIN", "1")
    monkeypatch.setenv("EPLB_OFF_FILE", str(tmp_path / "off"))
    monkeypatch.setenv("EPLB_RECORD", str(tmp_path / "records"))
    with fake_engines.engines():
        yield


def installed() -> Any:
    """The policy that vLLM looks up, after the entry point was called."""
    plugins.vllm()
    from vllm.distributed.eplb import policy

    return policy.EPLB_POLICIES["default"]


def ask(
    policy: Any,
    load: Any,
    old: Any,
    slots: int = 20,
    ranks: int = 4,
    groups: int = 1,
    nodes: int = 1,
) -> Any:
    """A call as vLLM makes it: positional, tensors of the CPU."""
    old = None if old is None else torch.as_tensor(old)
    answer = policy.rebalance_experts(torch.as_tensor(load), slots, groups, nodes, ranks, old)
    assert answer.dtype == torch.int64
    assert answer.shape == (len(load), slots)
    assert answer.device.type == "cpu"
    table = answer.numpy()
    for row in table:
        assert set(row) == set(range(load.shape[1])), "some expert has no slot"
    return table


def test_it_answers_what_a_balancer_does() -> None:
    policy, balancer, old = installed(), eplb.Balancer(num_groups=1, num_nodes=1), START
    for window in WINDOWS:
        new = ask(policy, window, old)
        assert (new == balancer.step(window, old, num_gpus=4).plan.phy2log).all()
        old = new
    assert fake_engines.OwnPolicy.calls == 0


def test_the_profile_call_teaches_nothing() -> None:
    policy, fresh = installed(), eplb.Balancer(num_groups=1, num_nodes=1)
    zeros = np.zeros_like(WINDOWS[0])
    assert (ask(policy, zeros, START) == START).all()
    assert (
        ask(policy, WINDOWS[0], START) == fresh.step(WINDOWS[0], START, num_gpus=4).plan.phy2log
    ).all()
    assert (ask(policy, zeros, START) == START).all()


def test_a_map_with_gaps_is_filled_without_load_and_teaches_nothing() -> None:
    policy = installed()
    gaps = np.where(START == 3, -1, START)
    filled = ask(policy, np.zeros_like(WINDOWS[0]), gaps)
    fresh = eplb.Balancer(num_groups=1, num_nodes=1).step(WINDOWS[0], filled, num_gpus=4)
    assert (ask(policy, WINDOWS[0], filled) == fresh.plan.phy2log).all()


def test_a_cold_call_has_a_whole_map() -> None:
    policy = installed()
    assert (ask(policy, WINDOWS[0], None) >= 0).all()
    ask(policy, np.zeros_like(WINDOWS[0]), None)


@pytest.mark.parametrize("groups", [0, 1, 4, 3, 5])
@pytest.mark.parametrize("nodes", [1, 2])
def test_groups(groups: int, nodes: int) -> None:
    """Whole groups stay on nodes, if the numbers go together; other numbers mean no groups."""
    table = ask(installed(), WINDOWS[0], START, groups=groups, nodes=nodes)
    if groups == 4 and nodes == 2:
        for row in table:
            halves = {*(row[:10] // 4)}, {*(row[10:] // 4)}
            assert not halves[0] & halves[1]


def test_ranks_come_and_go() -> None:
    """Old ranks and new ones answer alike, though the new ones have seen nothing."""
    old_rank, new_rank = installed(), None
    table = START
    for window in WINDOWS[:4]:
        table = ask(old_rank, window, table)
    wide = np.hstack([table, np.full((3, 5), -1)])
    with fake_engines.engines():
        new_rank = installed()
        grown = [ask(rank, WINDOWS[4], wide, slots=25, ranks=5) for rank in (old_rank, new_rank)]
        assert (grown[0] == grown[1]).all()
        # An expert that stays on a GPU stays in its slot.
        moved = grown[0][:, :20] != table
        assert moved.mean() < 0.5
        after = [
            ask(rank, WINDOWS[5], grown[0], slots=25, ranks=5) for rank in (old_rank, new_rank)
        ]
        assert (after[0] == after[1]).all()
        shrunk = [
            ask(rank, WINDOWS[6], after[0], slots=20, ranks=4) for rank in (old_rank, new_rank)
        ]
        assert (shrunk[0] == shrunk[1]).all()


def test_gaps_make_every_rank_forget() -> None:
    old_rank = installed()
    table = START
    for window in WINDOWS[:4]:
        table = ask(old_rank, window, table)
    gaps = np.where(table == table[0, 3], -1, table)
    with fake_engines.engines():
        new_rank = installed()
        assert (ask(old_rank, WINDOWS[4], gaps) == ask(new_rank, WINDOWS[4], gaps)).all()


def test_target_and_drafter_of_equal_shape_are_told_apart() -> None:
    """Each has a history of its own, also in windows in which nothing moves."""
    policy = installed()
    other = WINDOWS[:, :, ::-1].copy()
    balancers = [eplb.Balancer(num_groups=1, num_nodes=1) for _ in range(2)]
    tables = [START, START]
    for step in range(9):
        for which, loads in enumerate((WINDOWS, other)):
            expected = balancers[which].step(loads[step], tables[which], num_gpus=4).plan.phy2log
            tables[which] = ask(policy, loads[step], tables[which])
            assert (tables[which] == expected).all(), (step, which)


def test_some_layers_alone_took_the_new_map() -> None:
    """As if the asynchronous worker had been stopped: the model is known by the others."""
    policy, balancer = installed(), eplb.Balancer(num_groups=1, num_nodes=1)
    old = START
    for window in WINDOWS[:3]:
        balancer.step(window, old, num_gpus=4)
        new = ask(policy, window, old)
        old = np.vstack([new[:1], old[1:]])
    assert (
        ask(policy, WINDOWS[3], old) == balancer.step(WINDOWS[3], old, num_gpus=4).plan.phy2log
    ).all()


BAD_CALLS: dict[str, tuple[Any, Any]] = {
    "negative counts": (-WINDOWS[0], START),
    "NaN": (np.where(np.arange(16) == 3, np.nan, WINDOWS[0]), START),
    "no whole number": (WINDOWS[0] + 0.5, START),
    "infinite": (np.where(np.arange(16) == 3, np.inf, WINDOWS[0]), START),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_a_bad_window_keeps_the_map_and_says_so_once(
    name: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    load, old = BAD_CALLS[name]
    policy = installed()
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            assert (ask(policy, load, old) == START).all()
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert "planning failed (load [3, 16]" in errors[0]
    assert len([*(tmp_path / "records").glob("eplb-failure-*.npz")]) == 1
    # It goes on.
    assert (ask(policy, WINDOWS[0], START) != START).any()


@pytest.mark.parametrize(
    "old",
    [START[:, :7], START[:1], np.full((3, 20), -1), np.full((3, 20), 99), START[:, :0], START[0]],
    ids=["narrow", "other layers", "empty", "unknown experts", "no slots", "flat"],
)
def test_a_bad_map_is_answered_by_a_whole_one(old: Any) -> None:
    ask(installed(), WINDOWS[0], old)


def test_too_few_slots_or_odd_sizes_never_raise() -> None:
    policy = installed()
    for slots, ranks in ((12, 4), (20, 3), (20, 0), (20, -1)):
        answer = policy.rebalance_experts(torch.as_tensor(WINDOWS[0]), slots, 1, 1, ranks, None)
        assert answer.shape == (3, slots)


def test_an_invalid_plan_is_not_answered(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    policy = installed()
    real = eplb.Balancer.step

    class Broken:
        def __init__(self, update: Any) -> None:
            table = np.where(update.plan.phy2log == 3, 2, update.plan.phy2log)
            self.plan = SimpleNamespace(phy2log=table, digest=update.plan.digest)
            self.kept, self.shifted = update.kept, update.shifted

    monkeypatch.setattr(eplb.Balancer, "step", lambda *args, **given: Broken(real(*args, **given)))
    assert (ask(policy, WINDOWS[0], START) == START).all()
    assert "the plan is invalid: layer 0: expert 3 has no slot" in caplog.text


def test_a_planner_that_raises(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    policy = installed()

    def fails(*_args: Any, **_given: Any) -> Any:
        raise MemoryError("no memory")

    monkeypatch.setattr(eplb.Balancer, "step", fails)
    monkeypatch.setattr("eplb.plugins.reproduce.replan", fails)
    assert (ask(policy, WINDOWS[0], START) == START).all()
    assert "planning failed" in caplog.text
    (kept,) = (tmp_path / "records").glob("eplb-failure-vllm-*.npz")
    assert f"eplb record --reproduce {kept}" in caplog.text
    assert reproduce(kept) == Reproduction(
        "MemoryError: no memory", eplb.__version__, "MemoryError: no memory"
    )
    monkeypatch.undo()
    assert not reproduce(kept).now


def test_the_off_file_while_it_runs(tmp_path: Path) -> None:
    policy = installed()
    new = ask(policy, WINDOWS[0], START)
    (tmp_path / "off").touch()
    own = ask(policy, WINDOWS[1], new)
    assert fake_engines.OwnPolicy.calls == 1
    assert (
        own
        == fake_engines.OwnPolicy.rebalance_experts(
            torch.as_tensor(WINDOWS[1]), 20, 1, 1, 4
        ).numpy()
    ).all()
    (tmp_path / "off").unlink()
    fresh = eplb.Balancer(num_groups=1, num_nodes=1)
    assert (
        ask(policy, WINDOWS[2], own) == fresh.step(WINDOWS[2], own, num_gpus=4).plan.phy2log
    ).all()


@pytest.mark.parametrize("name", ["minimax", "deepseek", "adaptive"])
def test_other_policies_plan_the_newest_window(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EPLB_PLUGIN", name)
    expected = eplb.plan(WINDOWS[0], num_gpus=4, num_replicas=20, policy=name).phy2log
    assert (ask(installed(), WINDOWS[0], START) == expected).all()


def test_installed_once_and_a_policy_still() -> None:
    policy = installed()
    assert installed() is policy
    assert issubclass(policy, fake_engines.OwnPolicy)


def test_in_the_units_of_vllm() -> None:
    """58 x 256 to 288 slots on 32 GPUs: the goal is 10 ms; `make bench` measures it."""
    policy = installed()
    loads = eplb.sampling.sample(seed=1, layers=58, experts=256, windows=12, tokens=30000)
    old, times = np.tile(np.arange(288) % 256, (58, 1)), []
    for load in loads:
        started = time.perf_counter()
        old = ask(policy, load, old, slots=288, ranks=32)
        times.append(time.perf_counter() - started)
    assert sorted(times)[len(times) // 2] < 1, times
