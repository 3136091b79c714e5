"""The batched path on a CUDA device; `python tests/cuda_check.py` does the same without pytest."""

from __future__ import annotations

import cuda_check
import eplb
import pytest
import torch
from device_watch import DeviceWatch

pytestmark = [
    pytest.mark.skipif(
        not torch.cuda.is_available(),
        reason="needs a CUDA device; test_batched_trace.py needs none",
    ),
    pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype"),
]

EVERY_PLAN = [(sizes, policy) for sizes in cuda_check.USUAL for policy in cuda_check.POLICIES]


def test_equal_to_the_core_and_never_waiting() -> None:
    compared, lines = cuda_check.differing("cuda")
    assert lines == []
    assert compared > 250


def test_equal_to_the_core_with_deterministic_algorithms() -> None:
    with cuda_check.deterministic_algorithms():
        assert cuda_check.differing("cuda")[1] == []


def test_control_waiting_is_seen() -> None:
    load = cuda_check.usual_load(0).cuda()
    with (
        pytest.raises(RuntimeError, match="synchroniz"),
        cuda_check.no_synchronisation("cuda"),
    ):
        load[0, 0].item()


@pytest.mark.parametrize(("sizes", "policy"), EVERY_PLAN)
def test_no_violation(sizes: tuple[int, int, int, int], policy: str) -> None:
    load = cuda_check.usual_load(0).cuda()
    with DeviceWatch("cuda") as watch:
        eplb.rebalance_experts_batched(load, *sizes, policy=policy)
    assert 288 < watch.launches <= 4000


@pytest.mark.parametrize(("sizes", "policy"), EVERY_PLAN)
def test_a_graph_replays_on_new_loads(sizes: tuple[int, int, int, int], policy: str) -> None:
    assert cuda_check.differing_replays(sizes, policy) == []


@pytest.mark.parametrize(("sizes", "policy"), EVERY_PLAN)
def test_kernels_and_times(sizes: tuple[int, int, int, int], policy: str) -> None:
    assert 288 < cuda_check.kernels(sizes, policy) <= 4000
    print(cuda_check.report("cuda", policy, sizes))  # noqa: T201
