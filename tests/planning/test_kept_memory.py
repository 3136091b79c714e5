"""A plan uses the memory of the plan before it: to get it anew, page by page, takes as long as planning."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

#: In a process of its own, because glibc keeps more where another test has freed large blocks.
PAGES_OF_A_CALL = """
import resource
from concurrent.futures import ThreadPoolExecutor
import numpy as np, eplb

loads = np.random.default_rng(0).integers(1, 10_000, (58, 256))

def pages(calls=20):
    for _ in range(5):
        given = plan()
    for _ in range(calls):
        plan()
    return (faults() - given) / calls

def plan():
    plan = eplb.plan(loads, num_replicas=288, num_gpus=32, policy="deepseek")
    plan.phy2log, plan.rank, plan.logcnt
    return faults()

def faults():
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt

print(pages(), ThreadPoolExecutor(1).submit(pages).result())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have other ways")
def test_a_call_asks_the_system_for_no_memory() -> None:
    command = [sys.executable, "-c", PAGES_OF_A_CALL]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    pages = [float(word) for word in run.stdout.split()]
    # The three tables of a plan alone have 96 pages.
    assert len(pages) == 2
    assert max(pages) < 10, pages
