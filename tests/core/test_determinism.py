"""One plan for one set of values, whatever carries them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import eplb
import ml_dtypes
import numpy as np
import pytest
import torch
from real_loads import total

SIZES: dict[str, Any] = {"num_gpus": 8, "num_replicas": 80, "num_groups": 8, "num_nodes": 2}

#: Small integers, so that every type holds them exactly; with ties and zeros.
SMALL = np.random.default_rng(7).integers(0, 17, (26, 64))
DIGEST = "cae2fc4b009b9651"


def digest(load: Any, **options: Any) -> str:
    return eplb.plan(load, **(SIZES | options)).digest()


SAME: dict[str, Any] = {
    **{
        name: SMALL.astype(name)
        for name in (
            *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
            *("float16", "float32", "float64", "longdouble"),
            *(">i2", ">i4", ">i8", ">u2", ">u4", ">u8", ">f2", ">f4", ">f8"),
        )
    },
    "bfloat16": SMALL.astype(ml_dtypes.bfloat16),
    "float8_e4m3fn": SMALL.astype(ml_dtypes.float8_e4m3fn),
    "fortran order": np.asfortranarray(SMALL),
    "strided": np.repeat(np.repeat(SMALL, 2, axis=0), 3, axis=1)[::2, ::3],
    "strided float16": np.repeat(SMALL, 3, axis=1).astype("float16")[:, ::3],
    "reversed": SMALL[::-1, ::-1].copy()[::-1, ::-1],
    "read-only": np.frombuffer(SMALL.tobytes(), dtype=SMALL.dtype).reshape(SMALL.shape),
    "unaligned": np.frombuffer(b"x" + SMALL.tobytes(), np.uint8)[1:].view("<i8").reshape(26, 64),
    "list": SMALL.tolist(),
    "tuple": tuple(map(tuple, SMALL.tolist())),
    "list of floats": SMALL.astype(float).tolist(),
    "list of both": [[*row[:9], *map(float, row[9:])] for row in SMALL.tolist()],
    "list of arrays": list(SMALL),
    "list of numpy numbers": [list(row) for row in SMALL],
    "list of tensors": list(torch.tensor(SMALL)),
    "matrix": np.ma.masked_array(SMALL),
    "memoryview": memoryview(SMALL.tobytes()).cast("B").cast("q", (26, 64)),
    **{
        f"tensor {dtype}": torch.tensor(SMALL).to(dtype)
        for dtype in (
            *(torch.int8, torch.int16, torch.int32, torch.int64),
            *(torch.uint8, torch.uint16, torch.uint32, torch.uint64),
            *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
            torch.float8_e4m3fn,
        )
    },
    "strided tensor": torch.tensor(SMALL).repeat_interleave(2, dim=1)[:, ::2],
    "transposed bfloat16 tensor": torch.tensor(SMALL.T.copy()).to(torch.bfloat16).T,
    "tensor with gradient": torch.tensor(SMALL, dtype=torch.float32, requires_grad=True),
}


@pytest.mark.parametrize("name", SAME)
def test_same_values_same_plan(name: str) -> None:
    assert digest(SAME[name]) == DIGEST


def test_control_other_values_another_plan() -> None:
    other = SMALL.copy()
    other[25, :2] += 17  # no longer among the light
    assert digest(other) != DIGEST


@pytest.mark.parametrize("threads", [1, 2, 3, 8, 100])
@pytest.mark.parametrize("policy", eplb.POLICIES)
def test_threads_change_nothing(policy: str, threads: int) -> None:
    load = np.tile(total("deepseek-v2-lite_esft_seq_counts"), (3, 1))[:61]
    alone = eplb.plan(load, **SIZES, policy=policy)
    assert eplb.plan(load, **SIZES, policy=policy, threads=threads) == alone


@pytest.mark.parametrize("policy", eplb.POLICIES)
def test_rows_alone_and_together(policy: str) -> None:
    together = eplb.plan(SMALL, **SIZES, policy=policy)
    for layer, row in enumerate(SMALL):
        alone = eplb.plan([row], **SIZES, policy=policy)
        assert (alone.phy2log[0] == together.phy2log[layer]).all()
        assert (alone.rank[0] == together.rank[layer]).all()


@pytest.mark.parametrize("exponent", [*range(-1074, 1018, 97), -1074, -1050, 1017])
def test_powers_of_two_change_nothing(exponent: int) -> None:
    scaled = np.ldexp(SMALL.astype(float), exponent)
    assert (np.ldexp(scaled, -exponent) == SMALL).all() or exponent < -1000
    assert digest(scaled) == DIGEST
    if -149 <= exponent <= 120:
        assert digest(np.ldexp(SMALL.astype(np.float32), exponent)) == DIGEST


def test_loads_up_to_2_to_the_64() -> None:
    assert digest(SMALL.astype(np.uint64) << np.uint64(59)) == DIGEST
    assert digest([[cell << 59 for cell in row] for row in SMALL.tolist()]) == DIGEST
    plan = eplb.plan([[2**64 - 1, 0, 2**64 - 1]], num_gpus=2, num_replicas=4, policy="deepseek")
    eplb.verify(plan, [[2**64 - 1, 0, 2**64 - 1]])
    assert plan.logcnt.tolist() == [[2, 1, 1]]


FLUSHED = """
import eplb, numpy as np, sys, torch
load = np.random.default_rng(7).integers(0, 17, (26, 64))
subnormal = np.ldexp(load.astype(np.float64), -1074)
single = np.ldexp(load.astype(np.float32), -149)
half = (load * 2.0**-24).astype(np.float16)
brain = torch.tensor(np.ldexp(load.astype(np.float32), -133)).to(torch.bfloat16)
assert torch.set_flush_denormal(True)
assert (torch.tensor([1e-310], dtype=torch.float64) * 1).item() == 0.0, "nothing is flushed"
sizes = dict(num_gpus=8, num_replicas=80, num_groups=8, num_nodes=2)
for loads in (subnormal, subnormal.astype(">f8"), torch.tensor(subnormal), single, half, brain,
              subnormal.tolist(), np.asfortranarray(single)):
    plan = eplb.plan(loads, **sizes)
    print(plan.digest(), plan.gpu_load.view(np.uint64).max() > 0, eplb.verify(plan, loads)[:8])
"""


def test_flushed_subnormals_change_nothing() -> None:
    run = subprocess.run(
        [sys.executable, "-c", FLUSHED], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [f"{DIGEST} True verified"] * 8


def test_the_shortest_floats() -> None:
    load = 2 ** (SMALL % 4)
    for short in (
        torch.tensor(load).to(torch.float8_e5m2),
        load.astype(ml_dtypes.float8_e5m2),
        load.astype(ml_dtypes.float8_e4m3b11fnuz),
    ):
        assert digest(short) == digest(load)


def test_long_doubles_that_double_cannot_hold_are_refused() -> None:
    load = SMALL.astype(np.longdouble)
    load[3, 5] = 1 + np.longdouble(2) ** -60
    if load[3, 5] == 1:
        pytest.skip("long double is double here")
    with pytest.raises(eplb.LoadError, match=r"load\[3, 5\]"):
        digest(load)


def test_memory_that_changes_after_the_call_changes_nothing() -> None:
    load = SMALL.copy()
    plan = eplb.plan(load, **SIZES)
    load[:] = 0
    assert eplb.verify(plan, SMALL).startswith("verified")
