"""Times eplb beside the planners of released engines: what `make bench-peers` runs.

peers.py [--record]

--record adds a line to records/peers.jsonl, on a quiet machine only. Where a wheel is neither in the cache
(build/wheels, or the folder that EPLB_ENGINE_WHEELS names) nor can be fetched, it says so and ends
with 0. Exits with 1 where an answer is wrong.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import eplb
import torch
from answers import Answer, WrongAnswerError
from bench import rounded
from cases import read_cases
from engine_planners import RELEASES, NoWheelError, sglang, vllm, weights
from machine import machine
from measured import Measured
from plan_times import row
from planners import PLANNERS
from records import BusyError, append, require_quiet
from report import case_lines
from timing import alternately

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from cases import Case, Loads, Sizes
    from engine_planners import EnginePlanner
    from planners import Planner


def drop_in(load: Loads, sizes: Sizes) -> Any:
    """eplb by DeepSeek's signature: tensors in, tensors out, as the engines call it."""
    args = (sizes.slots, sizes.groups, sizes.nodes, sizes.gpus)
    return eplb.rebalance_experts(weights(load), *args)


def answering(planner: EnginePlanner) -> Planner:
    """A planner of an engine, as those that are timed."""

    def answer(load: Loads, sizes: Sizes) -> Answer:
        phy2log, logcnt = planner(load, **sizes.options())
        return Answer(phy2log, None, logcnt)

    return answer


def measure(case: Case, engines: Mapping[str, EnginePlanner]) -> Measured:
    """Time and balancedness of the case's planner, beside the best of the peers."""
    peers = {name: answering(planner) for name, planner in engines.items()}
    ours = {case.planner: PLANNERS[case.planner], "eplb, DeepSeek's signature": drop_in}
    timed = alternately({**ours, **peers}, case.batches(1), case.sizes)
    details = {name: row(timed[name]) for name in timed}
    mine = timed[case.planner]
    balanced = [
        min(
            float(own.balancedness.mean() / other.balancedness.mean())
            for own, other in zip(mine.plans, timed[peer].plans, strict=True)
        )
        for peer in peers
    ]
    figures = {
        "time of the fastest peer": max(mine.times(timed[peer]) for peer in peers),
        "balancedness of the best peer": min(balanced),
    }
    return Measured(figures, details)


def main(arguments: list[str]) -> int:
    """Measure, print, record."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args(arguments)
    try:
        engines = {**vllm(), **sglang()}
    except NoWheelError as reason:
        print(f"skipped: {reason}")
        return 0
    torch.set_num_threads(1)  # as the others have one
    about = {**machine(), "torch": torch.__version__, **RELEASES}
    results = {}
    try:
        if options.record:
            require_quiet(about)
    except BusyError as busy:
        print(f"not measured: {busy}")
        return 1
    for case in read_cases():
        if case.measure == "peers":
            try:
                results[case.name] = rounded(asdict(measure(case, engines)))
            except WrongAnswerError as wrong:
                print(f"WRONG ANSWER: {wrong}")
                return 1
            print("\n".join(case_lines(case, results[case.name])), flush=True)
    if options.record:
        append("peers", about, results)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
