"""The batched path as a CUDA device would see it, traced without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import pytest
import torch
from counts import COUNTS
from device_watch import LISTED, DeviceWatch, Violation, listed_by_torch, never
from eplb.batched import layers
from torch._subclasses.fake_tensor import FakeTensorMode

if TYPE_CHECKING:
    from collections.abc import Callable

POLICIES = ("deepseek", "adaptive")
DTYPES = (
    *(torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.uint8, torch.uint16, torch.uint32, torch.uint64),
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.float8_e4m3fn, torch.float8_e5m2),
)
#: num_replicas, num_groups, num_nodes, num_gpus, for 24 experts.
SIZES = {
    "global": (32, 1, 1, 8),
    "hierarchical": (32, 8, 4, 8),
    "groups on one node": (32, 8, 1, 8),
    "a group on each node": (32, 4, 4, 8),
    "is_global": (32, 3, 2, 8),
    "no spares": (24, 1, 1, 8),
    "one slot on each GPU": (32, 1, 1, 32),
    "one GPU": (27, 2, 1, 1),
}


def trace(
    shape: tuple[int, int], sizes: tuple[int, ...], policy: str, dtype: torch.dtype = torch.int64
) -> int:
    """The kernels that a plan starts; raises Violation."""
    with FakeTensorMode():
        weight = torch.empty(shape, dtype=dtype, device="cuda")
        with DeviceWatch("cuda") as watch:
            phy2log, log2phy, logcnt = eplb.rebalance_experts_batched(weight, *sizes, policy=policy)
    for tensor in (phy2log, log2phy, logcnt):
        assert (tensor.device.type, tensor.dtype) == ("cuda", torch.int64)
    assert phy2log.shape == (shape[0], sizes[0])
    assert log2phy.shape == (*shape, sizes[0] - shape[1] + 1)
    assert logcnt.shape == shape
    launches: int = watch.launches
    return launches


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", SIZES)
def test_no_violation_for_any_sizes(name: str, policy: str) -> None:
    assert trace((5, 24), SIZES[name], policy) > 0


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_no_violation_for_any_dtype(dtype: torch.dtype) -> None:
    assert trace((5, 24), SIZES["hierarchical"], "adaptive", dtype) > 0


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("groups", "nodes"), [(1, 1), (8, 4)])
def test_launches(policy: str, groups: int, nodes: int) -> None:
    launches = trace((58, 256), (288, groups, nodes, 32), policy)
    COUNTS[f"kernels of {policy}, 58x256 -> 288/32, {groups} groups on {nodes} nodes"] = launches
    assert 288 < launches <= 4000


def integers(weight: torch.Tensor) -> torch.Tensor:
    return weight[0, :1].long()


PLANTED: dict[str, tuple[Callable[[torch.Tensor], Any], str]] = {
    "cpu": (lambda w: w.cpu(), "_to_copy.*copy to or from the cpu"),
    "to the device": (lambda w: torch.arange(3).to(w.device), "copy to or from the cpu"),
    "copy_": (lambda w: w.copy_(torch.zeros(w.shape).long()), "copy to or from the cpu"),
    "an operand on the host": (lambda w: w + torch.arange(1), "copy to or from the cpu"),
    "torch.tensor": (lambda w: torch.tensor([1, 2], device=w.device), "copy to or from the cpu"),
    "new_tensor": (lambda w: w.new_tensor([1, 2]), "copy to or from the cpu"),
    "an index of Python values": (lambda w: w[[0, 1]], "copy to or from the cpu"),
    "item": (lambda w: w[0, 0].item(), "_local_scalar_dense.*waits"),
    "bool": (lambda w: bool(w[0, 0]), "_local_scalar_dense.*waits"),
    "tolist": (lambda w: w.tolist(), "_local_scalar_dense.*waits"),
    "equal": (lambda w: torch.equal(w, w), "equal.*waits"),
    "nonzero": (lambda w: w.nonzero(), "nonzero.*depends on values"),
    "a boolean index": (lambda w: w[w > 0], "depends on values"),
    "masked_select": (lambda w: w.masked_select(w > 0), "depends on values"),
    "unique": (torch.unique_consecutive, "depends on values"),
    "repeats": (lambda w: w[0].repeat_interleave(w[0]), "depends on values"),
    "bincount": (lambda w: w[0].bincount(), "bincount"),
    "scatter": (lambda w: w.scatter(1, w, w), "not deterministic"),
    "scatter_": (lambda w: w.scatter_(1, w, w), "not deterministic"),
    "float scatter_add": (
        lambda w: w.double().scatter_add(1, w, w.double()),
        "scatter_add.*not deterministic",
    ),
    "float cumsum": (lambda w: w.double().cumsum(1), "cumsum.*not deterministic"),
    "scatter_reduce": (lambda w: w.scatter_reduce(1, w, w, "amax"), "not deterministic"),
    "index_put": (lambda w: w.index_put((integers(w),), w[0]), "index_put.*not deterministic"),
    "index_add": (lambda w: w.index_add(0, integers(w), w[:1]), "index_add.*not deterministic"),
    "index_copy": (lambda w: w.index_copy(0, integers(w), w[:1]), "index_copy.*not determin"),
    "index_reduce": (
        lambda w: w.index_reduce(0, integers(w), w[:1], "amin"),
        "index_reduce.*not deterministic",
    ),
    "put_": (lambda w: w.put_(w, w), "put_.*not deterministic"),
    "median": (lambda w: w.median(dim=1), "median.*not deterministic"),
    "kthvalue": (lambda w: w.kthvalue(1), "kthvalue.*not deterministic"),
    "histc": (lambda w: w.double().histc(), "histc.*not deterministic"),
    "random": (lambda w: torch.rand_like(w, dtype=torch.float64), "random"),
    "float32 quotient": (lambda w: w.float() / w, "inexact quotient"),
    "quotient of integers": (lambda w: w / w, "inexact quotient"),
    "quotient by a number": (lambda w: w.double() / 3, "inexact quotient"),
}


def trace_with(plant: Callable[[torch.Tensor], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Traces a plan in the midst of which ``plant`` gets the loads."""
    replicate = layers.replicate

    def planted(loads: torch.Tensor, *args: Any) -> Any:
        plant(loads)
        return replicate(loads, *args)

    monkeypatch.setattr(layers, "replicate", planted)
    trace((5, 24), SIZES["global"], "deepseek")


@pytest.mark.parametrize("name", PLANTED)
def test_control_a_planted_violation_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, message = PLANTED[name]
    with pytest.raises(Violation, match=message):
        trace_with(plant, monkeypatch)


def test_control_what_is_allowed_is_not_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def allowed(weight: torch.Tensor) -> None:
        weight.clone().scatter_add_(1, weight, weight).cumsum(1).double().div_(weight)
        torch.where(weight > 0, weight, 0).masked_fill(weight > 1, 2)

    trace_with(allowed, monkeypatch)


def test_the_table_names_all_that_pytorch_lists() -> None:
    listed = listed_by_torch()
    assert {"scatter", "index_put", "cumsum", "median", "histc"} <= listed
    assert listed <= LISTED.keys()
    planted = {name.split()[-1].strip("_") for name in PLANTED}
    assert {name for name in listed if LISTED[name] is not never} <= planted


def test_with_deterministic_algorithms() -> None:
    load = torch.from_numpy(np.random.default_rng(2).integers(0, 99, (4, 24)))
    torch.use_deterministic_algorithms(mode=True)
    try:
        with pytest.raises(RuntimeError, match="does not have a deterministic implementation"):
            load.clone().put_(torch.arange(2), torch.arange(2))  # the control
        for policy in POLICIES:
            for sizes in SIZES.values():
                made = eplb.rebalance_experts_batched(load, *sizes, policy=policy)
                expected = eplb.rebalance_experts(
                    load, *sizes, policy=policy, log2phy_width="static"
                )
                for ours, core in zip(made, expected, strict=True):
                    assert torch.equal(ours, core)
    finally:
        torch.use_deterministic_algorithms(mode=False)
