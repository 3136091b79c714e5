"""Measures every case of cases.toml: what `make bench` runs.

bench.py [--record] [--only TEXT]

--record adds a line to records/speed.jsonl, on a quiet machine only; --only measures the cases whose
names hold the text. Exits with 1 where an answer is wrong. A missed goal is told, not punished: how
fast a machine is, it cannot help.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import beside_rust
import growth
import large_trace
import main_thread
import peak_memory
import plan_times
import plugin_times
import replay_times
import two_threads
import verify_times
from answers import WrongAnswerError
from cases import read_cases
from machine import machine
from records import BusyError, append, require_quiet
from report import case_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cases import Case
    from measured import Measured

#: Measures by the name that cases have for them.
MEASURES: dict[str, Callable[[Case], Measured]] = {
    "plan": plan_times.measure,
    "rust": beside_rust.measure,
    "growth": growth.measure,
    "threads": two_threads.measure,
    "main thread": main_thread.measure,
    "memory": peak_memory.measure,
    "verify": verify_times.measure,
    "plug-in": plugin_times.measure,
    "replay": replay_times.measure,
    "large trace": large_trace.measure,
}


def results_of(cases: Iterable[Case], about: dict[str, str]) -> dict[str, Any]:
    """Measure, printing as it goes."""
    print("; ".join(f"{name} {value}" for name, value in about.items()), flush=True)
    results = {}
    for case in cases:
        results[case.name] = rounded(asdict(MEASURES[case.measure](case)))
        print("\n".join(case_lines(case, results[case.name])), flush=True)
    return results


def rounded(value: Any) -> Any:
    """Five digits of every figure, which is more than times have."""
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    return float(f"{value:.5g}")


def main(arguments: list[str]) -> int:
    """Measure, print, record."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--only", default="")
    options = parser.parse_args(arguments)
    if options.record and options.only:
        parser.error("results are recorded of all cases in one run, or of none")
    cases = [
        case for case in read_cases() if case.measure in MEASURES and options.only in case.name
    ]
    if not cases:
        parser.error(f"no case has {options.only!r} in its name")
    about = machine()
    try:
        if options.record:
            require_quiet(about)
        results = results_of(cases, about)
    except BusyError as busy:
        print(f"not measured: {busy}")
        return 1
    except WrongAnswerError as wrong:
        print(f"WRONG ANSWER: {wrong}")
        return 1
    if options.record:
        append("speed", about, results)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
