"""Lists of weight copies, run on a model of the GPUs' memory."""

from __future__ import annotations

from itertools import product

import eplb
import numpy as np
import pytest
from eplb import _core
from hypothesis import given, settings
from hypothesis import strategies as st
from over_time.fewest import fewest
from over_time.memory import (
    Placements,
    Transfer,
    check_sources,
    execute,
    forced_buffers,
    pending,
    read,
)
from over_time.on_gpus import equal_gpus, on_gpus


def as_table(rows: list[list[int]]) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    return np.array(rows, dtype=np.int64).reshape(len(rows), -1)


def transfers(
    placements: Placements, experts: int, nodes: int = 1, groups: int = 1
) -> list[Transfer]:
    """The core's list."""
    slots = len(placements.after[0])
    gpus = len(placements.after_slots)
    topology = _core.Topology(experts, slots, groups, nodes, gpus)
    before = as_table(placements.before)
    cluster = equal_gpus(before.shape[1], len(placements.before_slots))
    table = _core.transfers(before, cluster, as_table(placements.after), topology)
    assert table.shape[1:] == (9,)
    assert table.dtype == np.int64
    return read(table, placements)


def nodes_of(gpus: int, nodes: int) -> dict[int, int]:
    return {gpu: gpu * min(nodes, gpus) // gpus for gpu in range(gpus)}


def check(placements: Placements, found: list[Transfer], nodes: int, seed: int) -> None:
    """Everything that is promised."""
    execute(placements, found, seed)
    check_sources(placements, found, nodes_of(len(placements.after_slots), nodes))
    for layer in range(len(placements.before)):
        buffered = sum(t.buffered for t in found if t.layer == layer)
        assert buffered == forced_buffers(*placements.maps(layer))


@st.composite
def new_rows(draw: st.DrawFn, experts: int, slots: int) -> list[int]:
    """Every expert has a slot. The other slots have any expert or none."""
    rest = draw(st.lists(st.integers(-1, experts - 1), min_size=slots, max_size=slots))
    return draw(st.permutations([*range(experts), *rest][:slots]))


@st.composite
def old_rows(draw: st.DrawFn, experts: int, slots: int, new: list[int]) -> list[int]:
    """Anything, the new row in another order, or almost the new row."""
    kind = draw(st.sampled_from(["any", "order", "swaps"]))
    row = list(new[:slots]) + draw(
        st.lists(st.integers(-1, experts - 1), min_size=slots, max_size=slots)
    )
    row = row[:slots]
    if kind == "any":
        return draw(st.lists(st.integers(-1, experts - 1), min_size=slots, max_size=slots))
    if kind == "order":
        return draw(st.permutations(row))
    for _ in range(draw(st.integers(0, 4))):
        i, j = draw(st.integers(0, slots - 1)), draw(st.integers(0, slots - 1))
        row[i], row[j] = row[j], row[i]
    return row


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Placements, int, int, int]:
    """Placements, experts, nodes, groups."""
    nodes = draw(st.integers(1, 3))
    gpus = nodes * draw(st.integers(1, 3))
    per_gpu = draw(st.integers(1, 4))
    size = draw(st.integers(1, max(1, gpus * per_gpu // nodes)))
    experts = nodes * min(size, gpus * per_gpu // nodes)
    same = draw(st.booleans())
    old_gpus = gpus if same else draw(st.integers(1, 9))
    old_per_gpu = per_gpu if same else draw(st.integers(1, 5))
    layers = draw(st.integers(1, 3))
    after = [draw(new_rows(experts, gpus * per_gpu)) for _ in range(layers)]
    before = [draw(old_rows(experts, old_gpus * old_per_gpu, row)) for row in after]
    groups = draw(st.sampled_from([1, nodes]))
    placements = Placements.of_equal_gpus(before, old_per_gpu, after, per_gpu)
    return placements, experts, nodes, groups


@given(pairs(), st.integers(0, 2**32))
def test_any_list_can_be_run(pair: tuple[Placements, int, int, int], seed: int) -> None:
    placements, experts, nodes, groups = pair
    check(placements, transfers(placements, experts, nodes, groups), nodes, seed)


@st.composite
def windows(draw: st.DrawFn, layers: int, experts: int) -> list[_core.Loads]:
    size = layers * experts
    loads = st.lists(st.integers(0, 1000), min_size=size, max_size=size)
    rows = draw(st.lists(loads, min_size=1, max_size=3))
    return [_core.Loads(np.array(row, dtype=np.int64).reshape(layers, -1)) for row in rows]


@given(st.data())
@settings(max_examples=200)
def test_updates_can_be_run(data: st.DataObject) -> None:
    """Pairs that `replan` makes, also for other numbers of GPUs and slots, and after a loss."""
    nodes = data.draw(st.sampled_from([1, 2]))
    groups = nodes * data.draw(st.sampled_from([1, 2]))
    experts = groups * data.draw(st.integers(1, 4))
    layers = 2

    def sizes() -> tuple[int, int]:
        gpus = nodes * data.draw(st.integers(1, 3))
        return gpus, data.draw(st.integers(-(-experts // gpus), experts // nodes))

    gpus, per_gpu = sizes()
    history = _core.LoadHistory(layers, experts, 4, 64225)
    for window in data.draw(windows(layers, experts)):
        history.observe(window, 1)
    topology = _core.Topology(experts, gpus * per_gpu, groups, nodes, gpus)
    old = _core.replan(history, topology).phy2log()
    for window in data.draw(windows(layers, experts)):
        history.observe(window, 1)
    old_gpus, old_per_gpu = gpus, per_gpu
    # With groups on nodes, the nodes keep their GPUs.
    if nodes == 1 and data.draw(st.booleans()):
        gpus, per_gpu = sizes()
    if data.draw(st.booleans()):
        lost = data.draw(st.integers(0, old_gpus - 1))
        old[:, lost * old_per_gpu : (lost + 1) * old_per_gpu] = -1
    topology = _core.Topology(experts, gpus * per_gpu, groups, nodes, gpus)
    previous = on_gpus(old, old_gpus)
    made = _core.replan(history, topology, previous, move_price=0, max_moves=(800_000,))
    new = made.phy2log()
    placements = Placements.of_equal_gpus(old.tolist(), old_per_gpu, new.tolist(), per_gpu)
    found = transfers(placements, experts, nodes, groups)
    check(placements, found, nodes, data.draw(st.integers(0, 2**32)))
    # A GPU with fewer slots moves experts to those that stay, which may count as copies or not.
    within = [t for t in found if t.source is not None and t.source[0] == t.destination[0]]
    assert len(found) - len(within) <= sum(made.copies) <= len(found)
    assert not within or per_gpu < old_per_gpu


def all_rows(experts: int, slots: int) -> list[list[int]]:
    return [list(row) for row in product(range(-1, experts), repeat=slots)]


@pytest.mark.parametrize(("gpus", "experts"), [(4, 3), (2, 3), (4, 4)])
def test_tiny_lists_have_the_fewest_buffers(gpus: int, experts: int) -> None:
    """All pairs of four slots. The steps are the fewest too, if no buffer is needed."""
    per_gpu = 4 // gpus
    news = [row for row in all_rows(experts, 4) if set(range(experts)) <= set(row)]
    # Experts have no order: the new row can have them in one.
    first_seen = [list(dict.fromkeys(e for e in row if e >= 0)) for row in news]
    news = [row for row, seen in zip(news, first_seen, strict=True) if seen == sorted(seen)]
    for new in news:
        before = all_rows(experts, 4)
        all_of_them = Placements.of_equal_gpus(before, per_gpu, [new] * len(before), per_gpu)
        found = transfers(all_of_them, experts)
        for layer, old in enumerate(before):
            placements = Placements.of_equal_gpus([old], per_gpu, [new], per_gpu)
            mine = [t for t in found if t.layer == layer]
            buffers, steps = fewest(*placements.maps(0))
            assert sum(t.buffered for t in mine) == buffers
            more = max((t.step + 1 for t in mine), default=0) - steps
            # A cycle could share a step with direct transfers, but waits until they are done.
            assert more == 0 or (more == 1 and 0 < buffers < len(mine))


@given(st.data())
@settings(max_examples=100)
def test_small_lists_have_the_fewest_buffers(data: st.DataObject) -> None:
    """Up to five changed slots among more that stay or leave."""
    experts, gpus, per_gpu = 6, 4, 3
    new = data.draw(new_rows(experts, gpus * per_gpu))
    old = list(new)
    slots = data.draw(st.permutations(range(gpus * per_gpu)))[:5]
    for slot in slots:
        old[slot] = data.draw(st.sampled_from([new[s] for s in slots] + [-1]))
    placements = Placements.of_equal_gpus([old], per_gpu, [new], per_gpu)
    found = transfers(placements, experts)
    buffers, steps = fewest(*placements.maps(0))
    assert len(found) == len(pending(*placements.maps(0)))
    assert sum(t.buffered for t in found) == buffers
    assert steps <= max((t.step + 1 for t in found), default=0) <= steps + 2


def test_a_gpu_that_leaves_and_duplicates_that_stay() -> None:
    """A case in which a copy was once counted twice: three GPUs become two."""
    placed = np.array([[0, 2, 1, 0, 3, 2, 0, 2, 3]])
    update = eplb.replan(np.ones((1, 4)), placed, previous_gpus=3, num_gpus=2)
    found = update.transfers().table
    within = (found["source_gpu"] == found["destination_gpu"]).sum()
    assert len(found) - within <= update.copies.sum() <= len(found)


def test_nothing_to_copy_is_an_empty_table() -> None:
    topology = _core.Topology(2, 2, 1, 1, 2)
    row = as_table([[0, 1]])
    assert _core.transfers(row, equal_gpus(2, 2), row, topology).shape == (0, 9)


def test_what_does_not_fit_is_refused() -> None:
    topology = _core.Topology(2, 4, 1, 1, 2)
    row, cluster = as_table([[0, 1, 1, 0]]), equal_gpus(4, 2)
    with pytest.raises(eplb.VerificationError, match="unknown expert 2"):
        _core.transfers(as_table([[0, 1, 2, 0]]), cluster, row, topology)
    with pytest.raises(eplb.VerificationError, match="no slot for expert 1"):
        _core.transfers(row, cluster, as_table([[0, 0, -1, 0]]), topology)
    with pytest.raises(eplb.VerificationError, match="expected 4: 1 layers of 4 slots"):
        _core.transfers(row, cluster, as_table([[0, 1, 1, 0]] * 2), topology)
    with pytest.raises(eplb.VerificationError, match="4 entries; expected whole layers of 6 slots"):
        _core.transfers(row, equal_gpus(6, 2), row, topology)
