"""A local Ray cluster. Ray is installed once; everything is skipped if it cannot be."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest
from paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Nothing is told to anybody, and nothing is shown.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}


@pytest.fixture(scope="session", autouse=True)
def _installed() -> None:
    """Installs the release of the dependency group ``ray``."""
    if find_spec("ray") is None:
        [wanted] = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["ray"]
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*pip, wanted], capture_output=True, text=True)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
            pytest.skip(f"no Ray: {reason}")
        importlib.invalidate_caches()
    os.environ.update(QUIET)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster whose first node runs no tasks, and two others that run one at a time each."""
    # Its workers find the planners of these tests.
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests" / "helpers"))
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    made.others = [made.add_node(num_cpus=1) for _ in range(2)]
    yield made
    ray.shutdown()
    made.shutdown()
