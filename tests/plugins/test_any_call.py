"""Any calls of any engine: nothing is raised, and each answer is a whole map.

`make verify` runs it with more than 100,000 calls.
"""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import eplb
import fake_engines
import numpy as np
import pytest
import torch
from counts import COUNTS
from eplb import plugins
from fake_engines import Algorithm, ElasticEPStateManager, HookRegistry, Location, own_planner
from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DTYPES = (torch.int64, torch.int32, torch.float32, torch.float64, torch.bfloat16, torch.uint8)
CALLS = st.integers(0, 2**32 - 1)
#: An example is ten calls.
EXAMPLES = settings.default.max_examples // 3 if settings.default else 100


@pytest.fixture(autouse=True)
def _engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("EPLB_PLUGIN", "1")
    monkeypatch.setenv("EPLB_OFF_FILE", str(tmp_path / "off"))
    logging.getLogger("eplb").disabled = logging.getLogger("vllm.eplb").disabled = True
    planned_over_time(monkeypatch)
    with fake_engines.engines():
        yield
    logging.getLogger("eplb").disabled = logging.getLogger("vllm.eplb").disabled = False


def load_of(random: np.random.Generator, *shape: int) -> torch.Tensor:
    """Loads that an engine may count, mostly; and others."""
    values = np.floor(random.lognormal(3, 2, shape))
    match random.integers(12):
        case 0:
            values[:] = 0
        case 1:
            values *= random.integers(2, size=shape)
        case 2:
            values *= 2.0 ** random.integers(0, 55)
        case 3:
            values[random.integers(shape[0])] *= -1
        case 4:
            values[..., random.integers(shape[-1])] = random.choice([np.nan, np.inf, 0.5])
    dtype = DTYPES[random.integers(len(DTYPES))]
    if not dtype.is_floating_point:
        values = np.clip(np.nan_to_num(values), -(2.0**30), 2.0**30)
    return torch.as_tensor(values).to(dtype)


def map_of(random: np.random.Generator, newest: Any, layers: int, experts: int, slots: int) -> Any:
    """A map in force: the one that was answered, with faults, another one, or none."""
    match random.integers(20):
        case 0:
            return None
        case 1:
            width = int(random.integers(0, 2 * slots))
            return random.integers(-1, experts + random.integers(2), (layers, width))
        case 2:
            return np.full((layers, slots), -1)
        case 3 if newest is not None:
            return np.hstack([newest, np.full((len(newest), int(random.integers(9))), -1)])
        case 4 if newest is not None:
            return np.where(random.random(newest.shape) < 0.1, -1, newest)
    return newest


def sizes_of(random: np.random.Generator) -> tuple[int, int, int, int, int, int]:
    """Layers, experts, GPUs, slots of a GPU, groups and nodes, which need not go together."""
    gpus = int(random.integers(1, 6))
    experts = int(random.integers(1, 13))
    return (
        int(random.integers(1, 4)),
        experts,
        gpus,
        -(-experts // gpus) + int(random.integers(3)),
        int(random.integers(5)),
        int(random.choice([1, 1, 2, 3])),
    )


def planned_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts the updates that have a history of several windows: they are what the plug-ins are for."""
    real = eplb.Balancer.step

    def step(balancer: eplb.Balancer, *given: Any, **sizes: Any) -> Any:
        update = real(balancer, *given, **sizes)
        several = balancer.history.windows > 1
        COUNTS["calls of plug-ins planned from several windows"] += several
        return update

    monkeypatch.setattr(eplb.Balancer, "step", step)


def check(phy2log: Any, layers: int, experts: int, slots: int, *, whole: bool = True) -> None:
    assert phy2log.dtype == torch.int64
    assert phy2log.shape == (layers, slots)
    for row in phy2log.tolist():
        assert min(row) >= 0
        assert max(row) < experts
        assert not whole or set(row) == {*range(experts)}


@given(CALLS)
@settings(max_examples=EXAMPLES)
def test_vllm(seed: int) -> None:
    random = np.random.default_rng(seed)
    plugins.vllm()
    from vllm.distributed.eplb import policy

    ask = policy.EPLB_POLICIES["default"].rebalance_experts
    layers, experts, gpus, per_gpu, groups, nodes = sizes_of(random)
    newest = None
    for _ in range(10):
        if random.random() < 0.1:
            layers, experts, gpus, per_gpu, groups, nodes = sizes_of(random)
        slots = gpus * per_gpu
        old = map_of(random, newest, layers, experts, slots)
        answer = ask(
            load_of(random, layers, experts),
            slots,
            groups,
            nodes,
            gpus if random.random() < 0.95 else int(random.choice([gpus + 1, 0, -1])),
            None if old is None else torch.as_tensor(old),
        )
        check(answer, layers, experts, slots)
        newest = answer.numpy()
        COUNTS["calls of plug-ins"] += 1


@given(CALLS)
@settings(max_examples=EXAMPLES)
def test_sglang(seed: int) -> None:
    random = np.random.default_rng(seed)
    plugins.sglang()
    ((_, hook, _),) = HookRegistry._hooks["sglang.srt.eplb.eplb_algorithms.rebalance_experts"]
    layers, experts, gpus, per_gpu, groups, nodes = sizes_of(random)
    elastic, algorithm = random.random() < 0.5, random.choice([*Algorithm])
    active = torch.ones(gpus + 1, dtype=torch.int32)
    newest = None
    for _ in range(10):
        if random.random() < 0.1:
            layers, experts, gpus, per_gpu, groups, nodes = sizes_of(random)
        slots = gpus * per_gpu
        old = map_of(random, newest, layers, experts, slots)
        Location.metadata = None
        if old is not None:
            Location.put(old)
        if len(active) <= gpus or random.random() < 0.2:
            active = torch.as_tensor(random.random(gpus + 1) < 0.9).to(torch.int32)
        ElasticEPStateManager.state = None
        if elastic:
            ElasticEPStateManager.state = SimpleNamespace(active_ranks=active, has_scaled=False)
        phy2log, log2phy, counts = hook(
            own_planner,
            tokens_per_expert=load_of(random, int(random.integers(1, 4)), layers, experts),
            num_physical_experts=slots,
            num_local_physical_experts=per_gpu,
            num_groups=groups if groups < 4 else None,
            num_nodes=nodes,
            algorithm=algorithm,
        )
        live = active[:gpus].repeat_interleave(per_gpu) > 0 if elastic else torch.ones(slots) > 0
        enough = int(live.sum()) >= experts
        check(phy2log, layers, experts, slots, whole=not elastic)
        if enough:
            for layer in range(layers):
                for expert in range(experts):
                    named = [slot for slot in log2phy[layer, expert].tolist() if slot >= 0]
                    assert named
                    assert live[named].all()
                    assert (phy2log[layer, named] == expert).all()
                    assert counts[layer, expert] == len(named)
        newest = phy2log.numpy()
        COUNTS["calls of plug-ins"] += 1
