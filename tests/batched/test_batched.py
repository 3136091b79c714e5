"""The batched path against the specification and the core, bit for bit, on the CPU."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import cuda_check
import eplb
import numpy as np
import pytest
import specification as spec
import torch
from eplb.batched import canonical, packing
from eplb.inputs.loads import canonical_loads
from hypothesis import given
from hypothesis import strategies as st
from implementations import disagreement
from problems import at_most
from real_loads import TOPOLOGIES, total
from strategies import LOADS, POLICIES, Problem, problems

GOOD = torch.tensor([[5, 3, 2, 1], [1, 2, 3, 4]])


def in_order(sizes: dict[str, int]) -> tuple[int, int, int, int]:
    """Sizes by name as the four arguments."""
    groups, nodes = sizes.get("num_groups", 1), sizes.get("num_nodes", 1)
    return sizes["num_replicas"], groups, nodes, sizes["num_gpus"]


def tensor(load: list[list[int | float]]) -> torch.Tensor:
    """The loads as uint64 or float64."""
    integers = all(type(cell) is int for row in load for cell in row)
    return torch.from_numpy(np.array(load, dtype=np.uint64 if integers else np.float64))


@at_most(2000)
@given(problems())
def test_batched_equals_specification_and_core(problem: Problem) -> None:
    load, by_name = problem
    weight = tensor(load)
    sizes = in_order(by_name)
    for policy in POLICIES:
        made = eplb.rebalance_experts_batched(weight, *sizes, policy=policy)
        expected = spec.plan(load, *sizes, policy=policy)
        assert disagreement("torch", expected, weight.numpy(), by_name, policy) == ""
        assert cuda_check.difference(made, weight, sizes, policy) == ""


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_real_loads(name: str, policy: str) -> None:
    weight = torch.from_numpy(total(name))
    for topology in TOPOLOGIES[name]:
        sizes = in_order(topology)
        made = eplb.rebalance_experts_batched(weight, *sizes, policy=policy)
        assert cuda_check.difference(made, weight, sizes, policy) == ""


@pytest.mark.filterwarnings("ignore::eplb.LoadWarning")  # no model has such a shape
def test_what_the_cuda_check_compares() -> None:
    compared, lines = cuda_check.differing("cpu")
    assert lines == []
    assert compared > 250


def test_control_the_comparison_sees_another_policy() -> None:
    load = cuda_check.usual_load(0)
    sizes = cuda_check.USUAL[0]
    made = eplb.rebalance_experts_batched(load, *sizes, policy="adaptive")
    assert cuda_check.difference(made, load, sizes, "deepseek") == "phy2log, log2phy, logcnt"


def test_deepseeks_readme_example() -> None:
    weight = torch.tensor(
        [
            [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
            [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27],
        ]
    )
    phy2log, log2phy, logcnt = eplb.rebalance_experts_batched(weight, 16, 4, 2, 8)
    assert phy2log.tolist() == [
        [5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1],
        [7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1],
    ]
    assert log2phy.shape == (2, 12, 5)
    assert log2phy[0, 5].tolist() == [0, 2, -1, -1, -1]
    assert logcnt[1].tolist() == [1, 2, 1, 1, 1, 2, 2, 1, 2, 1, 1, 1]


def test_many_copies_of_few_experts() -> None:
    """Quotients as close as they get: loads of up to 2^40 over divisors of up to 2047."""
    random = np.random.default_rng(4)
    near_halves = 2**39 + random.integers(-3000, 3000, (40, 2))
    thirds = random.integers(2**38, 2**39, (40, 3))
    for load, num_replicas in ((near_halves, 1025), (thirds, 1026)):
        weight = torch.from_numpy(load)
        sizes = (num_replicas, 1, 1, 1)
        for policy in POLICIES:
            made = eplb.rebalance_experts_batched(weight, *sizes, policy=policy)
            assert cuda_check.difference(made, weight, sizes, policy) == ""


def test_shares_are_rounded_up() -> None:
    """17 copies each of 3401 and 3399 beside 16 of 3200: exact pairs would tie, these do not."""
    weight = torch.tensor([[17 * 200 + 1, 17 * 200 - 1, 16 * 200, *range(1, 26)]])
    for policy in POLICIES:
        made = eplb.rebalance_experts_batched(weight, 75, 1, 1, 25, policy=policy)
        assert made[2][0, :4].tolist() == [17, 17, 16, 1]
        assert cuda_check.difference(made, weight, (75, 1, 1, 25), policy) == ""


def test_uneven_is_more_than_three_hundredths_of_the_mean() -> None:
    total = torch.tensor([[203, 197], [204, 197], [0, 0], [2**59, 2**59 - 2**54]])
    assert packing.uneven(total).tolist() == [[False], [True], [False], [True]]
    expected = [spec.allowed_swaps(row, 2) == 3 for row in total.tolist()]
    assert packing.uneven(total).squeeze(1).tolist() == expected


# --- Canonical loads, from the bits -----------------------------------------------------------

#: Type -> bytes, and the bits from which on there is no load (None: there are no signs).
BITS: dict[torch.dtype, tuple[int, int | None]] = {
    torch.uint8: (1, None),
    torch.uint16: (2, None),
    torch.uint32: (4, None),
    torch.uint64: (8, None),
    torch.int8: (1, 2**7),
    torch.int16: (2, 2**15),
    torch.int32: (4, 2**31),
    torch.int64: (8, 2**63),
    torch.float16: (2, 0x7C00),
    torch.bfloat16: (2, 0x7F80),
    torch.float32: (4, 0x7F80_0000),
    torch.float64: (8, 0x7FF0 << 48),
    torch.float8_e4m3fn: (1, 0x7F),
    torch.float8_e4m3fnuz: (1, 0x80),
    torch.float8_e5m2: (1, 0x7C),
    torch.float8_e5m2fnuz: (1, 0x80),
}


#: Types that do not hold every integer up to 16.
INEXACT_TO_16 = (torch.float8_e5m2, torch.float8_e5m2fnuz)


def of_bits(dtype: torch.dtype, bits: list[int]) -> torch.Tensor:
    """One layer of the values that have these bits."""
    array = np.array([bits], dtype=f"u{BITS[dtype][0]}")
    return torch.from_numpy(array.view(f"i{BITS[dtype][0]}")).view(dtype)


@st.composite
def rows_of_bits(draw: st.DrawFn) -> tuple[torch.dtype, list[int], list[int]]:
    """A type, bits of any value, and the same with 0 for what is no load."""
    dtype = draw(st.sampled_from(list(BITS)))
    size, end = BITS[dtype]
    every = 2 ** (8 * size)
    least = end or every
    near_ends = st.sampled_from([0, 1, 2, least - 2, least - 1, least, every // 2, every - 1])
    near = draw(st.integers(0, every - 1))
    together = st.integers(max(near - 99, 0), min(near + 99, every - 1))
    cell = st.one_of(st.integers(0, every - 1), near_ends.map(lambda x: x % every), together)
    bits = draw(st.lists(cell, min_size=1, max_size=20))
    return dtype, bits, [x if x < least else 0 for x in bits]


@given(rows_of_bits())
def test_canonical_loads_of_any_bits(row: tuple[torch.dtype, list[int], list[int]]) -> None:
    dtype, bits, valid = row
    expected = canonical_loads(of_bits(dtype, valid)).values().tolist()
    assert canonical.canonical_rows(of_bits(dtype, bits)).tolist() == expected


@given(st.sampled_from(LOADS).flatmap(lambda cell: st.lists(cell, min_size=1, max_size=40)))
def test_canonical_loads_equal_the_specification(row: list[int | float]) -> None:
    assert canonical.canonical_rows(tensor([row])).tolist() == [spec.canonical_row(row)[0]]


def test_bit_lengths_next_to_powers_of_two() -> None:
    numbers = sorted({2**k + d for k in range(1, 63) for d in (-1, 0, 1)} | {2**63 - 1})
    lengths = canonical.bit_length(torch.tensor(numbers)).tolist()
    assert lengths == [x.bit_length() for x in numbers]


@pytest.mark.parametrize(
    "row",
    [
        [2**63 + 2**23 + 1],  # the lowest of 64 bits breaks the tie
        [2**63 + 2**23],  # a tie, to even
        [2**63 + 3 * 2**23],
        [2**64 - 1],
        [2**60 - 1, 2**59, 1],
        [1.0, 1 - 2.0**-47],  # the sum of step (a) is one below a power of two
        [1.0, 1 - 2.0**-48],
        [1.0, 2.0**-40, 2.0**-41, 3 * 2.0**-41],
        [5e-324, 1e308],
    ],
)
def test_canonical_loads_at_the_edges(row: list[int | float]) -> None:
    assert canonical.canonical_rows(tensor([row])).tolist() == [spec.canonical_row(row)[0]]


def test_minus_zero_is_a_load() -> None:
    rows = canonical.canonical_rows(torch.tensor([[-0.0, 2.0]]))
    assert rows.tolist() == [[0, 2**39]]


def test_flushed_subnormals_change_nothing() -> None:
    random = np.random.default_rng(3)
    wide = torch.from_numpy(random.integers(0, 2**40, (4, 16)).view(np.float64))
    narrow = torch.from_numpy(random.integers(0, 2**20, (4, 16)).astype(np.int32).view(np.float32))
    expected = [canonical_loads(weight).values().tolist() for weight in (wide, narrow)]
    if not torch.set_flush_denormal(True):
        pytest.skip("this CPU cannot flush subnormals to zero")
    try:
        assert (wide * 1 == 0).all()  # the control
        made = [canonical.canonical_rows(weight).tolist() for weight in (wide, narrow)]
    finally:
        torch.set_flush_denormal(False)
    assert made == expected


def test_equal_values_equal_plans() -> None:
    small = np.random.default_rng(7).integers(0, 17, (6, 24))
    weight = torch.from_numpy(small)
    sizes = (32, 8, 4, 8)
    expected = eplb.rebalance_experts_batched(weight, *sizes)
    same = {
        **{str(dtype): weight.to(dtype) for dtype in BITS if dtype not in INEXACT_TO_16},
        "strided": weight.repeat_interleave(3, dim=1)[:, ::3],
        "transposed": weight.T.contiguous().T,
        "transposed float16": weight.to(torch.float16).T.contiguous().T,
        "with gradient": weight.double().requires_grad_(),
        "conjugate's": torch.complex(weight.double(), -weight.double()).conj().imag,
        "doubled": 2 * weight,
        "tiny": weight.double() * 2.0**-1060,
    }
    assert same["conjugate's"].is_neg()
    for name, other in same.items():
        made = eplb.rebalance_experts_batched(other, *sizes)
        for ours, table in zip(made, expected, strict=True):
            assert torch.equal(ours, table), name
        assert not any(table.requires_grad for table in made)


def test_the_weight_is_left_alone() -> None:
    weight = cuda_check.usual_load(0)
    before = weight.clone()
    eplb.rebalance_experts_batched(weight, 288, 8, 4, 32, policy="adaptive")
    assert torch.equal(weight, before)


# --- Bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -0.5, -1e-310])
def test_what_is_no_load_counts_as_zero(bad: float) -> None:
    weight = GOOD.double()
    weight[1, 2] = bad
    zero = GOOD.clone()
    zero[1, 2] = 0
    for policy in POLICIES:
        made = eplb.rebalance_experts_batched(weight, 6, 1, 1, 2, policy=policy)
        assert cuda_check.difference(made, zero, (6, 1, 1, 2), policy) == ""
    with pytest.raises(eplb.LoadError, match="layer 1, expert 2: the load is ") as batched:
        eplb.rebalance_experts_batched(weight, 6, 1, 1, 2, check=True)
    with pytest.raises(eplb.LoadError) as core:
        eplb.rebalance_experts(weight, 6, 1, 1, 2)
    assert str(batched.value) == str(core.value)
    assert (batched.value.layer, batched.value.expert) == (1, 2)


def test_check_passes_what_is_right() -> None:
    made = eplb.rebalance_experts_batched(GOOD, 6, 1, 1, 2, check=True)
    assert cuda_check.difference(made, GOOD, (6, 1, 1, 2), "deepseek") == ""


@pytest.mark.parametrize(
    "sizes",
    [(6, 1, 1, 4), (3, 1, 1, 3), (0, 1, 1, 2), (6, 0, 1, 2), (6, 3, 1, 2), (6, 2, 2, 3)],
)
def test_sizes_are_refused_as_by_the_core(sizes: tuple[int, int, int, int]) -> None:
    with pytest.raises(eplb.TopologyError) as core:
        eplb.rebalance_experts(GOOD, *sizes)
    with pytest.raises(eplb.TopologyError) as batched:
        eplb.rebalance_experts_batched(GOOD, *sizes)
    assert str(batched.value) == str(core.value)


def test_more_than_1024_copies_are_refused() -> None:
    one = torch.ones(2, 1)
    assert eplb.rebalance_experts_batched(one, 1024, 1, 1, 1)[1].shape == (2, 1, 1024)
    with pytest.raises(
        eplb.TopologyError, match=r"allows 1025 replicas.*num_replicas=1024 or less"
    ):
        eplb.rebalance_experts_batched(one, 1025, 1, 1, 1)
    with pytest.raises(eplb.TopologyError, match=r"1996 replicas.*num_replicas=1000 or less"):
        eplb.rebalance_experts_batched(torch.ones(2, 5), 2000, 1, 1, 1000)
    with pytest.raises(eplb.TopologyError, match=r"at most 1024; use eplb\.rebalance_experts"):
        eplb.rebalance_experts_batched(torch.ones(2, 5), 2000, 1, 1, 2000)


def test_tables_that_no_memory_holds_are_refused() -> None:
    large = torch.ones(1).expand(1000, 1000)
    with pytest.raises(eplb.TopologyError, match="1000 layers x 1000 experts x 1001 replicas"):
        eplb.rebalance_experts_batched(large, 2000, 1, 1, 1)


BAD_WEIGHTS: dict[str, tuple[Any, type[Exception], str]] = {
    "a list": ([[1, 2]], eplb.LoadTypeError, "takes a torch tensor, got list"),
    "an array": (GOOD.numpy(), eplb.LoadTypeError, "takes a torch tensor, got ndarray"),
    "bool": (GOOD.bool(), eplb.LoadTypeError, "got bool"),
    "complex": (GOOD * 1j, eplb.LoadTypeError, "got complex64"),
    "float8_e8m0fnu": (
        GOOD.float().to(torch.float8_e8m0fnu),
        eplb.LoadTypeError,
        "got float8_e8m0fnu",
    ),
    "sparse": (GOOD.to_sparse(), eplb.LoadTypeError, "to_dense"),
    "meta": (GOOD.to("meta"), eplb.LoadTypeError, "meta device"),
    "one row": (GOOD[0], eplb.LoadError, r"shape \(4,\).*load\[None\]"),
    "windows": (GOOD[None], eplb.LoadError, r"shape \(1, 2, 4\).*load.sum\(dim=0\)"),
    "no layers": (GOOD[:0], eplb.LoadError, r"shape \(0, 4\)"),
    "no experts": (GOOD[:, :0], eplb.LoadError, r"shape \(2, 0\)"),
    "16385 experts": (torch.ones(1, 16385), eplb.TopologyError, "num_experts=16385.*16384"),
}


@pytest.mark.parametrize("name", BAD_WEIGHTS)
def test_bad_weights(name: str) -> None:
    weight, error, message = BAD_WEIGHTS[name]
    with pytest.raises(error, match=message):
        eplb.rebalance_experts_batched(weight, 6, 1, 1, 2)
    if torch.is_tensor(weight):  # the core refuses them too
        with pytest.raises(error):
            eplb.rebalance_experts(weight, 6, 1, 1, 2)


@pytest.mark.parametrize("policy", ["minimax", "", None, ["deepseek"]])
def test_unknown_policies(policy: Any) -> None:
    with pytest.raises(eplb.EplbError, match=r"unknown policy .*deepseek, adaptive"):
        eplb.rebalance_experts_batched(GOOD, 6, 1, 1, 2, policy=policy)


def test_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import eplb\n"
        "try: eplb.rebalance_experts_batched([[1, 2]], 2, 1, 1, 2)\n"
        "except eplb.LoadTypeError as error: print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "takes a torch tensor, got list" in run.stdout


def test_importing_eplb_does_not_import_torch() -> None:
    code = "import sys, eplb; eplb.rebalance_experts_batched; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
