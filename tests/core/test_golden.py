"""Every implementation against vectors computed in exact rational arithmetic."""

import json
from typing import Any

import numpy as np
import paths
import pytest
from implementations import IMPLEMENTATIONS, POLICIES, TABLES, Policy, disagreement

GOLDEN = np.load(paths.GOLDEN, allow_pickle=False)
CONFIGURATIONS: list[dict[str, Any]] = json.loads(str(GOLDEN["meta"]))


def compare(who: str, configuration: dict[str, Any], policy: Policy) -> tuple[int, str]:
    """Rows compared, and the first difference."""
    sizes = {key: configuration[key] for key in configuration.keys() - {"name", "num_experts"}}
    name = configuration["name"]
    wanted = [GOLDEN[f"{name}.{policy}.{table}"].tolist() for table in TABLES]
    weight = GOLDEN[f"{name}.weight"]
    return len(weight), disagreement(who, (wanted[0], wanted[1], wanted[2]), weight, sizes, policy)


@pytest.mark.parametrize("who", IMPLEMENTATIONS)
def test_all_624_golden_rows(who: str) -> None:
    results = [compare(who, one, policy) for one in CONFIGURATIONS for policy in POLICIES]
    assert [said for _, said in results if said] == []
    assert sum(rows for rows, _ in results) == 624


@pytest.mark.parametrize("who", IMPLEMENTATIONS)
def test_control_the_comparison_sees_a_wrong_policy(
    who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = CONFIGURATIONS[0]["name"]
    swapped = {key: GOLDEN[key] for key in GOLDEN.files}
    swapped[f"{name}.deepseek.phy2log"] = GOLDEN[f"{name}.adaptive.phy2log"]
    monkeypatch.setitem(globals(), "GOLDEN", swapped)
    assert compare(who, CONFIGURATIONS[0], "deepseek")[1].startswith(f"{who}, deepseek: phy2log")
