"""What a window costs an engine: the call of its planner, with the plug-in in its place.

Windows of the sampled DeepSeek-V3, from the default placement on; all that the plug-in does beside is on:
the record, the metrics, the log. Comparing ranks is left out: it waits for the slowest rank.
"""

from __future__ import annotations

import contextlib
import logging
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import eplb
import fake_engines
import torch
from eplb import plugins
from eplb.plugins.writer import wait_for_files
from measured import Measured

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cases import Case

WINDOWS = 100
PASSES = 8


def measure(case: Case, windows: int = WINDOWS) -> Measured:
    """Milliseconds: the median window, and the slowest, which is the first or one after a shift."""
    sizes = case.sizes
    loads = eplb.sampling.sample(
        seed=1, layers=sizes.layers, experts=sizes.experts, windows=windows, tokens=30_000
    )
    with tempfile.TemporaryDirectory() as folder, fake_engines.engines(), as_in_an_engine():
        os.environ |= {
            "EPLB_PLUGIN": "1",
            "EPLB_RECORD": folder,
            "EPLB_METRICS": str(Path(folder, "eplb.prom")),
        }
        try:
            ask = ASK[case.planner](sizes)
            times = [seconds_of(ask, passes_of(load)) for load in loads]
        finally:
            wait_for_files(60)
            for name in ("EPLB_PLUGIN", "EPLB_RECORD", "EPLB_METRICS"):
                del os.environ[name]
    return Measured({"ms": statistics.median(times) * 1e3, "slowest ms": max(times) * 1e3})


@contextlib.contextmanager
def as_in_an_engine() -> Iterator[None]:
    """One thread of torch, as vLLM sets it for its ranks; the log of plug-ins has errors alone."""
    threads = torch.get_num_threads()
    logs = [logging.getLogger(name) for name in ("vllm.eplb", "eplb")]
    levels = [log.level for log in logs]
    try:
        torch.set_num_threads(1)
        for log in logs:
            log.setLevel("ERROR")
        yield
    finally:
        torch.set_num_threads(threads)
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


def passes_of(load: Any) -> torch.Tensor:
    """A window as equal passes, ``[PASSES, layers, experts]``."""
    return torch.as_tensor(load // PASSES).to(torch.int32).repeat(PASSES, 1, 1)


def seconds_of(ask: Any, passes: torch.Tensor) -> float:
    """One window."""
    load = passes.sum(dim=0)
    wait_for_files(60)  # of the window before: they are minutes apart
    started = time.perf_counter()
    ask(passes, load)
    return time.perf_counter() - started


def vllm(sizes: Any) -> Any:
    """vLLM's call."""
    plugins.vllm()
    from vllm.distributed.eplb import policy

    planner = policy.EPLB_POLICIES["default"].rebalance_experts
    in_force = [torch.arange(sizes.slots).remainder(sizes.experts).repeat(sizes.layers, 1)]

    def ask(_passes: torch.Tensor, load: torch.Tensor) -> None:
        in_force[0] = planner(load, sizes.slots, 1, 1, sizes.gpus, in_force[0])

    return ask


def sglang(sizes: Any) -> Any:
    """SGLang's call, with the passes of a window."""
    plugins.sglang()
    ((_, hook, _),) = fake_engines.HookRegistry._hooks[
        "sglang.srt.eplb.eplb_algorithms.rebalance_experts"
    ]
    fake_engines.Location.put(
        torch.arange(sizes.slots).remainder(sizes.experts).repeat(sizes.layers, 1)
    )

    def ask(passes: torch.Tensor, _load: torch.Tensor) -> None:
        phy2log, *_ = hook(
            fake_engines.own_planner,
            tokens_per_expert=passes,
            num_physical_experts=sizes.slots,
            num_local_physical_experts=sizes.slots // sizes.gpus,
            num_groups=None,
            num_nodes=1,
            algorithm=fake_engines.Algorithm.deepseek,
        )
        fake_engines.Location.put(phy2log)

    return ask


ASK = {"vllm": vllm, "sglang": sglang}
