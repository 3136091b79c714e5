"""Measures how good plans are, and writes results and docs/quality.md: `make quality`.

Our plans and so our results are the same on every machine. Where the wheels of the engines cannot be had
(tests/engine_planners.py), it says so and their recorded figures stay. Exits with 1 where a goal is missed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import engine_rows
import optima
from engine_planners import NoWheelError
from measures import CONTENDERS, misses, real_rows, synthetic_rows
from pages import page

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "quality.md"
#: What is measured -> the file of its results.
FILES = {name: HERE / f"{name}.json" for name in ("results", "engines", "optima")}


def recorded() -> dict[str, Any]:
    """The results as they are in the files."""
    read = {name: json.loads(file.read_text(encoding="utf-8")) for name, file in FILES.items()}
    return {**read, "worlds": optima.worlds()}


def measure_ours() -> dict[str, Any]:
    """Our policies: a few minutes, nearly all of them by the effort best."""
    contenders = list(CONTENDERS)
    return {
        "synthetic": list(synthetic_rows(contenders)),
        "real": list(real_rows(contenders)),
    }


def measure_optima() -> dict[str, Any]:
    """A minute or two of the solver."""
    return {"instances": [optima.solved(instance) for instance in optima.instances()]}


def text(results: dict[str, Any]) -> str:
    """JSON with a line for each row, so that a change of one is a change of one line."""
    lists = (
        f'"{name}": [\n' + ",\n".join(json.dumps(row) for row in rows) + "\n]"
        for name, rows in results.items()
    )
    return "{\n" + ",\n".join(lists) + "\n}\n"


def write(name: str, results: dict[str, Any]) -> None:
    """Record these results."""
    FILES[name].write_text(text(results), encoding="utf-8")


def main() -> int:
    """Measure, write, print."""
    write("results", measure_ours())
    write("optima", measure_optima())
    optima.measure_worlds()
    try:
        write("engines", engine_rows.measure())
        told = "the engines' planners were measured"
    except NoWheelError as reason:
        told = f"the engines' planners were skipped, their figures are as recorded: {reason}"
    results = recorded()
    PAGE.write_text(page(results), encoding="utf-8")
    print(page(results).replace("<br>", " "))
    print(told)
    missed = misses(results["results"]["synthetic"])
    print("\n".join(f"MISSED: {miss}" for miss in missed) or "every goal is met")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
