"""`eplb.Balancer`: what every rank keeps in a rebalance loop."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import eplb
import numpy as np
import pytest

RANDOM = np.random.default_rng(8)
USUAL = RANDOM.lognormal(5, 1, (3, 16))
WINDOWS = (USUAL * RANDOM.lognormal(0, 0.4, (9, 3, 16))).astype(np.int64)
SIZES: dict[str, Any] = {"num_gpus": 4, "num_replicas": 20}


def test_steps_are_updates_from_one_history() -> None:
    balancer, history = eplb.Balancer(), eplb.LoadHistory()
    previous: Any = None
    for window in WINDOWS:
        update = balancer.step(window, previous, **SIZES)
        history.observe(window)
        if previous is None:
            assert (update.plan.phy2log == eplb.plan(history, **SIZES).phy2log).all()
            assert update.copies.tolist() == [20] * 3
        else:
            assert update.plan == eplb.replan(history, previous, **SIZES).plan
        previous = update.plan.phy2log
    assert balancer.plan == update.plan
    assert balancer.history.digest() == history.digest()
    assert (update.plan.phy2log >= 0).all()


def test_ranks_compare_digests() -> None:
    """Equal for equal loads of any dtype, and another one after another window or another option."""

    def run(windows: Any, **options: Any) -> list[str]:
        balancer, plan, digests = eplb.Balancer(**options), None, []
        digests.append(balancer.digest())
        for window in windows:
            plan = balancer.step(window, plan, **({} if plan else SIZES)).plan
            digests.append(balancer.digest())
        return digests

    digests = run(WINDOWS)
    assert run(WINDOWS.astype(np.float64), threads=3) == digests
    assert len({*digests}) == len(digests)
    other = WINDOWS.copy()
    other[-1, 0, 0] += 5000
    assert run(other)[:-1] == digests[:-1]
    assert run(other)[-1] != digests[-1]
    assert run(WINDOWS, rows=4)[1:] != digests[1:]
    assert all(len(digest) == 16 for digest in digests)


def new_and_old(step: dict[str, Any], previous: Any, load: Any = WINDOWS[8]) -> tuple[Any, Any]:
    """The update of a balancer that has seen windows, and that of a new one."""
    old = eplb.Balancer(move_price=0)
    plan = old.step(WINDOWS[:8], None, **SIZES).plan
    given = plan if previous is None else previous(plan)
    made = old.step(load, given, **step)
    new = eplb.Balancer(move_price=0)
    return made, new.step(load, given, **step)


FORGETS: dict[str, tuple[dict[str, Any], Any]] = {
    "a GPU more": ({"num_gpus": 5, "num_replicas": 25}, None),
    "a GPU less": ({"num_gpus": 3, "num_replicas": 21}, None),
    "an added GPU": ({"added_gpus": 1}, None),
    "a cluster of other GPUs": ({"cluster": eplb.Cluster.uniform(5, 5)}, None),
    "an empty slot": (
        SIZES,
        lambda plan: np.where(plan.phy2log == plan.phy2log[0, 3], -1, plan.phy2log),
    ),
}


@pytest.mark.parametrize("name", FORGETS)
def test_it_forgets_where_there_may_be_new_ranks(name: str) -> None:
    step, previous = FORGETS[name]
    made, new = new_and_old(step, previous)
    assert made.plan == new.plan
    assert made.plan.made_from.windows == 1


def test_it_remembers_through_failures_until_a_gpu_is_back() -> None:
    balancer = eplb.Balancer()
    plan = balancer.step(WINDOWS[:6], None, **SIZES).plan
    dead = balancer.step(WINDOWS[6], plan, dead_gpus=[3], num_replicas=24).plan
    assert dead.cluster.dead_gpus == [3]
    assert dead.made_from is not None
    assert dead.made_from.windows == 7
    later = balancer.step(WINDOWS[7], dead).plan
    assert later.made_from is not None
    assert later.made_from.windows == 8
    back = balancer.step(WINDOWS[8], later, live_gpus=[3]).plan
    assert back.made_from is not None
    assert back.made_from.windows == 1
    # As a table on the same GPUs, of which one is dead, it has no gaps either.
    balancer.reset()
    balancer.step(WINDOWS[:6], dead)
    table = balancer.step(
        WINDOWS[6], dead.phy2log, cluster=dead.cluster, previous_cluster=dead.cluster
    )
    assert table.plan.made_from is not None
    assert table.plan.made_from.windows == 7


def test_tables_with_dead_gpus_and_iterators_at_every_step() -> None:
    """What GPUs out of use lack is no gap, and numbers that are given once count twice."""
    balancer, table = eplb.Balancer(), np.full((3, 24), -1)
    for step, window in enumerate(WINDOWS):
        update = balancer.step(window, table, num_gpus=4, dead_gpus=iter([3]), num_replicas=24)
        assert update.plan.cluster.dead_gpus == [3]
        assert update.plan.made_from is not None
        assert update.plan.made_from.windows == step + 1
        table = update.plan.phy2log
    plan = balancer.step(WINDOWS[0], update.plan).plan
    # It forgets, so that it plans a second time.
    more = balancer.step(WINDOWS[1], plan, num_gpus=5, dead_gpus=iter([0, 3])).plan
    assert more.cluster.dead_gpus == [0, 3]
    assert more.made_from is not None
    assert more.made_from.windows == 1


def test_a_gpu_that_is_back_has_forgotten() -> None:
    """Also if nobody saw that it was gone: what it held is lost, and so is the history of its rank."""
    balancer = eplb.Balancer()
    plan = balancer.step(WINDOWS[:4], None, **SIZES).plan
    update = balancer.step(WINDOWS[4], plan, live_gpus=[2])
    assert (update.previous[:, 10:15] == -1).all()
    assert (update.plan.phy2log[:, 10:15] >= 0).all()
    assert update.copies.min() >= 5
    assert update.plan == eplb.Balancer().step(WINDOWS[4], plan, live_gpus=[2]).plan


def test_the_history_counts_in_the_digest() -> None:
    """Two that have the same plan, by other histories."""
    first, second = eplb.Balancer(max_moves=0), eplb.Balancer(max_moves=0)
    plan = first.step(WINDOWS[0], None, **SIZES).plan
    for balancer, window in ((first, WINDOWS[1]), (second, WINDOWS[2])):
        assert balancer.step(window, plan).plan.digest() == plan.digest()
    assert first.digest() != second.digest()


def test_another_model_and_a_reset_are_new() -> None:
    balancer = eplb.Balancer()
    balancer.step(WINDOWS, None, **SIZES)
    other = balancer.step(WINDOWS[0, :2], None, **SIZES)
    assert other.plan.made_from is not None
    assert other.plan.made_from.windows == 1
    balancer.reset()
    assert balancer.plan is None
    assert balancer.digest() == eplb.Balancer().digest()


def test_what_fails_is_not_learnt() -> None:
    balancer = eplb.Balancer()
    plan = balancer.step(WINDOWS[0], None, **SIZES).plan
    digest = balancer.digest()
    for load, previous, sizes in (
        (-WINDOWS[1], plan, {}),
        (WINDOWS[1], plan, {"dead_gpus": [9]}),
        (WINDOWS[1], [[99] * 20] * 3, SIZES),
        (WINDOWS[1], None, {}),
        (WINDOWS[1], plan, {"nodes": 3}),
    ):
        with pytest.raises((eplb.EplbError, TypeError)):
            balancer.step(load, previous, **sizes)
        assert balancer.digest() == digest
        assert balancer.plan == plan


def test_threads_may_share_it() -> None:
    """Steps come one after another: no window is lost."""
    balancer = eplb.Balancer(max_moves=0)
    plan = balancer.step(WINDOWS[0], None, **SIZES).plan
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda window: balancer.step(window, plan), [*WINDOWS] * 4))
    assert balancer.history.windows == 1 + 4 * len(WINDOWS)
