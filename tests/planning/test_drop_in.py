"""DeepSeek's interface."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import eplb
import numpy as np
import pytest
import torch

WEIGHT = torch.tensor(
    [
        [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
        [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27],
    ]
)


def test_deepseeks_readme_example() -> None:
    num_replicas = 16
    num_groups = 4
    num_nodes = 2
    num_gpus = 8

    phy2log, log2phy, logcnt = eplb.rebalance_experts(
        WEIGHT, num_replicas, num_groups, num_nodes, num_gpus
    )
    assert phy2log.tolist() == [
        [5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1],
        [7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1],
    ]
    assert logcnt.tolist() == [
        [1, 2, 1, 1, 2, 2, 1, 1, 1, 1, 2, 1],
        [1, 2, 1, 1, 1, 2, 2, 1, 2, 1, 1, 1],
    ]
    assert log2phy.shape == (2, 12, 2)
    assert log2phy[0, 5].tolist() == [0, 2]
    assert log2phy[0, 0].tolist() == [12, -1]


def test_tensors_that_may_be_written() -> None:
    for tensor in eplb.rebalance_experts(WEIGHT, 16, 4, 2, 8):
        assert tensor.dtype == torch.int64
        assert tensor.device.type == "cpu"
        tensor.add_(1)


@pytest.mark.parametrize(
    "weight",
    [
        WEIGHT.float(),
        WEIGHT.to(torch.float16),
        WEIGHT.to(torch.bfloat16),
        WEIGHT.int(),
        WEIGHT.T.contiguous().T,
        WEIGHT.double().requires_grad_(),
        WEIGHT.numpy(),
        WEIGHT.tolist(),
    ],
    ids=str,
)
def test_any_weight(weight: torch.Tensor) -> None:
    got = eplb.rebalance_experts(weight, 16, 4, 2, 8)
    for ours, expected in zip(got, eplb.rebalance_experts(WEIGHT, 16, 4, 2, 8), strict=True):
        assert torch.equal(ours, expected)


def test_both_widths_and_policies() -> None:
    load = np.random.default_rng(1).integers(0, 50, (3, 8))
    for policy in eplb.POLICIES:
        plan = eplb.plan(load, num_gpus=4, num_replicas=12, policy=policy)
        for width in ("max", "static"):
            phy2log, log2phy, logcnt = eplb.rebalance_experts(
                load, 12, 1, 1, 4, policy=policy, log2phy_width=width
            )
            assert (phy2log.numpy() == plan.phy2log).all()
            assert (log2phy.numpy() == plan.log2phy(width)).all()
            assert (logcnt.numpy() == plan.logcnt).all()
        assert log2phy.shape == (3, 8, 5)


def test_errors_come_before_planning() -> None:
    with pytest.raises(eplb.TopologyError, match="num_gpus=7"):
        eplb.rebalance_experts(WEIGHT, 16, 4, 2, 7)
    with pytest.raises(eplb.EplbError, match="'max' or 'static'"):
        eplb.rebalance_experts(WEIGHT, 16, 4, 2, 8, log2phy_width="x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="positional"):
        eplb.rebalance_experts(WEIGHT, 16, 4, 2, 8, "adaptive")  # type: ignore[call-arg]


def test_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import eplb\n"
        "try: eplb.rebalance_experts([[1, 2]], 2, 1, 1, 2)\n"
        "except ImportError as error: print(error)\n"
        "print(eplb.plan([[1, 2]], num_gpus=2, policy='deepseek').phy2log.tolist())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == [
        "rebalance_experts returns torch tensors: install torch, or use eplb.plan",
        "[[0, 1]]",
    ]


def test_the_default_policy_is_deepseeks() -> None:
    load = np.random.default_rng(3).integers(0, 90, (4, 24))
    sizes: dict[str, Any] = {"num_gpus": 8, "num_replicas": 32}
    by_policy = [eplb.plan(load, policy=policy, **sizes).phy2log for policy in eplb.POLICIES]
    assert not (by_policy[0] == by_policy[1]).all()
    phy2log, _, _ = eplb.rebalance_experts(load, 32, 1, 1, 8)
    assert (phy2log.numpy() == eplb.plan(load, policy="deepseek", **sizes).phy2log).all()
