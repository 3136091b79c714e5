"""Counts the instructions of a fixed battery: what `make bench-instructions` runs.

instructions.py [--record] [--profile] [--strict]

Counts hardly differ from run to run, however busy the machine is, so that a slower planner is seen
where times say nothing. Compilers make them differ, though: a rise is told, and ends with 1 under
--strict only. --record writes instructions.json, which later counts are compared with. --profile tells the
functions that take most of each case.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from beside_rust import executable, problem
from cases import Sizes, layers_of
from machine import rustc
from planners import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

COUNTS = Path(__file__).with_name("instructions.json")
#: A rise by less is not worth a line.
LIMIT = 0.1
LAYERS = 8
#: A function that takes less is not told of.
SMALL_SHARE = 0.02

#: Name -> planner, sizes, family of the loads.
BATTERY: dict[str, tuple[str, Sizes, str]] = {
    f"{planner}, {sizes.text()}, {family}": (planner, sizes, family)
    for planner, sizes, family in (
        ("eplb deepseek", Sizes(LAYERS, 256, 288, 32), "lognormal 1"),
        ("eplb deepseek", Sizes(LAYERS, 256, 288, 32, 8, 4), "lognormal 1"),
        ("eplb deepseek", Sizes(LAYERS, 384, 576, 144), "lognormal 1"),
        ("eplb adaptive", Sizes(LAYERS, 256, 288, 32), "lognormal 1"),
        ("eplb minimax fast", Sizes(LAYERS, 256, 288, 32), "lognormal 1"),
        ("eplb minimax", Sizes(LAYERS, 256, 288, 32), "lognormal 1"),
        ("eplb minimax", Sizes(LAYERS, 256, 288, 32), "zipf 1.2"),
        ("eplb minimax", Sizes(LAYERS, 256, 320, 64), "lognormal 1"),
        ("eplb minimax", Sizes(LAYERS, 384, 576, 144), "lognormal 1"),
    )
}


def counted() -> dict[str, dict[str, int]]:
    """Instructions of each case of the battery, function by function."""
    program = executable()
    return {name: instructions(program, *case) for name, case in BATTERY.items()}


def instructions(program: Path, planner: str, sizes: Sizes, family: str) -> dict[str, int]:
    """Of one plan, from loads to tables: of each function that was compiled as one."""
    load = layers_of(family, sizes.layers, sizes.experts, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "counts"
        tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
        # Reading the problem does not count.
        only = ["--collect-atstart=no", "--toggle-collect=*measured*"]
        run = subprocess.run(
            [*tool, *only, str(program)],
            input=problem(load, sizes, OPTIONS[planner], calls=1) + "\n",
            capture_output=True,
            text=True,
            check=True,
        )
        annotate = ["callgrind_annotate", "--threshold=100", "--auto=no", str(out)]
        listing = subprocess.run(annotate, capture_output=True, text=True, check=True).stdout
        (total,) = re.findall(r"^(?:summary|totals): (\d+)$", out.read_text(), re.MULTILINE)[-1:]
    counts = by_function(listing)
    if '"digest"' not in run.stdout or sum(counts.values()) != int(total) or not counts:
        raise ValueError(f"not all was counted: {run.stderr}")
    return counts


def by_function(listing: str) -> dict[str, int]:
    """Of callgrind_annotate's lines `count (share) file:function [object]`, each function once."""
    counts: Counter[str] = Counter()
    for line in listing.splitlines():
        if found := re.match(r"\s*([\d,]+) \(\s*[\d.]+%\)\s+\S+?:(.+?)(?: \[[^]]*\])?$", line):
            counts[short(found[2])] += int(found[1].replace(",", ""))
    return dict(counts)


def short(function: str) -> str:
    """A function without crates and generics: sorting as one, whatever its parts."""
    if "::sort::" in function:
        return "sorting"
    function = re.sub(r"'\d+$|<[^<>]*>|::h[0-9a-f]{16}$", "", function).removeprefix("eplb_core::")
    return re.sub(r"^_*(mem\w+?)_.*", r"\1", function)


def shares(counts: Mapping[str, int]) -> dict[str, float]:
    """The functions that take most, with their share."""
    total = sum(counts.values())
    large = sorted(counts.items(), key=lambda item: -item[1])
    return {name: count / total for name, count in large if count >= SMALL_SHARE * total}


def rises(recorded: Mapping[str, int], now: Mapping[str, int]) -> list[str]:
    """What to tell of counts that rose, and of a battery that is another one."""
    if recorded.keys() != now.keys():
        return ["the battery is not the recorded one: record it with RECORD=1"]
    return [
        f"{name}: {count:,} instructions, {count / recorded[name] - 1:.0%} more than recorded"
        for name, count in now.items()
        if count > recorded[name] * (1 + LIMIT)
    ]


def versions() -> dict[str, str]:
    """What counts depend on."""
    run = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True)
    host = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True)
    (target,) = re.findall(r"^host: (.*)$", host.stdout, re.MULTILINE)
    return {"rustc": rustc(), "target": target, "valgrind": run.stdout.strip()}


def main(arguments: list[str]) -> int:
    """Count; record or compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--strict", action="store_true")
    options = parser.parse_args(arguments)
    if not shutil.which("valgrind"):
        print("skipped: valgrind is not installed")
        return 0
    functions, made_by = counted(), versions()
    now = {name: sum(counts.values()) for name, counts in functions.items()}
    profile = {name: shares(counts) for name, counts in functions.items()}
    if options.record:
        document = {"versions": made_by, "counts": now}
        COUNTS.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    recorded = json.loads(COUNTS.read_text(encoding="utf-8"))
    for name, count in now.items():
        change = count / recorded["counts"].get(name, count) - 1
        print(f"{count:>14,} {change:+7.1%}  {name}")
        for function, share in profile[name].items() if options.profile else ():
            print(f"{share:>22.1%}    {function}")
    for name, version in made_by.items():
        if version != recorded["versions"][name]:
            print(f"{name} is {version}; recorded with {recorded['versions'][name]}")
    risen = rises(recorded["counts"], now)
    for rise in risen:
        print(f"RISE: {rise}")
    if risen and not options.strict:
        print("advisory, as compilers differ: STRICT=1 makes a rise an error")
    return int(bool(risen) and options.strict)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
