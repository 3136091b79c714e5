"""What plug-ins check and count, beside plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from eplb.plugins.tables import (
    balancedness,
    copies,
    default_map,
    lacks,
    log2phy_of,
    replicas,
    slots_of,
)


def test_slots_of() -> None:
    assert slots_of([1], 6, 3).tolist() == [False, False, True, True, False, False]
    for slots, gpus in ((7, 3), (6, 0), (6, -1), (0, 3), (2, 4)):
        with pytest.raises(ValueError, match=f"{slots} slots cannot be shared out on {gpus} GPUs"):
            slots_of([], slots, gpus)


def test_lacks() -> None:
    alive, table = np.zeros(4, dtype=bool), np.array([[0, 1, 2, 0], [2, 1, 0, 0]])
    assert lacks(table, 3, (2, 4), alive) == ""
    assert "shape [2, 4]; expected [2, 5]" in lacks(table, 3, (2, 5), alive)
    assert "expected 0 to 1" in lacks(table, 2, (2, 4), alive)
    assert lacks(table, 4, (2, 4), alive) == "layer 0: expert 3 has no slot"
    last = np.array([False, False, True, True])
    assert lacks(table, 3, (2, 4), last) == "layer 0: expert 2 has no slot"
    assert lacks(np.array([[0, 1, -1, 9]]), 2, (1, 4), last) == ""
    assert lacks(table, 3, (2, 4), ~alive) != ""


def test_tables_beside_loops() -> None:
    random = np.random.default_rng(4)
    for _ in range(100):
        layers, experts, per_gpu, gpus = (int(random.integers(1, 5)) for _ in range(4))
        slots = per_gpu * gpus
        table = random.integers(-1, experts, (layers, slots))
        counts = replicas(table, experts)
        log2phy = log2phy_of(table, counts)
        for layer in range(layers):
            for expert in range(experts):
                held = np.flatnonzero(table[layer] == expert).tolist()
                assert counts[layer, expert] == len(held)
                assert log2phy[layer, expert].tolist() == held + [-1] * (
                    log2phy.shape[2] - len(held)
                )
        old_gpus = int(random.integers(1, 5))
        old = random.integers(-1, experts, (layers, old_gpus * per_gpu))
        expected = 0
        for layer in range(layers):
            for slot, expert in enumerate(table[layer]):
                gpu = slot // per_gpu
                held = old[layer, gpu * per_gpu : (gpu + 1) * per_gpu].tolist()
                expected += expert >= 0 and expert not in held
        assert copies(old, table, per_gpu) == expected
    assert copies(None, table, per_gpu) == (table >= 0).sum()


def test_balancedness() -> None:
    alive = np.zeros(6, dtype=bool)
    load, table = (
        np.array([[6, 3, 3], [0, 0, 0]]),
        np.array([[0, 1, 0, 2, 1, 2], [0, 1, 2, 0, 1, 2]]),
    )
    # GPUs 3 + 1.5, 3 + 1.5, 1.5 + 1.5; the layer without load does not count.
    assert balancedness(load, table, 2, alive) == pytest.approx(4 / 4.5)
    last = np.array([False] * 4 + [True] * 2)
    # Of the GPUs that live: 3 + 3, 3 + 3.
    assert balancedness(load, table, 2, last) == 1
    assert balancedness(load * 0, table, 2, alive) is None
    assert balancedness(load, np.where(table == 2, 0, table), 2, alive) is None


def test_default_map() -> None:
    dead = np.array([False, True, False, False])
    assert default_map(2, 2, 4, dead).tolist() == [[0, -1, 1, 0]] * 2


def test_slots_of_more_experts_than_16_bits_hold() -> None:
    """A map in force is answered whatever its sizes are, if nothing can be planned."""
    table = np.arange(40_000)[None, ::-1].copy()
    log2phy = log2phy_of(table, replicas(table, 40_000))
    assert (log2phy[0, :, 0] == np.arange(40_000)[::-1]).all()
