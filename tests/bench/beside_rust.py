"""The same plans from Python and from Rust, in turns: what Python adds."""

from __future__ import annotations

import json
import statistics
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measured import Measured
from planners import OPTIONS, PLANNERS
from timing import ROUNDS, TURN_CALLS, Timed, alternately, turn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cases import Case, Loads, Sizes

ROOT = Path(__file__).parents[2]
#: What Python may add: a tenth, or so many seconds where that is more.
ALLOWED_SHARE, ALLOWED_SECONDS = 0.1, 30e-6


def measure(case: Case, rounds: int = ROUNDS, profile: str = "bench") -> Measured:
    """What Python adds as a share of what it may add: the median batch. Cargo builds with a profile."""
    python, rust = PLANNERS[case.planner], OPTIONS[case.planner]
    batches = case.batches(1)
    timed = alternately({case.planner: python}, batches, case.sizes, rounds=1)[case.planner]
    in_python, in_rust = (Timed([[] for _ in batches]) for _ in range(2))
    with rust_process(profile) as process:
        for _ in range(rounds):
            for i, load in enumerate(batches):
                in_python.seconds[i] += turn(python, load, case.sizes)[0]
                told = plan_in(process, problem(load, case.sizes, rust, TURN_CALLS))
                if told["digest"] != timed.plans[i].digest():
                    raise AssertionError(f"{case.name}: Rust gives another plan than Python")
                in_rust.seconds[i] += [nanos * 1e-9 for nanos in told["nanoseconds"]]
    pairs = list(zip(in_python.fastest(), in_rust.fastest(), strict=True))
    added = [(py - rs) / max(ALLOWED_SHARE * rs, ALLOWED_SECONDS) for py, rs in pairs]
    figures = {
        "share of what Python may add": max(0.0, statistics.median(added)),
        "ms from Python": in_python.summary()["median batch"],
        "ms from Rust": in_rust.summary()["median batch"],
    }
    details = {"from Python": in_python.summary(), "from Rust": in_rust.summary()}
    return Measured(figures, details)


def executable(profile: str = "bench") -> Path:
    """The Rust counterpart, built."""
    command = ["cargo", "bench", "--package", "eplb-core", "--bench", "given", "--no-run"]
    run = subprocess.run(
        [*command, f"--profile={profile}", "--locked", "--quiet", "--message-format=json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    messages = map(json.loads, run.stdout.splitlines())
    (path,) = (message["executable"] for message in messages if message.get("executable"))
    return Path(path)


@contextmanager
def rust_process(profile: str) -> Iterator[subprocess.Popen[str]]:
    """The counterpart, waiting for problems."""
    pipe = subprocess.PIPE
    with subprocess.Popen([executable(profile)], stdin=pipe, stdout=pipe, text=True) as process:
        yield process


def problem(load: Loads, sizes: Sizes, options: dict[str, str], calls: int) -> str:
    """A line that the counterpart understands."""
    numbers = (sizes.slots, sizes.groups, sizes.nodes, sizes.gpus, *load.shape, *load.ravel())
    effort = options.get("effort", "default")
    return " ".join(map(str, (options["policy"], effort, calls, *numbers)))


def plan_in(process: subprocess.Popen[str], line: str) -> dict[str, Any]:
    """What it says of a problem."""
    if process.stdin is None or process.stdout is None:
        raise ValueError("a process with pipes is needed")
    process.stdin.write(line + "\n")
    process.stdin.flush()
    told: dict[str, Any] = json.loads(process.stdout.readline())
    return told
