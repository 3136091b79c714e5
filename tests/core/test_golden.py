"""The core against vectors computed in exact rational arithmetic."""

import json
from typing import Any

import eplb
import numpy as np
import paths
import pytest

GOLDEN = np.load(paths.GOLDEN, allow_pickle=False)
CONFIGURATIONS: list[dict[str, Any]] = json.loads(str(GOLDEN["meta"]))


def differing_rows(configuration: dict[str, Any], policy: str) -> tuple[int, list[str]]:
    """Rows compared, and a line for each table in which rows differ."""
    sizes = {key: configuration[key] for key in configuration.keys() - {"name", "num_experts"}}
    name = configuration["name"]
    weight = GOLDEN[f"{name}.weight"]
    plan = eplb.plan(weight, policy=policy, **sizes)
    differing = []
    for table in ("phy2log", "rank", "logcnt"):
        rows = np.flatnonzero((getattr(plan, table) != GOLDEN[f"{name}.{policy}.{table}"]).any(1))
        if len(rows):
            differing.append(f"{name} {policy} {table}: rows {rows.tolist()}")
    return len(weight), differing


def test_all_624_golden_rows() -> None:
    compared = 0
    differing: list[str] = []
    for configuration in CONFIGURATIONS:
        for policy in ("deepseek", "adaptive"):
            rows, lines = differing_rows(configuration, policy)
            compared += rows
            differing += lines
    assert differing == []
    assert compared == 624


def test_control_the_comparison_sees_a_wrong_policy() -> None:
    name = CONFIGURATIONS[0]["name"]
    swapped = {key: GOLDEN[key] for key in GOLDEN.files}
    swapped[f"{name}.deepseek.phy2log"] = GOLDEN[f"{name}.adaptive.phy2log"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "GOLDEN", swapped)
        assert differing_rows(CONFIGURATIONS[0], "deepseek")[1]
