"""The machine and the versions that figures are of."""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
from pathlib import Path

import eplb
import numpy as np


def machine() -> dict[str, str]:
    """As data of the results: name -> text."""
    return {
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "CPU": cpu(),
        "cores": str(os.cpu_count()),
        "load average before": f"{os.getloadavg()[0]:.1f}",
        "OS": f"{platform.system()} {platform.machine()}",
        "eplb": eplb.__version__,
        "Python": platform.python_version(),
        "numpy": np.__version__,
        "rustc": rustc(),
    }


def cpu() -> str:
    """Model of the CPU, or its architecture where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.partition(":")[::2] for line in lines)
    told = {key.strip(): value.strip() for key, value in fields.items()}
    name = told.get("model name", platform.machine())
    # Virtual machines often hide the name; family and model tell the generation.
    numbers = [f"{key} {told[key]}" for key in ("cpu family", "model") if key in told]
    return ", ".join([name, *numbers])


def rustc() -> str:
    """Version of the compiler."""
    run = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True)
    return run.stdout.split()[1]
