"""What a replay of a trace costs that is larger than memory: a process that may have 1 GiB of addresses."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from measured import Measured
from peak_memory import kib

if TYPE_CHECKING:
    from cases import Case

SETTINGS = "trivial deepseek multiwindow"
#: Windows of the file, those that are drawn, and those from one update to the next.
WINDOWS, DRAWN, EVERY = 27_200, 100, 1_000
ADDRESSES = 2**30
HERE = Path(__file__).parent


def measure(case: Case) -> Measured:
    """Resident MiB at the peak, processor time and the file's GB. A hundred windows are drawn, which repeat."""
    import eplb
    import numpy as np

    sizes = case.sizes
    drawn = eplb.sampling.sample(
        seed=1, layers=sizes.layers, experts=sizes.experts, windows=DRAWN, drift="walk"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.npy"
        shape = (WINDOWS, sizes.layers, sizes.experts)
        with path.open("wb") as file:
            header = {"descr": "<i8", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for _ in range(WINDOWS // DRAWN):
                file.write(drawn.tobytes())
        line = [sys.executable, "-m", "large_trace", str(path), str(sizes.gpus), str(sizes.slots)]
        run = subprocess.run(
            line,
            env={"PYTHONPATH": f"{HERE}:{HERE.parent}", "OPENBLAS_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        size = path.stat().st_size
    peak, seconds = json.loads(run.stdout.splitlines()[-1])
    return Measured({"MiB resident": peak, "s": seconds, "GB of the file": size / 1e9})


def here(path: str, gpus: int, slots: int) -> tuple[float, float]:
    """MiB and seconds of this process."""
    from eplb import cli

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    start = time.process_time()
    line = f"replay {path} --gpus {gpus} --replicas {slots} --every {EVERY} --settings".split()
    code = cli.main([*line, SETTINGS])
    if code:
        sys.exit(code)
    # Not ru_maxrss, which a process inherits from the one that started it.
    return kib("VmHWM") / 2**10, time.process_time() - start


if __name__ == "__main__":
    print(json.dumps(here(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
