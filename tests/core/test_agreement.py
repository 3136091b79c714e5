"""Three implementations, written apart, agree on every bit: specification, core, batched torch.

Every kind of loads with every kind of sizes. `make verify` compares a million rows this way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import problems
import pytest
import specification as spec
import torch
from counts import COUNTS
from hypothesis import given

if TYPE_CHECKING:
    import numpy.typing as npt

    Tables = tuple[list[list[int]], list[list[int]], list[list[int]]]

TABLES = ("phy2log", "rank", "logcnt")
POLICIES: tuple[spec.Policy, ...] = ("deepseek", "adaptive")
#: Rows of an example: many where there are many examples anyway.
MOST_ROWS = 100 if problems.DEEP else 8


def torch_tables(loads: npt.NDArray[Any], sizes: dict[str, Any], policy: spec.Policy) -> Tables:
    """phy2log, rank and logcnt of the batched path."""
    in_order = [sizes[name] for name in ("num_replicas", "num_groups", "num_nodes", "num_gpus")]
    phy2log, log2phy, logcnt = eplb.rebalance_experts_batched(
        torch.from_numpy(loads), *in_order, policy=policy
    )
    slots = torch.arange(phy2log.shape[1]).unsqueeze(1)
    own = log2phy.gather(1, phy2log.unsqueeze(2).expand(-1, -1, log2phy.shape[2]))
    # Each slot is said to be one copy of its expert, and nothing else is said.
    assert ((own == slots).sum(dim=2) == 1).all()
    assert int((log2phy >= 0).sum()) == phy2log.numel()
    return phy2log.tolist(), (own == slots).int().argmax(dim=2).tolist(), logcnt.tolist()


def disagreement(loads: npt.NDArray[Any], sizes: dict[str, Any], policy: spec.Policy) -> str:
    """What is not alike, with the first layer where it is not; nothing where all are."""
    expected = spec.plan(loads.tolist(), **sizes, policy=policy)
    plan = eplb.plan(loads, **sizes, policy=policy)
    core = plan.phy2log.tolist(), plan.rank.tolist(), plan.logcnt.tolist()
    for who, tables in (("core", core), ("torch", torch_tables(loads, sizes, policy))):
        for name, ours, wanted in zip(TABLES, tables, expected, strict=True):
            for row, mine, right in zip(loads.tolist(), ours, wanted, strict=True):
                if mine != right:
                    return f"{who}, {policy}: {name} of {row} with {sizes}: {mine}, not {right}"
    return ""


@pytest.mark.parametrize("sizes_kind", problems.SIZES)
@pytest.mark.parametrize("loads_kind", problems.LOADS)
def test_specification_core_and_torch_agree(loads_kind: str, sizes_kind: str) -> None:
    @problems.examples(3)
    @given(problems.batches(loads_kind, sizes_kind, MOST_ROWS))
    def compare(problem: tuple[npt.NDArray[Any], dict[str, Any]]) -> None:
        loads, sizes = problem
        for policy in POLICIES:
            assert disagreement(loads, sizes, policy) == ""
            COUNTS["rows on which specification, core and torch agree"] += len(loads)

    compare()


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("table", [0, 1, 2])
def test_control_a_changed_entry_is_a_disagreement(
    table: int, layer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = np.array([[5, 3, 2, 1], [1, 2, 3, 4]])
    sizes: dict[str, Any] = {"num_replicas": 6, "num_groups": 1, "num_nodes": 1, "num_gpus": 2}
    tables = spec.plan(loads.tolist(), **sizes, policy="deepseek")
    assert disagreement(loads, sizes, "deepseek") == ""
    tables[table][layer][1] += 1
    monkeypatch.setattr(spec, "plan", lambda *_, **__: tables)
    said = disagreement(loads, sizes, "deepseek")
    assert said.startswith(f"core, deepseek: {TABLES[table]} of {loads[layer].tolist()} ")
