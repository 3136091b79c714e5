"""The plug-in for SGLang, call by call."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import eplb
import fake_engines
import numpy as np
import pytest
import torch
from eplb import plugins
from eplb.plugins import sglang_hook
from eplb.plugins.rebalancer import Ranks
from fake_engines import Algorithm, ElasticEPStateManager, HookRegistry, Location, own_planner

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RANDOM = np.random.default_rng(20)
USUAL = RANDOM.lognormal(5, 1, (4, 16))
#: Layer 0 is dense.
WINDOWS = (USUAL * RANDOM.lognormal(0, 0.4, (9, 4, 16))).astype(np.int32)
WINDOWS[:, 0] = 0
START = np.tile(np.arange(20) % 16, (4, 1))


@pytest.fixture(autouse=True)
def _engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("EPLB_PLUGIN", "1")
    monkeypatch.setenv("EPLB_OFF_FILE", str(tmp_path / "off"))
    monkeypatch.setenv("EPLB_RECORD", str(tmp_path / "records"))
    with fake_engines.engines():
        yield


def installed() -> Any:
    """The hook, after the entry point was called."""
    plugins.sglang()
    ((_, hook, _),) = HookRegistry._hooks["sglang.srt.eplb.eplb_algorithms.rebalance_experts"]
    return hook


def ask(hook: Any, passes: Any, **changes: Any) -> Any:
    """A call as SGLang makes it, by keyword; the answer is put in force."""
    given = {
        "num_physical_experts": 20,
        "num_local_physical_experts": 5,
        "num_groups": None,
        "num_nodes": 1,
        "algorithm": Algorithm.deepseek,
    } | changes
    passes = torch.as_tensor(passes)
    phy2log, log2phy, counts = hook(own_planner, tokens_per_expert=passes, **given)
    slots, experts = given["num_physical_experts"], passes.shape[2]
    assert phy2log.shape == (4, slots)
    assert phy2log.dtype == log2phy.dtype == torch.int64
    table = phy2log.numpy()
    state = ElasticEPStateManager.state
    active = np.ones(slots // given["num_local_physical_experts"], dtype=bool)
    if state is not None:
        active = state.active_ranks.numpy()[: len(active)] > 0
    live = np.repeat(active, given["num_local_physical_experts"])
    for row, slots_of, numbers in zip(table, log2phy.numpy(), counts.numpy(), strict=True):
        for expert in range(experts):
            expected = [slot for slot in np.flatnonzero(row == expert) if live[slot]]
            assert expected, "some expert has no slot"
            assert slots_of[expert].tolist() == expected + [-1] * (
                len(slots_of[expert]) - len(expected)
            )
            assert numbers[expert] == len(expected)
    Location.put(table)
    return table


def test_it_answers_what_a_balancer_does() -> None:
    """The passes of a window are summed; a dense layer stays as it is."""
    hook, balancer, old = installed(), eplb.Balancer(num_groups=1, num_nodes=1), START
    Location.put(START)
    for window in WINDOWS:
        passes = np.stack([window // 3, window - window // 3])
        new = ask(hook, passes)
        assert (new == balancer.step(window, old, num_gpus=4).plan.phy2log).all()
        assert (new[0] == START[0]).all()
        old = new


def test_the_first_call_has_no_map() -> None:
    table = ask(installed(), WINDOWS[:1])
    fresh = eplb.Balancer(num_groups=1, num_nodes=1)
    assert (table == fresh.step(WINDOWS[0], None, num_gpus=4, num_replicas=20).plan.phy2log).all()
    # What is planned at start is remembered.
    next_one = fresh.step(WINDOWS[1], table, num_gpus=4).plan.phy2log
    assert (ask(installed(), WINDOWS[1:2]) == next_one).all()


def test_groups_count_where_sglang_says_so() -> None:
    Location.put(START)
    flat = ask(installed(), WINDOWS[:1], num_groups=4, num_nodes=2)
    Location.put(START)
    grouped = ask(
        installed(),
        WINDOWS[:1],
        num_groups=4,
        num_nodes=2,
        algorithm=Algorithm.deepseek_hierarchical,
    )
    assert not all(set(row[:10] // 4) & set(row[10:] // 4) == set() for row in flat)
    assert all(set(row[:10] // 4) & set(row[10:] // 4) == set() for row in grouped)


def test_ranks_die_and_come_back() -> None:
    """The rest is repaired; after a rank is back, it and the old ones answer alike."""
    old_rank = installed()
    sizes: dict[str, Any] = {"num_physical_experts": 24, "num_local_physical_experts": 6}
    ElasticEPStateManager.state = SimpleNamespace(
        active_ranks=torch.ones(8, dtype=torch.int32), has_scaled=False
    )
    Location.put(np.tile(np.arange(24) % 16, (4, 1)))
    for window in WINDOWS[:3]:
        before = ask(old_rank, window[None], **sizes)
    ElasticEPStateManager.state.active_ranks[2] = 0
    dead = ask(old_rank, WINDOWS[3][None], **sizes)
    assert (dead[:, 12:18] == 0).all()
    kept = np.delete(dead == before, np.s_[12:18], axis=1)
    assert kept.mean() > 0.5
    again = ask(old_rank, WINDOWS[4][None], **sizes)
    ElasticEPStateManager.state.active_ranks[2] = 1
    answers = []
    with fake_engines.engines():
        new_rank = installed()
        for rank in (old_rank, new_rank):
            ElasticEPStateManager.state = SimpleNamespace(
                active_ranks=torch.ones(8, dtype=torch.int32), has_scaled=False
            )
            Location.put(again)
            answers.append(
                [ask(rank, WINDOWS[5][None], **sizes), ask(rank, WINDOWS[6][None], **sizes)]
            )
    assert (np.array(answers[0]) == np.array(answers[1])).all()
    assert (answers[0][0][1:, 12:18] != 0).any()


@pytest.mark.parametrize("name", ["minimax", "multiwindow"])
def test_every_policy_knows_dead_ranks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EPLB_POLICY", name)
    ElasticEPStateManager.state = SimpleNamespace(
        active_ranks=torch.tensor([1, 0, 1, 1]), has_scaled=False
    )
    Location.put(np.tile(np.arange(24) % 16, (4, 1)))
    sizes = {"num_physical_experts": 24, "num_local_physical_experts": 6}
    assert (ask(installed(), WINDOWS[:1], **sizes)[:, 6:12] == 0).all()


def test_who_compares(monkeypatch: pytest.MonkeyPatch) -> None:
    """All ranks, if there is a map and ranks can neither die nor come."""
    import torch.distributed as dist

    assert sglang_hook._ranks() == Ranks(0, 1)
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_rank", lambda: 2)
    monkeypatch.setattr(dist, "get_world_size", lambda: 4)
    assert sglang_hook._ranks() == Ranks(2, 4, None), "at start"
    Location.put(START)
    assert sglang_hook._ranks() == Ranks(2, 4, dist.group.WORLD)
    ElasticEPStateManager.state = SimpleNamespace(active_ranks=None, has_scaled=False)
    assert sglang_hook._ranks() == Ranks(2, 4, None), "elastic"


def test_another_place_of_the_map_leaves_it_to_sglang(caplog: pytest.LogCaptureFixture) -> None:
    import sys

    hook = installed()
    del sys.modules["sglang.srt.eplb.expert_location"]
    given = (torch.as_tensor(WINDOWS[:1]), 20, 5, None, 1, Algorithm.deepseek)
    for _ in range(2):
        assert (hook(own_planner, *given)[0] == own_planner(*given)[0]).all()
    told = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(told) == 1
    assert "expert_location has no get_global_expert_location_metadata" in told[0]


def test_a_bad_window_keeps_the_map() -> None:
    hook = installed()
    Location.put(START)
    assert (ask(hook, -WINDOWS[:1]) == START).all()
    with pytest.raises(TypeError):  # as the original does
        hook(own_planner, tokens_per_expert=None)


def test_too_few_live_slots_are_for_sglang_to_answer(caplog: pytest.LogCaptureFixture) -> None:
    hook = installed()
    Location.put(START)
    ElasticEPStateManager.state = SimpleNamespace(
        active_ranks=torch.tensor([1, 1, 0, 1]), has_scaled=False
    )
    given = (torch.as_tensor(WINDOWS[:1]), 20, 5, None, 1, Algorithm.elasticity_aware)
    answer, own = hook(own_planner, *given), own_planner(*given)
    assert (answer[0] == own[0]).all()
    assert "15 slots are too few for 16 experts" in caplog.text


def test_a_bad_window_without_a_map_is_answered_too() -> None:
    ask(installed(), -WINDOWS[:1])


def test_the_off_file(tmp_path: Path) -> None:
    hook = installed()
    Location.put(START)
    (tmp_path / "off").touch()
    given = (torch.as_tensor(WINDOWS[:1]), 20, 5, None, 1, Algorithm.deepseek)
    for answer, own in zip(hook(own_planner, *given), own_planner(*given), strict=True):
        assert (answer == own).all()


def test_installed_once() -> None:
    assert installed() is installed()


def test_in_the_units_of_sglang() -> None:
    """Eight passes of 58 x 256 to 288 slots on 32 GPUs."""
    hook = installed()
    loads = eplb.sampling.sample(seed=1, layers=58, experts=256, windows=12, tokens=30000)
    Location.put(np.tile(np.arange(288) % 256, (58, 1)))
    sizes = {"num_physical_experts": 288, "num_local_physical_experts": 9}
    given = {"num_groups": None, "num_nodes": 1, "algorithm": Algorithm.deepseek} | sizes
    times = []
    for load in loads:
        passes = torch.as_tensor(np.stack([load // 8] * 8).astype(np.int32))
        started = time.perf_counter()
        phy2log, *_ = hook(own_planner, tokens_per_expert=passes, **given)
        times.append(time.perf_counter() - started)
        Location.put(phy2log)
    assert sorted(times)[len(times) // 2] < 1, times
