"""Equal values, equal histories and plans: dtypes, threads, scale, processes that flush subnormals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from eplb import _core
from over_time.on_gpus import on_gpus
from over_time.sequences import v2_lite

WINDOWS = v2_lite(1).windows[:12]
LAYERS, EXPERTS = WINDOWS.shape[1:]

#: Digest of the history of :data:`WINDOWS`. It changes when what is remembered does.
HISTORY = "6a0ab490be63d883"


def run(convert: Any, threads: int = 1) -> tuple[str, list[bytes]]:
    """The digest of the history after all windows, and the plans after the last five."""
    history = _core.LoadHistory(LAYERS, EXPERTS, 16, 64225)
    topology = _core.Topology(EXPERTS, 80, 1, 1, 8)
    slots, plans = None, []
    for index, window in enumerate(WINDOWS):
        history.observe(_core.Loads(*convert(window)), threads)
        if index >= 7:
            slots = _core.replan(history, topology, on_gpus(slots, 8), threads=threads).phy2log()
            plans.append(slots.tobytes())
    return history.digest(), plans


EXPECTED = run(lambda window: (window,))


@pytest.mark.parametrize(
    "convert",
    [
        lambda window: (window.astype(np.uint64),),
        lambda window: (window.astype(np.float32),),
        lambda window: (window.astype(np.float64) * 2.0**-1070,),
        lambda window: (window * 1024,),
    ],
    ids=["uint64", "float32", "subnormal float64", "scaled"],
)
def test_only_values_count(convert: Any) -> None:
    assert run(convert)[1] == EXPECTED[1]


def test_equal_values_of_other_dtypes_have_one_digest() -> None:
    assert run(lambda window: (window.astype(np.float32),)) == EXPECTED
    assert run(lambda window: (window.astype(np.uint64),)) == EXPECTED


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_threads_change_nothing(threads: int) -> None:
    assert run(lambda window: (window,), threads) == EXPECTED


def test_flushed_subnormals_change_nothing() -> None:
    # Made before: the process would flush them while it makes them.
    windows = iter(WINDOWS.astype(np.float64) * 2.0**-1070)
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor does not flush subnormals")
    try:
        assert run(lambda _: (next(windows),))[1] == EXPECTED[1]
    finally:
        torch.set_flush_denormal(False)


def test_the_digest_is_pinned() -> None:
    assert EXPECTED[0] == HISTORY
