"""The core against the executable specification, over generated problems."""

from __future__ import annotations

from typing import Any

import eplb
import numpy as np
import pytest
import specification as spec
from eplb import _core
from eplb.inputs.loads import canonical_loads
from hypothesis import given
from hypothesis import strategies as st
from implementations import disagreement
from problems import at_most
from strategies import LOADS, POLICIES, Problem, problems


@at_most(2000)
@given(problems())
def test_core_equals_specification(problem: Problem) -> None:
    load, sizes = problem
    for policy in POLICIES:
        plan = eplb.plan(load, policy=policy, **sizes)
        canonical = [spec.canonical_row(row)[0] for row in load]
        expected = spec.plan(load, **sizes, policy=policy)
        assert disagreement("core", expected, np.array(load), sizes, policy) == ""
        for layer, row in enumerate(canonical):
            phy2log, _, logcnt = (table[layer] for table in expected)
            assert plan.certificate.gpu_load()[layer].tolist() == spec.gpu_loads(
                phy2log, logcnt, row, sizes["num_gpus"]
            )
            without_groups, bound = best_bounds(row, sizes)
            assert plan.certificate.bound_without_groups[layer] == without_groups
            assert plan.certificate.lower_bound[layer] == bound
        digest = spec.digest(
            plan.phy2log.tolist(), sizes["num_gpus"], sizes["num_groups"], sizes["num_nodes"]
        )
        assert plan.digest() == digest
        eplb.verify(plan, load)


def test_control_another_slot_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = spec.plan

    def planted(*arguments: Any, **options: Any) -> Any:
        phy2log, rank, logcnt = planned(*arguments, **options)
        return [row[1:] + row[:1] for row in phy2log], rank, logcnt

    monkeypatch.setattr(spec, "plan", planted)
    with pytest.raises(AssertionError):
        test_core_equals_specification()


def best_bounds(row: list[int], sizes: dict[str, int]) -> tuple[int, int]:
    """The best without the groups, and with them."""
    without_groups = spec.counting_bound(row, sizes["num_replicas"], sizes["num_gpus"])
    if sizes["num_replicas"] == len(row):
        without_groups = max(without_groups, spec.packing_bound(row, sizes["num_gpus"]))
    if sizes["num_groups"] % sizes["num_nodes"] != 0:
        return without_groups, without_groups
    nodes = sizes["num_nodes"]
    node = spec.node_bound(row, sizes["num_groups"], nodes, sizes["num_gpus"])
    return without_groups, max(without_groups, node)


@given(st.sampled_from(LOADS).flatmap(lambda cell: st.lists(cell, min_size=1, max_size=40)))
def test_canonical_loads_equal_the_specification(row: list[int | float]) -> None:
    loads = canonical_loads([row])
    canonical, exponent = spec.canonical_row(row)
    assert loads.values().tolist() == [canonical]
    assert loads.exponents == [exponent]


def test_gpu_load_and_gap_are_correctly_rounded() -> None:
    load = np.random.default_rng(5).lognormal(0, 2, (20, 24))
    plan = eplb.plan(load, num_gpus=6, num_replicas=30)
    certificate = plan.certificate
    units = zip(certificate.gpu_load().tolist(), certificate.exponents, strict=True)
    for layer, (row, exponent) in enumerate(units):
        # Python divides integers correctly rounded.
        scale, shrink = (1, 2**exponent) if exponent >= 0 else (2**-exponent, 1)
        expected = [cell * scale / (720_720 * shrink) for cell in row]
        assert plan.gpu_load[layer].tolist() == expected
        highest, bound = certificate.max_load[layer], certificate.lower_bound[layer]
        assert plan.gap[layer] == (highest - bound) / bound
        assert plan.balancedness[layer] == sum(row) / (6 * highest)
        assert plan.lower_bound[layer] == bound * scale / (720_720 * shrink)


def test_names_of_the_core_are_those_of_the_package() -> None:
    assert tuple(_core.policies()) == eplb.POLICIES
