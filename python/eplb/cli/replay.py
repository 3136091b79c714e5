"""``eplb replay``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import eplb
from eplb.analysis.replay.running import prepare
from eplb.analysis.replay.settings import DEFAULT_SETTINGS, KINDS
from eplb.analysis.replay.text import cells_of, ending_of, headings_of, title_of
from eplb.analysis.report.page import checked_path
from eplb.cli.cells import end, results_files, run_steps
from eplb.cli.figures import lines_of
from eplb.cli.options import (
    AsJson,
    Axes,
    CountedUnder,
    Every,
    ExpertBytes,
    Gpus,
    Groups,
    Jobs,
    Key,
    LoadOptions,
    LoadsPaths,
    ModelConfig,
    Nodes,
    NumExperts,
    NumLayers,
    Ray,
    Redundant,
    Replicas,
    ResultsFile,
    SizeOptions,
    Threads,
    Trust,
    Warmup,
    Weights,
    Windows,
    WrittenBy,
    gap,
    spell,
)
from eplb.cli.output import busy, fitted, say, table_text
from eplb.cli.targets import check_outputs
from eplb.cli.weights import expert_bytes as bytes_of_expert

if TYPE_CHECKING:
    from eplb.analysis.replay.results import Replay


def replay_command(
    trace: LoadsPaths,
    *,
    gpus: Gpus = None,
    replicas: Replicas = None,
    redundant: Redundant = None,
    groups: Groups = 1,
    nodes: Nodes = 1,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--settings",
            metavar="LIST",
            help="What to replay, with blanks between, for example 'trivial deepseek "
            f"multiwindow:rows=8,move_price=0.005'. Out of {', '.join(KINDS)}. By default "
            f"{' '.join(DEFAULT_SETTINGS)}.",
        ),
    ] = None,
    every: Every = 1,
    warmup: Warmup = None,
    event: Annotated[
        list[str] | None,
        typer.Option(
            "--event",
            metavar="WINDOW:CHANGE",
            help="What happens to GPUs before a window is served: 40:dead=5, 50:drain=8,9, 60:live=5, "
            "70:add=2. May be given several times.",
        ),
    ] = None,
    expert_bytes: ExpertBytes = None,
    time_model: Annotated[
        str | None,
        typer.Option(
            "--time-model",
            metavar="FLAT,SLOPE,KNEE",
            help="Estimate what imbalance costs: a layer takes flat + slope * max(0, max/mean - knee).",
        ),
    ] = None,
    most_copies: Annotated[
        Any,
        typer.Option(
            "--most-copies",
            metavar="SHARE",
            parser=gap,
            help="The budget of what is recommended: the share of the slots that an update may fill.",
        ),
    ] = "0.2",
    out: ResultsFile = None,
    report: Annotated[
        str | None,
        typer.Option("--report", metavar="FILE", help="Write a page that shows it: .html."),
    ] = None,
    threads: Threads = 1,
    jobs: Jobs = 1,
    ray: Ray = None,
    windows: Windows = None,
    key: Key = None,
    written_by: WrittenBy = None,
    axes: Axes = None,
    num_layers: NumLayers = None,
    num_experts: NumExperts = None,
    placement: CountedUnder = None,
    weights: Weights = None,
    config: ModelConfig = None,
    trust_loads: Trust = False,
    as_json: AsJson = False,
) -> None:
    """Show what settings would have reached on a trace.

    Each plan is judged on the next window.
    """
    reading = LoadOptions(
        key, written_by, axes, num_layers, num_experts, config, placement, weights, trust_loads
    )
    check_outputs(reading.inputs(trace), {"--out": out, "--report": report})
    kept, saved = results_files(out)
    if report is not None:
        checked_path(report)
    of_expert = bytes_of_expert(config, expert_bytes)
    read = reading.read_trace(trace, windows)
    sizes = SizeOptions(gpus, replicas, redundant, groups, nodes, threads)
    if gpus is None:
        raise eplb.EplbError("give --gpus")
    with sizes.spelled_in_errors(read):
        run = prepare(
            read,
            None if settings is None else " ".join(settings),
            cluster=None,
            every=every,
            warmup=warmup,
            events=event or (),
            expert_bytes=of_expert,
            time_model=time_model,
            most_copies=most_copies,
            snapshots=report is not None,
            jobs=jobs,
            ray=ray,
            results=kept,
            **sizes.arguments(read.experts),
        )
        stopped = run_steps(run, lambda setting: setting.name)
    replayed = run.replay()
    if saved is not None:
        replayed.save(saved)
    if report is not None:
        with busy("writing the report"):
            replayed.report(report, title=", ".join(Path(each).name for each in trace))
    notes = [*read.notes, *(note.text(spell) for note in replayed.notes)]
    if as_json:
        say(json.dumps({**replayed.to_dict(), "out": out, "report": report, "notes": notes}))
    else:
        say(_text(replayed, notes, [path for path in (out, report) if path is not None]))
    with sizes.spelled_in_errors(read):
        end(stopped=stopped, lost=replayed.lost)


def _text(replay: Replay, notes: list[str], written: list[str]) -> str:
    """The text of ``print(replay)``, with the recommended setting in green."""
    rows = [cells_of(replay, result) for result in replay.results]
    taken = [at for at, row in enumerate(rows) if row[0] == replay.recommendation.setting]
    table = table_text(headings_of(replay), rows, space=1, left=[0], green=taken)
    above, below = "\n".join(title_of(replay)), "\n".join(ending_of(replay))
    more = [*lines_of("note", notes), *lines_of("written to", written)]
    return "\n".join([fitted(above), "", table, "", fitted("\n".join([below, *more]))])
