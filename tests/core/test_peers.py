"""Determinism beside a released peer: vLLM 0.33.0's default planner, on processors of two kinds.

numpy takes the sort of the widest vectors that a processor has, and its default sort is not stable.
With those vectors disabled, as on another processor, vLLM places equal experts elsewhere; this library
does not. It runs where ``EPLB_ENGINE_WHEELS`` names a folder that

    pip download --no-deps --only-binary :all: -d wheels vllm==0.33.0

has filled, and is skipped where that is not set: nothing is installed, two modules are read out of the wheel.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from counts import COUNTS
from engine_wheels import wheel

LAYERS, SLOTS = 58, 288

PLANNED = """
import json, sys, types, zipfile
import eplb, numpy as np, torch
archive = zipfile.ZipFile(sys.argv[1])
package = "vllm.distributed.eplb.policy"
for name in ("vllm", "vllm.distributed", "vllm.distributed.eplb", package):
    sys.modules[name] = types.ModuleType(name)
for name in ("abstract", "default"):
    module = types.ModuleType(f"{package}.{name}")
    module.__package__ = package
    sys.modules[module.__name__] = module
    source = archive.read(f"vllm/distributed/eplb/policy/{name}.py")
    exec(compile(source, name, "exec"), module.__dict__)
# A window with many cold experts of equal counts.
load = np.random.default_rng(0).zipf(1.6, (58, 256)).clip(max=1000) - 1
theirs = sys.modules[f"{package}.default"].DefaultEplbPolicy.rebalance_experts(
    torch.from_numpy(load), 288, 1, 1, 32
)
ours = [eplb.plan(load, num_gpus=32, num_replicas=288, policy=policy) for policy in eplb.POLICIES]
tables = {"vllm": theirs.tolist(), **{plan.policy: plan.phy2log.tolist() for plan in ours}}
print(json.dumps(tables))
"""


def planned(disabled: list[str]) -> dict[str, Any]:
    """The placements of both, by planner, with these features of the processor disabled."""
    run = subprocess.run(
        [sys.executable, "-c", PLANNED, str(wheel("vllm"))],
        env=os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(disabled)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    tables: dict[str, Any] = json.loads(run.stdout)
    return tables


def differing(a: list[list[int]], b: list[list[int]]) -> tuple[int, int]:
    """Layers and slots that differ."""
    rows = list(zip(a, b, strict=True))
    slots = sum(x != y for row in rows for x, y in zip(*row, strict=True))
    return sum(x != y for x, y in rows), slots


def test_vllm_s_plans_depend_on_the_processor_and_ours_do_not() -> None:
    wheel("vllm")
    umath = importlib.import_module("numpy._core._multiarray_umath")
    features = [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__[name]]
    widest = [name for name in features if name.startswith("AVX512") or name == "X86_V4"]
    if not widest:
        pytest.skip("this processor, or this numpy, has no AVX-512 to disable")
    before, after = planned([]), planned(widest)
    layers, slots = differing(before["vllm"], after["vllm"])
    COUNTS["vLLM 0.33.0, without AVX-512: layers placed differently, of 58"] += layers
    COUNTS["vLLM 0.33.0, without AVX-512: slots that hold another expert, of 16,704"] += slots
    assert (len(before["vllm"]), len(before["vllm"][0])) == (LAYERS, SLOTS)
    assert layers > 0
    for policy in ("deepseek", "adaptive", "minimax"):
        assert differing(before[policy], after[policy]) == (0, 0)


def test_control_differences_are_counted() -> None:
    assert differing([[1, 2], [3, 4]], [[1, 2], [4, 3]]) == (1, 2)
