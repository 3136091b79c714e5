"""Memory and files of a plug-in do not grow with the windows. `make verify` runs 10,000 of them."""

from __future__ import annotations

import gc
import os
import tracemalloc
from pathlib import Path

import fake_engines
import numpy as np
import pytest
import torch
from counts import COUNTS
from eplb import plugins
from eplb.plugins.writer import wait_for_files
from hypothesis import settings

#: 10,000 in the deep profile.
WINDOWS = 10_000 if settings.default and settings.default.max_examples > 1000 else 1_500
STATM = Path("/proc/self/statm")


def resident() -> int:
    """Bytes of this process in memory, what Rust holds too."""
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not STATM.exists(), reason="memory of a process is read from /proc")
def test_memory_and_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every seventh window is a bad one, and the other ones of two models in turn."""
    monkeypatch.setenv("EPLB_PLUGIN", "1")
    monkeypatch.setenv("EPLB_OFF_FILE", str(tmp_path / "off"))
    monkeypatch.setenv("EPLB_RECORD", str(tmp_path / "records"))
    monkeypatch.setenv("EPLB_RECORD_MB", "1")
    monkeypatch.setenv("EPLB_METRICS", str(tmp_path / "eplb.prom"))
    random = np.random.default_rng(3)
    with fake_engines.engines():
        plugins.vllm()
        from vllm.distributed.eplb import policy

        ask = policy.EPLB_POLICIES["default"].rebalance_experts
        maps = [torch.arange(20).remainder(16).repeat(layers, 1) for layers in (3, 1)]
        python, all_of_it = 0, 0
        tracemalloc.start()
        for window in range(WINDOWS):
            model = window % 2
            load = random.lognormal(5, 1, (len(maps[model]), 16)).astype(np.int64)
            load *= -1 if window % 7 == 0 else 1
            maps[model] = ask(torch.as_tensor(load), 20, 1, 1, 4, maps[model])
            if window == WINDOWS // 3:
                gc.collect()
                python, all_of_it = tracemalloc.get_traced_memory()[0], resident()
        wait_for_files(20)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - python
        tracemalloc.stop()
    assert grown < 100_000
    assert resident() - all_of_it < 8 * 2**20
    records = [path.stat().st_size for path in (tmp_path / "records").glob("*.jsonl")]
    assert sum(records) <= 2**20
    assert len([*(tmp_path / "records").glob("eplb-failure*")]) <= 3
    COUNTS["windows without growth"] += WINDOWS
