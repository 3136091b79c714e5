"""Measures how good plans are, and writes results.json and docs/quality.md: `make quality`.

Plans and so results are the same on every machine. Exits with 1 where a goal is missed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from measures import CONTENDERS, misses, real_rows, synthetic_rows
from pages import page

RESULTS = Path(__file__).with_name("results.json")
PAGE = Path(__file__).parents[2] / "docs" / "quality.md"


def measure() -> dict[str, Any]:
    """Everything: a few minutes, nearly all of them by the effort best."""
    contenders = list(CONTENDERS)
    return {
        "synthetic": list(synthetic_rows(contenders)),
        "real": list(real_rows(contenders)),
    }


def text(results: dict[str, Any]) -> str:
    """JSON with a line for each row, so that a change of one is a change of one line."""
    lists = (
        f'"{name}": [\n' + ",\n".join(json.dumps(row) for row in rows) + "\n]"
        for name, rows in results.items()
    )
    return "{\n" + ",\n".join(lists) + "\n}\n"


def main() -> int:
    """Measure, write, print."""
    results = measure()
    RESULTS.write_text(text(results))
    PAGE.write_text(page(results))
    print(page(results).replace("<br>", " "))
    missed = misses(results["synthetic"])
    print("\n".join(f"MISSED: {miss}" for miss in missed) or "every goal is met")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
