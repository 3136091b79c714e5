"""Memory: the peak of a fresh process while it plans, beyond loads and answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from measured import Measured

if TYPE_CHECKING:
    from cases import Case

STATUS = Path("/proc/self/status")
HERE = Path(__file__).parent


def measure(case: Case, processes: int = 5) -> Measured:
    """KiB beyond what is held before and after; the median of some processes."""
    command = [sys.executable, "-m", "peak_memory", case.name]
    paths = [str(HERE), str(HERE.parent)]
    peaks, held = [], 0.0
    for _ in range(processes):
        run = subprocess.run(
            command,
            env={"PYTHONPATH": ":".join(paths)},
            capture_output=True,
            text=True,
            check=True,
        )
        peak, held = json.loads(run.stdout)
        peaks.append(peak)
    peaks.sort()
    details = {
        case.planner: {
            "KiB of loads and answer": held,
            "least peak beyond": peaks[0],
            "largest peak beyond": peaks[-1],
        }
    }
    figures = {
        "KiB at the peak beyond loads and answer": peaks[len(peaks) // 2],
        "KiB of loads and answer": held,
    }
    return Measured(figures, details)


def kib(name: str) -> int:
    """A line of the process's status."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])


def measured_here(case: Case) -> list[float]:
    """Of this process: KiB of the peak beyond loads and answer, and KiB of these."""
    import eplb
    import numpy as np
    from planners import OPTIONS

    load = case.batches(1)[0]
    # What is set up once is there after a plan of another size.
    eplb.plan(np.arange(4)[None], num_gpus=2, **OPTIONS[case.planner])
    before = kib("VmRSS:")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    plan = eplb.plan(load, **case.sizes.options(), **OPTIONS[case.planner])
    peak = kib("VmHWM:")
    # Of the core: phy2log, rank, logcnt and canonical loads; with `minimax` comes a certificate.
    entries = 2 * plan.phy2log.size + 2 * plan.logcnt.size
    if plan.policy == "minimax":
        entries += plan.gpu_load.size
    held = entries * 8 / 1024
    return [max(0.0, peak - before - held), held]


if __name__ == "__main__":
    from cases import read_cases

    (wanted,) = (case for case in read_cases() if case.name == sys.argv[1])
    print(json.dumps(measured_here(wanted)))
