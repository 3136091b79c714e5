"""Run by the Python of a bare environment, in an empty folder: eplb plans there as anywhere.

Prints a line of what it saw, or fails.
"""

import json
import platform
import subprocess
import sys
from pathlib import Path

import eplb
import numpy as np

#: A change of it is a change of an answer: CHANGELOG says so.
DIGEST = "60290f7047f651c2"
SIZES = ["--gpus", "8", "--redundant", "16", "--groups", "8", "--nodes", "2"]
PROGRAMS = ([str(Path(sys.executable).with_name("eplb"))], [sys.executable, "-m", "eplb"])
COMMANDS = ("plan", "compare", "verify")


def same(seen: object, wanted: object) -> None:
    """Fail, unless they are the same. Not ``assert``, which ``python -O`` leaves out."""
    if seen != wanted:
        sys.exit(f"{seen!r}, wanted {wanted!r}")


def output(*command: str) -> str:
    """What a command printed; it must succeed and complain of nothing."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or done.stderr:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


load = [[1 + (layer * 977 + expert * 7919) % 1009 for expert in range(64)] for layer in range(4)]
plan = eplb.plan(load, num_gpus=8, num_replicas=80, num_groups=8, num_nodes=2)
same(plan.digest(), DIGEST)
same(eplb.verify(plan, load)[:8], "verified")
try:
    eplb.plan(load, num_gpus=7, num_replicas=80)
except ValueError as error:
    same(type(error).__name__, "TopologyError")
else:
    sys.exit("80 slots on 7 GPUs were planned")
same({"torch", "matplotlib"} & sys.modules.keys(), set())

np.save("loads.npy", np.array(load))
for program in PROGRAMS:
    same(output(*program, "--version"), f"eplb {eplb.__version__}\n")
    for command in COMMANDS:
        same("Example: eplb" in output(*program, command, "--help"), True)
    printed = output(*program, "plan", "loads.npy", *SIZES, "--out", "plan.json", "--json")
    same(json.loads(printed)["digest"], DIGEST)
    same(output(*program, "verify", "plan.json", "loads.npy")[:8], "verified")
    same("adaptive" in output(*program, "compare", "loads.npy", *SIZES), True)

print(f"Python {platform.python_version()}, eplb {eplb.__version__}, digest {plan.digest()}")
