"""What takes longer than `make test`: the deep profile of Hypothesis, and how much it looked at."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
sys.path.insert(0, str(TESTS / "helpers"))

from counts import COUNTS  # noqa: E402

DEEP = (
    "core/test_agreement.py",
    "core/test_invariants.py",
    "core/test_differential.py",
    "batched/test_batched.py",
    "core/test_optima.py",
    "core/test_builds.py",
    "core/test_peers.py",
    "over_time/test_exact_search.py",
    "plugins/test_any_call.py",
    "plugins/test_growth.py",
)
#: What was counted -> the least that will do.
LEAST = {
    "rows on which specification, core and torch agree": 1_000_000,
    "layers whose copies, ranks and counts agree": 50_000,
    "optima proven by HiGHS": 36,
    "calls of plug-ins": 100_000,
    "calls of plug-ins planned from several windows": 30_000,
    "windows without growth": 10_000,
}


def shortfalls(counts: dict[str, int]) -> list[str]:
    """A line for each count that is too low: a check that scanned nothing has failed."""
    return [
        f"{what}: {counts.get(what, 0):,}, fewer than {least:,}"
        for what, least in LEAST.items()
        if counts.get(what, 0) < least
    ]


def main() -> int:
    """Run the deep tests, then look at what they counted."""
    files = [str(TESTS / name) for name in DEEP]
    code = pytest.main(["--quiet", "--hypothesis-profile=deep", *files])
    short = shortfalls(COUNTS)
    for line in short:
        print(line)
    return int(code) or len(short)


if __name__ == "__main__":
    sys.exit(main())
