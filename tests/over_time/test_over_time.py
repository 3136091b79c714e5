"""The core computes what the specification says, to the last bit, and takes every decision so."""

from __future__ import annotations

import numpy as np
import pytest
from eplb import _core
from hypothesis import given, settings
from hypothesis import strategies as st
from over_time import specification as spec
from over_time.on_gpus import on_gpus

MILLION = 1_000_000


@st.composite
def loads(draw: st.DrawFn, experts: int) -> list[int]:
    """A window: even, skewed, sparse, or with one expert that takes almost all."""
    top = draw(st.sampled_from([1, 3, 1000, 10**6]))
    row = draw(st.lists(st.integers(0, top), min_size=experts, max_size=experts))
    if draw(st.booleans()):
        row[draw(st.integers(0, experts - 1))] += draw(st.sampled_from([10, 10**5, 10**9]))
    return row


@st.composite
def histories(draw: st.DrawFn, experts: int) -> tuple[int, int, list[list[int]]]:
    """Rows, decay and windows of one layer; some windows are like ones before."""
    windows = [draw(loads(experts))]
    for _ in range(draw(st.integers(0, 9))):
        if draw(st.booleans()):
            old = draw(st.sampled_from(windows))
            windows.append([load + draw(st.integers(0, 2)) for load in old])
        else:
            windows.append(draw(loads(experts)))
    rows = draw(st.integers(3, 7))
    decay = draw(st.sampled_from([64225, 62259, 65536, 30000, 1]))
    return rows, decay, windows


def observed(
    rows: int, decay: int, windows: list[list[int]]
) -> tuple[_core.LoadHistory, spec.History]:
    """The same history in the core and by the specification."""
    core = _core.LoadHistory(1, len(windows[0]), rows, decay)
    plain = spec.History(rows, decay)
    for window in windows:
        canonical = _core.Loads(np.array([window], dtype=np.int64))
        core.observe(canonical, 1)
        plain.observe(canonical.values()[0].tolist())
    return core, plain


def topology(
    experts: int, slots: int, gpus: int, groups: int = 1, nodes: int = 1
) -> _core.Topology:
    return _core.Topology(experts, slots, groups, nodes, gpus)


@given(st.data())
def test_histories_are_equal(data: st.DataObject) -> None:
    experts = data.draw(st.integers(1, 12))
    core, plain = observed(*data.draw(histories(experts)))
    _, _, _, [state], [newest], [_] = core.state()
    assert state == (plain.rows, plain.weights, plain.nearest, plain.usual, plain.shifted)
    assert sum(newest) == 0 or len(plain.rows) > 0
    assert _core.LoadHistory.from_state(core.state()).digest() == core.digest()


@given(st.data())
def test_cold_plans_are_equal(data: st.DataObject) -> None:
    experts = data.draw(st.integers(1, 9))
    gpus = data.draw(st.integers(1, 5))
    per_gpu = data.draw(st.integers(-(-experts // gpus), experts))
    core, plain = observed(*data.draw(histories(experts)))
    made = _core.replan(core, topology(experts, gpus * per_gpu, gpus))
    if plain.rows:
        assert made.phy2log()[0].tolist() == spec.cold(plain, gpus * per_gpu, gpus)


@st.composite
def placements(draw: st.DrawFn, experts: int, gpus: int, per_gpu: int) -> list[int]:
    """A placement without duplicates; sometimes slots are empty and experts lack."""
    slots: list[int] = []
    lack = draw(st.booleans())
    for _ in range(gpus):
        held = draw(st.permutations(range(experts)))[:per_gpu]
        slots += [spec.EMPTY if lack and draw(st.integers(0, 5)) == 0 else e for e in held]
    return slots


@given(st.data())
@settings(max_examples=150)
def test_every_decision_of_an_update_is_equal(data: st.DataObject) -> None:
    experts = data.draw(st.integers(2, 9))
    gpus = data.draw(st.integers(1, 5))
    per_gpu = data.draw(st.integers(-(-experts // gpus), experts))
    core, plain = observed(*data.draw(histories(experts)))
    if not plain.rows:
        return
    slots = data.draw(placements(experts, gpus, per_gpu))
    price = data.draw(st.sampled_from([0, 100, 10_000, 100_000]))
    copies = data.draw(st.tuples(st.integers(0, 20), st.integers(0, 20)))
    check(core, plain, slots, gpus, copies, price, fill=data.draw(st.booleans()))


@given(st.data())
@settings(max_examples=150)
def test_every_decision_of_an_update_to_other_gpus_is_equal(data: st.DataObject) -> None:
    experts = data.draw(st.integers(2, 9))
    gpus, old_gpus = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
    per_gpu = data.draw(st.integers(-(-experts // gpus), experts))
    core, plain = observed(*data.draw(histories(experts)))
    if not plain.rows:
        return
    previous = data.draw(placements(experts, old_gpus, data.draw(st.integers(1, experts))))
    slots = spec.present(previous, old_gpus, gpus, per_gpu)
    fill = data.draw(st.booleans())
    check(core, plain, slots, gpus, (3, 9), 1000, fill=fill, previous=(previous, old_gpus))


@given(st.data())
@settings(max_examples=40)
def test_every_decision_among_many_swaps_is_equal(data: st.DataObject) -> None:
    """So many that those are chosen which look best."""
    experts, gpus = data.draw(st.integers(9, 12)), data.draw(st.integers(4, 5))
    per_gpu = data.draw(st.integers(9, experts))
    assert per_gpu * per_gpu * gpus > 320
    core, plain = observed(*data.draw(histories(experts)))
    if not plain.rows:
        return
    slots = data.draw(placements(experts, gpus, per_gpu))
    check(core, plain, slots, gpus, (6, 6), data.draw(st.sampled_from([0, 10_000])))


@given(st.data())
@settings(max_examples=100)
def test_every_decision_with_groups_on_nodes_is_equal(data: st.DataObject) -> None:
    nodes, size = 2, data.draw(st.integers(1, 3))
    groups = nodes * data.draw(st.integers(1, 2))
    experts, gpus = groups * size, nodes * data.draw(st.integers(1, 3))
    here = experts // nodes
    per_gpu = data.draw(st.integers(-(-here // (gpus // nodes)), here))
    core, plain = observed(*data.draw(histories(experts)))
    if not plain.rows:
        return
    order = data.draw(st.permutations(range(groups)))
    zone_of_group = [order.index(group) * nodes // groups for group in range(groups)]
    zones = [zone_of_group[expert // size] for expert in range(experts)]
    slots: list[int] = []
    for gpu in range(gpus):
        local = [e for e in range(experts) if zones[e] == gpu * nodes // gpus]
        slots += data.draw(st.permutations(local))[:per_gpu]
    # A group that is nowhere would be given a node.
    if {slot // size for slot in slots} != set(range(groups)):
        return
    fill = data.draw(st.booleans())
    if fill:
        slots[data.draw(st.integers(0, len(slots) - 1))] = spec.EMPTY
        if {slot // size for slot in slots if slot != spec.EMPTY} != set(range(groups)):
            return
    check(core, plain, slots, gpus, (12, 20), 1000, zones, nodes, groups, fill=fill)


def check(
    core: _core.LoadHistory,
    plain: spec.History,
    slots: list[int],
    gpus: int,
    copies: tuple[int, int],
    price: int,
    zones: list[int] | None = None,
    nodes: int = 1,
    groups: int = 1,
    *,
    fill: bool = False,
    previous: tuple[list[int], int] | None = None,
) -> None:
    """Every prefix of the moves is what the specification does."""
    sizes = topology(core.experts, len(slots), gpus, groups, nodes)
    row, old_gpus = previous or (slots, gpus)
    loses = spec.loses_replicas(row, old_gpus, gpus, len(slots) // gpus)
    state, steps = spec.warm(
        plain, slots, gpus, copies, price, zones, nodes, fill=fill, loses=loses
    )

    def update(most: int) -> tuple[list[set[int]], tuple[int, int]]:
        made = _core.replan(
            core,
            sizes,
            on_gpus(np.array([row]), old_gpus),
            price,
            copies[0],
            copies[1],
            most,
            fill=fill,
        )
        table = made.phy2log()[0].reshape(gpus, -1).tolist()
        return [set(row) - {spec.EMPTY} for row in table], made.objective[0]

    spent = 0
    for step in steps:
        assert update(spent)[1][1] == step.before
        assert update(spent + step.copies)[1][1] == step.before - step.gain
        spent += step.copies
    held, (_, end) = update(spent + 2)
    assert held == [set(state.held(gpu)) for gpu in range(gpus)]
    assert end == state.total()


@pytest.mark.parametrize("gpus", [1, 70])
def test_extreme_loads_leave_headroom(gpus: int) -> None:
    """One expert takes all: the ratio of the largest GPU load to the mean is as large as can be."""
    windows = [[10**9] + [0] * 71, [1] * 71 + [10**9], [0, 10**9] + [1] * 70]
    core, plain = observed(3, 64225, windows)
    per_gpu = 72 if gpus == 1 else 2
    made = _core.replan(core, topology(72, gpus * per_gpu, gpus))
    assert made.phy2log()[0].tolist() == spec.cold(plain, gpus * per_gpu, gpus)
