"""Plans of real loads: every file, each policy, at least two topologies, verified."""

from __future__ import annotations

import eplb
import pytest
from paths import TESTS
from real_loads import FOLDER, TOPOLOGIES, total, windows

CASES = [(name, i) for name, topologies in TOPOLOGIES.items() for i in range(len(topologies))]


def test_every_file_has_two_topologies_a_source_and_a_licence() -> None:
    files = {path.stem for path in FOLDER.glob("*.npz")}
    assert files == TOPOLOGIES.keys()
    assert min(map(len, TOPOLOGIES.values())) >= 2
    sources = (FOLDER / "SOURCES.md").read_text()
    assert all(f"{name}.npz" in sources for name in files)
    repositories = {path.stem.replace("_", "/", 1) for path in FOLDER.glob("LICENSES/*.txt")}
    assert len(repositories) == 5
    assert all(repository in sources for repository in repositories)


#: Policies that put no expert twice on a GPU.
DISTINCT = ("minimax", "multiwindow")


@pytest.mark.parametrize("policy", eplb.POLICIES)
@pytest.mark.parametrize(("name", "i"), CASES)
def test_plans_of_all_windows_together(name: str, i: int, policy: str) -> None:
    sizes = TOPOLOGIES[name][i]
    load = total(name)
    if sizes["num_replicas"] > load.shape[1] * sizes["num_gpus"] and policy in DISTINCT:
        with pytest.raises(eplb.TopologyError, match="try num_replicas=64"):
            eplb.plan(load, **sizes, policy=policy)
        return
    plan = eplb.plan(load, **sizes, policy=policy)
    assert eplb.verify(plan, load) == (
        f"verified: structure, GPU loads and lower bounds of {len(load)} layers"
    )
    assert plan.is_global == (sizes.get("num_groups", 1) % sizes.get("num_nodes", 1) != 0)
    assert (plan.gap >= 0).all()


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_single_windows_are_sparse_and_tied(name: str) -> None:
    sizes = TOPOLOGIES[name][1]
    for load in windows(name)[:40]:
        distinct = sizes["num_replicas"] <= load.shape[1] * sizes["num_gpus"]
        for policy in ("adaptive", "minimax") if distinct else ("adaptive",):
            plan = eplb.plan(load, policy=policy, **sizes)
            eplb.verify(plan, load)


def test_a_clone_is_small() -> None:
    held = sum(path.stat().st_size for path in TESTS.rglob("*.npz"))
    assert held < 5_000_000
