"""Measures how good plans are, and prints the tables of docs/quality.md: `make quality`.

quality.py [--record]

--record writes optima.json: the instances and the optima that the solver proved. Exits with 1 where
a goal is missed, or an optimum is not the recorded one.
"""

from __future__ import annotations

import argparse
import json
import sys

import call_times
import engine_rows
import hard_coarse
import hard_even
import hard_hot
import optima
from engine_planners import NoWheelError
from measures import CONTENDERS, LAYERS, misses, real_rows, synthetic_rows
from tables import coarse_part, hot_part, tables, time_part


def main(arguments: list[str]) -> int:
    """Measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args(arguments)
    contenders = list(CONTENDERS)
    synthetic, real = list(synthetic_rows(contenders)), list(real_rows(contenders))
    solved = [optima.solved(instance) for instance in optima.instances()]
    if options.record:
        optima.OPTIMA.write_text(optima.text(solved), encoding="utf-8")
    try:
        engines = engine_rows.measure()
    except NoWheelError as reason:
        print(f"released planners are skipped: {reason}")
        engines = engine_rows.NONE
    instances = [
        {**row, **optima.plans(one)} for row, one in zip(solved, optima.instances(), strict=True)
    ]
    hot = list(hard_hot.hot_rows(LAYERS))
    print(tables(synthetic, real, engines, hard_even.rows(), instances, optima.worlds()))
    print(hot_part(hot, hard_hot.planned_rows("default")))
    coarse = list(hard_coarse.coarse_rows())
    print(coarse_part(coarse))
    print(time_part(list(call_times.time_rows())))
    missed = misses(synthetic) + hard_hot.hot_misses(hot) + hard_coarse.coarse_misses(coarse)
    if json.loads(json.dumps(solved)) != optima.recorded():
        missed.append("optima that differ from optima.json")
    print("\n".join(f"MISSED: {miss}" for miss in missed) or "every goal is met")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
