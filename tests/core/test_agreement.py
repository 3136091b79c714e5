"""Three implementations, written apart, agree on every bit: specification, core, batched torch.

Every kind of loads with every kind of sizes. `make verify` compares a million rows this way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import problems
import pytest
import specification as spec
from counts import COUNTS
from hypothesis import given
from implementations import IMPLEMENTATIONS, POLICIES, TABLES, Policy
from implementations import disagreement as disagreement_of

if TYPE_CHECKING:
    import numpy.typing as npt

#: Rows of an example: many where there are many examples anyway.
MOST_ROWS = 100 if problems.DEEP else 8


def disagreement(loads: npt.NDArray[Any], sizes: dict[str, Any], policy: Policy) -> str:
    """Where some implementation differs from the specification; nothing if nowhere."""
    expected = spec.plan(loads.tolist(), **sizes, policy=policy)
    others = [who for who in IMPLEMENTATIONS if who != "specification"]
    said = (disagreement_of(who, expected, loads, sizes, policy) for who in others)
    return next(filter(None, said), "")


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
