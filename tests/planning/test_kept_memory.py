"""A plan uses the memory of the plan before it: to get it anew, page by page, takes as long as planning."""

from __future__ import annotations

import platform
import resource
from concurrent.futures import ThreadPoolExecutor

import eplb
import numpy as np
import pytest

CALLS = 20


def pages_of_calls() -> int:
    """Pages that the system gives this thread for some calls, once there have been a few."""
    loads = np.random.default_rng(0).integers(1, 10_000, (58, 256))
    given = []
    for _ in range(5 + CALLS):
        given.append(resource.getrusage(resource.RUSAGE_THREAD).ru_minflt)
        plan = eplb.plan(loads, num_replicas=288, num_gpus=32, policy="deepseek")
        assert plan.phy2log.nbytes + plan.rank.nbytes + plan.logcnt.nbytes == 58 * 832 * 8
    return given[-1] - given[4]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have other ways")
def test_a_call_asks_the_system_for_no_memory() -> None:
    # The three tables of a plan alone have 96 pages.
    assert pages_of_calls() < 10 * CALLS
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(pages_of_calls).result() < 10 * CALLS
