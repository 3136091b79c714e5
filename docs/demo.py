"""Plans real loads and one of DeepSeek-V3's size with every policy: ``make demo``.

python docs/demo.py OUTDIR

For each it prints the comparison of the policies, writes a plan file to OUTDIR, reads it back and
verifies it. Then it replays a real sequence: what settings would have reached, window after window.
"""

from __future__ import annotations

import runpy
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import eplb
import numpy as np
from eplb.analysis.comparison import compare
from eplb.analysis.report.library import check_installed
from eplb.cli.compare import comparison_text
from eplb.load_files import read_loads, read_trace
from eplb.sampling import sample

TESTS = Path(__file__).parent.parent / "tests"
LOADS = TESTS / "loads"


@dataclass(frozen=True)
class Case:
    """Loads, and the sizes to plan them for."""

    model: str
    loads: Any
    sizes: dict[str, Any]

    def file_name(self) -> str:
        """A name for the plan file."""
        name = self.model.split(",")[0].replace(" ", "-").lower()
        nodes = self.sizes.get("num_nodes", 1)
        return f"{name}-{nodes}-nodes.json" if nodes > 1 else f"{name}.json"


def counts(name: str) -> Any:
    """All windows of a file of counts together, ``[layers, experts]``."""
    return read_loads(LOADS / f"{name}_counts.npz").table


def deepseek_v4_flash() -> Any:
    """Counts ``[40, 256]`` from the expert ids of 1684 tokens."""
    histogram = runpy.run_path(str(TESTS / "helpers" / "histogram.py"))["histogram"]
    with np.load(LOADS / "deepseek-v4-flash_reap-loop_token_top6_ids_L3-42.npz") as arrays:
        return histogram(arrays["ids"], 256)


def cases() -> list[Case]:
    """Every load with its sizes."""
    synthetic = sample("deepseek-v3")
    v3 = {"num_gpus": 32, "num_replicas": 288}
    return [
        Case(
            "DeepSeek-V2-Lite, 33,279 tokens of four tasks",
            counts("deepseek-v2-lite_esft_seq"),
            {"num_gpus": 8, "num_replicas": 72},
        ),
        Case(
            "gpt-oss-20b, 10.8 million tokens",
            counts("gpt-oss-20b_expertfingerprinting_category"),
            {"num_gpus": 8, "num_replicas": 40},
        ),
        Case(
            "DeepSeek-V4-Flash, 1,684 decoded tokens",
            deepseek_v4_flash(),
            {"num_gpus": 32, "num_replicas": 288},
        ),
        Case("Synthetic DeepSeek-V3", synthetic, v3),
        Case("Synthetic DeepSeek-V3", synthetic, {**v3, "num_groups": 8, "num_nodes": 4}),
    ]


def show(case: Case, out: Path) -> None:
    """Compare, plan, write, read back and verify one case."""
    print(case.model)
    print(comparison_text(compare(case.loads, **case.sizes)))
    path = out / case.file_name()
    eplb.plan(case.loads, **case.sizes).save(path)
    print(f"{eplb.verify(eplb.load_plan(path), case.loads)}\n{path}\n")


def show_replay(out: Path) -> None:
    """Replay real requests whose task changes every six windows."""
    sequences = runpy.run_path(str(TESTS / "helpers" / "over_time" / "sequences.py"))
    sequence = sequences["v2_lite_blocks"](6)
    trace, results = out / "trace.npy", out / "replay.json"
    np.save(trace, sequence.windows)
    print("DeepSeek-V2-Lite, requests of four tasks, six windows of each in turn")
    replayed = eplb.replay(
        read_trace([trace]),
        "trivial static deepseek minimax multiwindow",
        num_gpus=sequence.num_gpus,
        num_replicas=sequence.num_replicas,
        snapshots=True,
    )
    print(replayed)
    replayed.save(results)
    for path in (trace, results):
        print(path)
    try:
        check_installed()
    except eplb.EplbError as error:
        print(f"no report: {error}")
        return
    report = out / "replay.html"
    replayed.report(report, "DeepSeek-V2-Lite, requests of four tasks, six windows of each in turn")
    print(f"{report}: open it in a browser")


def main() -> None:
    """Show every case."""
    if len(sys.argv) != 2:
        sys.exit("use: python docs/demo.py OUTDIR")
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for case in cases():
        show(case, out)
    show_replay(out)


if __name__ == "__main__":
    main()
